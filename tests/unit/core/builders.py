"""Small parts for tests of the heart: a detector that remembers, counts and events by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from detectors.base import Claim, State, WindowView
from schemas.canonical import canonical_json
from schemas.outputs import Engine, Firing, Scope
from schemas.series import COUNTERS, SeriesKey, SeriesKind
from schemas.words import DetectorName
from stream.core.deltas import KIND_CODE, BreakerRecord, Count, Delta, DeploymentRecord, ExemplarRecord, ScoreRecord
from stream.core.machine import Limits, ShardMachine
from stream.core.ticks import MINUTE_MS, rfc3339, time_of
from triage.registry import build as build_checks
from triage.settings import TriageSettings

TRIAGE = TriageSettings()
CHECKS = build_checks(TRIAGE)
ENGINE = Engine(version="0", config_hash="test")

START = 29_000_040
"""A tick at a full hour and not at midnight."""


class Recorder:
    """A detector of flows that notes what it saw; fires while a flow's last minute has `LOUD` escalations or more."""

    name: ClassVar[DetectorName] = "escalation_rate"
    kind: ClassVar[SeriesKind] = "flow"
    LOUD: ClassVar[int] = 3

    def __init__(self) -> None:
        self.seen: list[tuple[int, list[str]]] = []

    def fresh(self, size: int) -> State:
        return {"ever": np.zeros(size, np.int64), "fired": np.zeros(size, np.int64)}

    def step(self, view: WindowView, state: State) -> tuple[State, list[Claim]]:
        self.seen.append((view.tick, [key.dims[0] for key in view.keys]))
        last = view.minutes(1)[:, 0]
        state["ever"] += last[:, 0]
        claims = []
        for row in range(len(view.keys)):
            loud, fired = last[row, 1] >= self.LOUD, int(state["fired"][row])
            if loud == bool(fired):
                continue
            state["fired"][row] = view.tick if loud else 0
            claims.append(claim(row, view.tick, "opened" if loud else "recovered", fired or view.tick))
        return state, claims


def claim(row: int, tick: int, change: str, fired: int) -> Claim:
    return Claim(
        series=row,
        change=change,
        tier="page",
        observed=3.0,
        baseline=1.0,
        threshold=2.0,
        unit="escalations",
        sample_count=3,
        baseline_count=1.0,
        confidence=0.5,
        fired_minute=fired,
        onset_minute=fired - 1,
        window_start_minute=tick - 1,
        window_end_minute=tick,
        summary="loud",
    )


def machine(detector: Any = None, series_per_kind: int = 100_000) -> ShardMachine:
    return ShardMachine([detector or Recorder()], TRIAGE, ENGINE, Limits(series_per_kind), checks=CHECKS)


def key(name: str = "f", kind: SeriesKind = "flow", system: str = "s") -> SeriesKey:
    more = {"denial": ("pay", "p"), "score_version": ("tone", "v1"), "usage": ("m", "payg")}.get(kind, ())
    second = {"flow_version": ("v1",), "flow_reason": ("policy",), "score": ("tone",)}.get(kind, ())
    return SeriesKey(kind, "prod", system, (name, *second, *more))


def count(minute: int, *amounts: int, name: str = "f", kind: SeriesKind = "flow", system: str = "s") -> Count:
    """A count; missing amounts are zero."""
    padded = (*amounts, *(0,) * (len(COUNTERS[kind]) - len(amounts)))
    return Count(KIND_CODE[kind], *key(name, kind, system)[1:], minute, padded)


def traffic(minute: int, *amounts: int, name: str = "f") -> Delta:
    return Delta((count(minute, *amounts, name=name),))


def score(identity: str, minute: int, value: int = 4000, version: str = "") -> ScoreRecord:
    return ScoreRecord(identity, minute * MINUTE_MS, "prod", "s", "f", version, "tone", value)


def breaker(identity: str, ms: int, state: str = "open", instance: str = "", system: str = "s") -> BreakerRecord:
    return BreakerRecord(identity, ms, "prod", system, "fraud-api", "fraud-api", instance, state, None)


def exemplar(identity: str, minute: int, rank: int = 0, series: SeriesKey | None = None) -> ExemplarRecord:
    where = series or key()
    return ExemplarRecord(KIND_CODE[where.kind], *where[1:], minute, rank, f"t-{identity}", identity)


def deployment(
    identity: str, minute: int, system: str = "s", component: str = "f", version: str = "v2", **more: Any
) -> DeploymentRecord:
    """A deployment as the fold writes it; completed with the whole traffic unless `more` says otherwise."""
    ms = minute * MINUTE_MS
    body = {
        "type": "deployment",
        "id": identity,
        "time": rfc3339(ms),
        "environment": "prod",
        "system": system,
        "change": "flow",
        "component": component,
        "version": version,
        "phase": "completed",
        "canary_percent": 100.0,
        **more,
    }
    return DeploymentRecord(identity, ms, "prod", system, canonical_json(body).decode())


def firing(tick: int, onset: int, flow: str | None = "f") -> Firing:
    scope = Scope(environment="prod", system="s", flow=flow)
    return Firing(
        firing_id="fir_x",
        detector="escalation_rate",
        status="firing",
        tier="page",
        scope=scope,
        at=time_of(tick),
        fired_at=time_of(tick),
        onset_at=time_of(onset),
        observed=3.0,
        baseline=1.0,
        ratio=3.0,
        threshold=2.0,
        unit="escalations",
        sample_count=3,
        baseline_count=1.0,
        confidence=0.5,
        window_start=time_of(tick - 1),
        window_end=time_of(tick),
        summary="loud",
    )
