"""Labelled incidents end to end: a random fleet's events through detectors and gathering, and what triage then sees.

It is the second family of labelled cases, made independently of `scenarios.cases`: there a case is drawn as counts;
here a system, a cause and everything beside it are drawn (`scenarios.endtoend_world`), the events go through the whole
heart, and the case is what the engine gathers when a detector fires, ten and thirty minutes later. Onsets are the
detector's own estimates, periods are as short as live ones, traffic has its day, and other changes, breakers and surges
come and go. The same seed always gives the same incidents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from scenarios.endtoend_world import Drawn, draw_world
from scenarios.fleet import Fleet, encode
from scenarios.fleet_model import HOUR_MS
from scenarios.heart import Heart
from schemas.outputs import Firing
from schemas.words import Cause
from stream.settings import load_settings
from triage.case import Case
from triage.incident import leading

Stage = Literal["first", "later", "settled"]
STAGES: Final[dict[Stage, int]] = {"first": 0, "later": 10, "settled": 30}
"""Minutes after the first verdict at which a case is looked at."""

HISTORY_HOURS: Final = 26


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one incident: the case at a stage, its cause, and the version that did it, if one did."""

    number: int
    stage: Stage
    case: Case
    cause: Cause
    bad_version: str | None


def looks(count: int, seed: int, workers: int = 1) -> list[Look]:
    """All looks at the first `count` incidents of `seed`; those that no detector finds in time give none."""
    one = partial(look, seed)
    if workers == 1:
        return [found for number in range(count) for found in one(number)]
    with ProcessPoolExecutor(workers) as pool:
        return [found for several in pool.map(one, range(count), chunksize=8) for found in several]


def look(seed: int, number: int) -> list[Look]:
    """The looks at incident `number` of `seed`."""
    drawn = draw_world(seed, number)
    heart = Heart(load_settings(None, {}))
    fleet = Fleet(number, (drawn.system,), {drawn.system.name: drawn.effects})
    for _ in heart.remember(fleet, drawn.begins_ms - HISTORY_HOURS * HOUR_MS, drawn.begins_ms):
        pass
    return [Look(number, stage, case, drawn.cause, drawn.bad_version) for stage, case in _cases(heart, fleet, drawn)]


def _cases(heart: Heart, fleet: Fleet, drawn: Drawn) -> Iterator[tuple[Stage, Case]]:
    """The case at each stage, as the engine would gather it then for the firing that leads."""
    lines = [encode(event) for _, event in fleet.events(drawn.begins_ms, drawn.ends_ms)]
    firings: dict[str, Firing] = {}
    first: int | None = None
    stages = list(STAGES)
    for outcome in heart.live(lines, drawn.begins_ms, drawn.ends_ms):
        _follow(firings, outcome.firings, drawn.onset_ms)
        if first is None and firings:
            first = outcome.tick
        while first is not None and stages and firings and outcome.tick >= first + STAGES[stages[0]]:
            yield stages.pop(0), heart.gather(min(firings.values(), key=leading))
        if not stages:
            return


def _follow(firings: dict[str, Firing], records: Iterable[Firing], onset_ms: int) -> None:
    """Keep `firings` to those that are open and were made since the onset: earlier ones are about nothing."""
    for record in records:
        if record.status == "resolved":
            firings.pop(record.firing_id, None)
        elif record.fired_at.timestamp() * 1000 > onset_ms:
            firings[record.firing_id] = record
