"""Incidents, driven tick by tick through one night."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.outputs import Firing, Scope, Verdict
from tests.unit.triage.stories import ENGINE, TICK, firing, ms
from triage.case import Case
from triage.controls import NO_CONTROLS
from triage.incidents import Incidents
from triage.registry import build
from triage.settings import TriageSettings

MINUTE_MS = 60_000


class Night:
    """Drives the incidents through the ticks of one night; the case of the moment is `story`."""

    restarts = False
    """Whether the state goes through its JSON before every tick."""

    def __init__(self, story: Case, **changes: Any) -> None:
        self.settings = TriageSettings.model_validate({"incidents": changes})
        self.story = story
        self.incidents = Incidents(self.settings, ENGINE, build(self.settings, third_party=()))
        self.minute = 0
        self.gathered: list[Firing] = []
        self.controls = NO_CONTROLS

    def gather(self, about: Firing) -> Case:
        self.gathered.append(about)
        return replace(self.story, firing=about, tick_ms=self.now)

    @property
    def now(self) -> int:
        return ms(TICK) + self.minute * MINUTE_MS

    def restart(self) -> None:
        data = json.loads(json.dumps(self.incidents.to_json()))
        self.incidents = Incidents.from_json(self.settings, ENGINE, data, build(self.settings, third_party=()))

    def tick(self, *firings: Firing) -> list[Verdict]:
        if self.restarts:
            self.restart()
        said = self.incidents.step(self.now, firings, self.gather, controls=self.controls)
        self.minute += 1
        return said

    def ticks(self, count: int) -> list[Verdict]:
        return [verdict for _ in range(count) for verdict in self.tick()]


@pytest.fixture(params=[False, True], ids=["running", "restarted"], autouse=True)
def _restarts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every story is told twice: by one engine, and by one that is stopped and taken up again before each tick."""
    monkeypatch.setattr(Night, "restarts", request.param)


def fired(minute: int = 0, flow: str = "refund-flow", detector: str = "escalation_rate", **changes: Any) -> Firing:
    place = {"environment": "production", "system": "refunds", **changes.pop("place", {})}
    at = TICK + timedelta(minutes=minute)
    return firing(detector, scope=Scope(flow=flow, **place), fired_at=at, **changes)


def over(opened: Firing) -> Firing:
    return opened.model_copy(update={"status": "resolved"})
