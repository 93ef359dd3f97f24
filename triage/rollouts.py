"""A rollout as it stood at the onset: how much traffic it had, by which steps, and whether the ramp was full.

Everything is read from the deployment events themselves, in order of (time, id). A rollback, or a fresh `started` of a
version that already had all traffic, begins a new ramp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.events import Deployment
from triage.case import DeploymentHistory, takes_traffic
from triage.words import millis, span

FULL = 100.0


@dataclass(frozen=True, slots=True)
class RampRule:
    """What a full canary ramp is: enough steps short of full traffic, and not all in a hurry.

    `percents` names shares that the ramp must have dwelt at, if the house prescribes them; `minutes` is the least
    time from the first traffic to all of it.
    """

    steps: int
    minutes: int
    percents: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """One version of one component as of the onset, and what became of it until the tick."""

    component: str
    version: str
    previous_version: str | None
    event: Deployment
    """The last event by the onset that raised its share of traffic: the change that may have done it."""
    started_ms: int
    """When the present ramp first took traffic."""
    shares: tuple[float, ...]
    """Shares of traffic in order, as of the onset, of the present ramp."""
    completed: bool
    full_ms: int | None
    """When it reached 100 %, by the onset; None where it did not."""
    gone: bool
    """Rolled back by the onset: it had no traffic left to do harm with."""
    rolled_back_ms: int | None
    """When it was rolled back, by the tick; None where it was not."""
    share_now: float

    @property
    def changed_ms(self) -> int:
        """When the change that may have done it was made."""
        return millis(self.event.time)


def read_rollout(history: DeploymentHistory, onset_ms: int, tick_ms: int) -> Rollout | None:
    """The rollout as of `onset_ms`; None where it took no traffic by then."""
    events = [event for event in history.events if millis(event.time) <= tick_ms]
    ramp: list[Deployment] = []
    gone_ms: int | None = None
    for event in (item for item in events if millis(item.time) <= onset_ms):
        if event.phase == "rolled_back":
            gone_ms = millis(event.time) if ramp else None
        elif takes_traffic(event):
            if gone_ms is not None or (event.phase == "started" and ramp and ramp[-1].canary_percent >= FULL):
                ramp = []
            gone_ms = None
            ramp.append(event)
    if not ramp:
        return None
    raising = ramp[0]
    for event in ramp:
        if event.canary_percent > raising.canary_percent:
            raising = event
    return Rollout(
        component=history.component,
        version=history.version,
        previous_version=next((item.previous_version for item in reversed(ramp) if item.previous_version), None),
        event=raising,
        started_ms=millis(ramp[0].time),
        shares=tuple(event.canary_percent for event in ramp),
        completed=any(event.phase == "completed" for event in ramp),
        full_ms=next((millis(event.time) for event in ramp if event.canary_percent >= FULL), None),
        gone=gone_ms is not None,
        rolled_back_ms=gone_ms if gone_ms is not None else _rolled_back_after(events, onset_ms),
        share_now=0.0 if events[-1].phase == "rolled_back" else events[-1].canary_percent,
    )


def _rolled_back_after(events: Sequence[Deployment], onset_ms: int) -> int | None:
    later = [event for event in events if millis(event.time) > onset_ms]
    if not later or later[-1].phase != "rolled_back":
        return None
    return millis(later[-1].time)


def shortfall(rollout: Rollout, rule: RampRule) -> str | None:
    """What the ramp lacks, as the end of a sentence "it ..."; None where it was a full canary ramp."""
    steps = sorted({share for share in rollout.shares if 0 < share < FULL})
    if rollout.full_ms is None:
        most = max(rollout.shares)
        if rollout.completed:
            return f"was declared complete at {most:g} % of the traffic"
        return f"is part of the way through its canary ramp, at {most:g} % of the traffic"
    if not steps:
        return "went to 100 % of the traffic at once, without a canary ramp"
    missing = [share for share in rule.percents if share not in steps]
    shown = " -> ".join(f"{share:g} %" for share in [*steps, FULL])
    if missing:
        return f"skipped the step of {missing[0]:g} % in its canary ramp ({shown})"
    if len(steps) < rule.steps:
        return f"skipped steps of its canary ramp ({shown}, {rule.steps} steps before 100 % are required)"
    took_ms = rollout.full_ms - rollout.started_ms
    if took_ms < rule.minutes * 60_000:
        return f"took all traffic within {span(took_ms)} ({shown}, {rule.minutes} min are required)"
    return None


Fate = Literal["live", "rolled_back", "superseded", "restored"]
"""At the onset: serving; rolled back; replaced by a later version; or itself the return to an earlier version."""


def fates(rollouts: Sequence[Rollout], onset_ms: int) -> list[Fate]:
    """What each rollout was at the onset, seen beside the others of the same component and kind of change."""
    return [_fate(rollout, rollouts, onset_ms) for rollout in rollouts]


def _fate(rollout: Rollout, rollouts: Sequence[Rollout], onset_ms: int) -> Fate:
    if rollout.gone:
        return "rolled_back"
    siblings = [
        other
        for other in rollouts
        if other is not rollout
        and (other.component, other.event.change) == (rollout.component, rollout.event.change)
        and other.version != rollout.version
    ]
    full_by = (other.full_ms for other in siblings if other.started_ms > rollout.started_ms and not other.gone)
    if any(full_ms is not None and full_ms <= onset_ms for full_ms in full_by):
        return "superseded"
    undone = any(
        other.started_ms < rollout.started_ms
        and other.version == rollout.previous_version
        and other.previous_version == rollout.version
        for other in siblings
    )
    return "restored" if undone else "live"
