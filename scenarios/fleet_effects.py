"""What happens to a system, as arithmetic over the times of its interactions.

Every function takes times (milliseconds since 1970-01-01 UTC, shape [N]) and answers with an array of shape [N]. They
draw nothing: chance stays with `scenarios.fleet_traffic`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenarios.fleet_model import (
    HOUR_MS,
    LAG_MS,
    MINUTE_MS,
    SHIFT_MS,
    Effect,
    Floats,
    Flow,
    MoreEscalations,
    MoreTraffic,
    Outage,
    Rollout,
    ScoreShift,
    Spending,
    Times,
    of_kind,
)
from schemas.words import EscalationReason

WEEK_MS = 7 * 24 * HOUR_MS
DAY_MS = 24 * HOUR_MS
_MONDAY_MS = 4 * DAY_MS
"""1970-01-05, the first Monday."""

WEEKDAY = 1.16
WEEKEND = 0.6
"""Traffic of a weekday and of a day of the weekend; five and two of them make a mean of 1."""

DAY_SWING = 0.45
ESCALATION_SWING = 0.12


def season(times: Times, peak_hour: float) -> Floats:
    """The weekly shape of traffic: a sine over the day around `peak_hour` UTC and a quiet weekend, mean 1."""
    weekend = (times - _MONDAY_MS) % WEEK_MS >= 5 * DAY_MS
    return np.where(weekend, WEEKEND, WEEKDAY) * (1 + DAY_SWING * _wave(times, peak_hour))


def escalation_season(times: Times, peak_hour: float) -> Floats:
    """The daily shape of the escalation rate: a little higher in the evening, mean 1."""
    return 1 + ESCALATION_SWING * _wave(times, peak_hour + 6)


def of_flow(effects: tuple[Effect, ...], flow: str) -> tuple[Effect, ...]:
    """The effects that touch `flow`: those of its system that name no flow, and its own."""
    return tuple(effect for effect in effects if getattr(effect, "flow", None) in (None, flow))


def volume_factor(effects: tuple[Effect, ...], times: Times) -> Floats:
    """What the surges multiply traffic by."""
    factor = np.ones(len(times))
    for surge in of_kind(effects, MoreTraffic):
        factor *= 1 + (surge.factor - 1) * surge.period.weight(times)
    return factor


def extra_escalations(
    effects: tuple[Effect, ...], times: Times, instances: int = 1
) -> list[tuple[Floats, EscalationReason]]:
    """The further shares of interactions that go to a human, each with its reason; without those of new versions."""
    shares: list[tuple[Floats, EscalationReason]] = [
        (more.share * more.period.weight(times), more.reason) for more in of_kind(effects, MoreEscalations)
    ]
    for outage in of_kind(effects, Outage):
        routed = np.where(breaker_open(outage, times), outage.routed_share * open_share(outage, instances), 0.0)
        shares.append((routed, "dependency_unavailable"))
    return shares


def breaker_open(outage: Outage, times: Times) -> NDArray[np.bool_]:
    """Whether the breaker of the failing dependency is open; of a flapping one, every other turn."""
    opened = outage.open_ms
    if opened is None:
        return np.zeros(len(times), dtype=np.bool_)
    is_open: NDArray[np.bool_] = (times >= opened) & (times < outage.period.end_ms)
    if outage.flap_ms is not None:
        is_open &= (times - opened) // outage.flap_ms % 2 == 0
    return is_open


def open_share(outage: Outage, instances: int) -> float:
    """The share of the instances whose breaker opens."""
    return 1.0 if outage.open_instances is None else min(outage.open_instances, instances) / instances


def failed_share(effects: tuple[Effect, ...], dependency: str, times: Times) -> Floats:
    """The share of calls of `dependency` that fail."""
    share = np.zeros(len(times))
    for outage in of_kind(effects, Outage):
        if outage.dependency == dependency:
            share = np.maximum(share, outage.failed_share * outage.period.weight(times))
    return share


def errs(effects: tuple[Effect, ...], dependency: str | None) -> bool:
    """Whether failed calls of `dependency` end in errors, not in time-outs."""
    return any(outage.errors for outage in of_kind(effects, Outage) if outage.dependency == dependency)


def skipped_calls(effects: tuple[Effect, ...], dependency: str, times: Times, instances: int = 1) -> NDArray[np.bool_]:
    """Whether calls of `dependency` are not made, because the breaker of the instance that serves them is open.

    Interactions are served by the instances in turn.
    """
    skipped = np.zeros(len(times), dtype=np.bool_)
    for outage in of_kind(effects, Outage):
        if outage.dependency == dependency:
            open_here = breaker_open(outage, times)
            if outage.open_instances is not None:
                open_here &= np.arange(len(times)) % instances < outage.open_instances
            skipped |= open_here
    return skipped


def score_shift(effects: tuple[Effect, ...], criterion: str, times: Times) -> Floats:
    """The points that scores of `criterion` move by."""
    shift = np.zeros(len(times))
    for change in of_kind(effects, ScoreShift):
        if change.criterion == criterion:
            shift += change.points * change.period.weight(times)
    return shift


def token_factor(effects: tuple[Effect, ...], times: Times) -> Floats:
    """What model calls' tokens are multiplied by."""
    factor = np.ones(len(times))
    for spending in of_kind(effects, Spending):
        factor *= 1 + (spending.factor - 1) * spending.period.weight(times)
    return factor


def spilled(effects: tuple[Effect, ...], times: Times) -> NDArray[np.bool_]:
    """Whether an interaction's calls spill over to pay-as-you-go: evenly, so many in every hundred."""
    share = np.zeros(len(times))
    for spending in of_kind(effects, Spending):
        share = np.maximum(share, spending.spillover_share * spending.period.weight(times))
    return np.asarray(np.arange(len(times)) % 100 < np.round(100 * share))


@dataclass(frozen=True, slots=True)
class VersionTimeline:
    """The versions of a flow, oldest first, and the rollout that brought each but the first.

    A rollout of another component than the flow leaves the flow's version as it is.
    """

    names: tuple[str, ...]
    rollouts: tuple[Rollout, ...]

    @classmethod
    def of(cls, flow: Flow, effects: tuple[Effect, ...]) -> VersionTimeline:
        """The timeline of `flow`."""
        mine = (rollout for rollout in of_kind(effects, Rollout) if rollout.flow == flow.name)
        rollouts = tuple(sorted(mine, key=lambda rollout: rollout.start_ms))
        names = [flow.version]
        for rollout in rollouts:
            names.append(rollout.version if rollout.component is None else names[-1])
        return cls(tuple(names), rollouts)

    def previous(self, rollout: Rollout) -> str:
        """The version that served before `rollout`: the latest earlier one that was not taken back."""
        index = self.rollouts.index(rollout)
        earlier = [one for one in self.rollouts[:index] if one.component == rollout.component]
        kept = [one.version for one in earlier if one.rolled_back_ms is None]
        return kept[-1] if kept else self.names[0]

    def pick(self, times: Times, draws: Floats) -> NDArray[np.int64]:
        """The index of the version that serves each interaction; `draws` are uniform on [0, 1)."""
        chosen = np.zeros(len(times), dtype=np.int64)
        for index, rollout in enumerate(self.rollouts, start=1):
            chosen = np.where(draws < traffic_share(rollout, times), index, chosen)
        return chosen


def traffic_share(rollout: Rollout, times: Times) -> Floats:
    """The share of traffic on the new version: what the steps of the ramp, and a rollback, ask for, a little later."""
    steps = [(rollout.start_ms + minutes * MINUTE_MS, percent / 100) for minutes, percent in rollout.ramp]
    if rollout.rolled_back_ms is not None:
        steps.append((rollout.rolled_back_ms, 0.0))
    points: list[tuple[float, float]] = [(rollout.start_ms, 0.0)]
    for at, share in steps:
        points += [(at + LAG_MS, points[-1][1]), (at + LAG_MS + SHIFT_MS, share)]
    return np.interp(times, [at for at, _ in points], [share for _, share in points])


def _wave(times: Times, peak_hour: float) -> Floats:
    return np.cos((times % DAY_MS / HOUR_MS - peak_hour) * (2 * math.pi / 24))
