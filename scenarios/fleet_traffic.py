"""Chance: one hour of one flow's interactions as arrays, drawn from a generator that the hour alone seeds.

An hour depends on the seed, the flow and the hour, never on what was asked before, so any stretch of the fleet's
history can be made by itself and comes out the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenarios import fleet_effects as effects_of
from scenarios.fleet_model import HOUR_MS, MINUTE_MS, DenialSpike, Effect, Floats, Flow, System, Times, of_kind
from schemas.words import EscalationReason, Outcome

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Rng = np.random.Generator

OUTCOMES: tuple[Outcome, ...] = ("resolved", "escalated", "failed", "abandoned")
RESOLVED, ESCALATED, FAILED, ABANDONED = range(4)

FAILED_SHARE = 0.008
ABANDONED_SHARE = 0.015
CALL_ERROR_SHARE = 0.002
"""Calls of a healthy dependency that end in an error."""

AFTER_FAILED_CALL = (0.55, 0.85)
"""Where a dependency's call failed: the share that escalates, and the share that escalates or fails; others recover."""

TIMEOUT_MS = 5_000.0
LATENCY_SIGMA = 0.35
HOURLY_NOISE = 0.01
"""Squared coefficient of variation of a flow's escalation rate from hour to hour: days differ for no reason."""

CRITERIA: tuple[tuple[str, float, float], ...] = (
    ("correctness", 4.4, 0.5),
    ("escalation_appropriateness", 4.2, 0.55),
    ("tone", 4.6, 0.35),
)
"""Criterion, mean and standard deviation of its scores."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """N interactions of one flow with S steps each, in time order. Shapes are [N] and [N, S]; scores, [N, criteria]."""

    times: Times
    version: Ints
    outcome: Ints
    reason: NDArray[np.object_]
    skipped: Bools
    timed_out: Bools
    errored: Bools
    spilled: Bools
    durations: Floats
    input_tokens: Ints
    output_tokens: Ints
    judged: Bools
    scores: Floats
    asked: Bools
    denied: Bools
    foreign_requests: Ints
    picks: Ints
    """Which of the phrases an interaction uses, and the number in it."""


def draw(system: System, flow: Flow, effects: tuple[Effect, ...], hour: int, rng: Rng) -> Traffic:
    """The traffic of `flow` in `hour` (hours since 1970-01-01 UTC)."""
    effects = effects_of.of_flow(effects, flow.name)
    times = _arrivals(system, flow, effects, hour, rng)
    count = len(times)
    timeline = effects_of.VersionTimeline.of(flow, effects)
    version = timeline.pick(times, rng.random(count))
    skipped, timed_out, errored = _calls(system, flow, effects, times, rng)
    outcome, reason = _outcomes(system, flow, effects, timeline, version, times, rng)
    _apply_failed_calls(outcome, reason, np.any(timed_out | errored, axis=1), rng)
    shape = (count, len(flow.steps))
    medians = np.array([step.median_ms for step in flow.steps])
    durations = np.round(medians * np.exp(rng.normal(0.0, LATENCY_SIGMA, shape)), 1)
    asked = rng.random(count) < flow.permission.per_interaction
    tokens = effects_of.token_factor(effects, times)[:, None]
    refused = np.array([0.0, *(rollout.denied_share for rollout in timeline.rollouts)])[version]
    return Traffic(
        times,
        version,
        outcome,
        reason,
        skipped,
        timed_out,
        errored,
        effects_of.spilled(effects, times),
        np.where(timed_out, TIMEOUT_MS, durations),
        rng.poisson(np.array([step.input_tokens for step in flow.steps]) * tokens, shape),
        rng.poisson(np.array([step.output_tokens for step in flow.steps]) * tokens, shape),
        rng.random(count) < flow.judged_share,
        _scores(effects, timeline, version, times, rng),
        asked,
        asked & (rng.random(count) < flow.permission.denied_share + refused),
        _foreign_requests(flow, effects, times, rng),
        rng.integers(0, 1_000_000, count),
    )


def _arrivals(system: System, flow: Flow, effects: tuple[Effect, ...], hour: int, rng: Rng) -> Times:
    """Event times: Poisson counts a minute, spread evenly over it."""
    minutes = hour * HOUR_MS + np.arange(60, dtype=np.int64) * MINUTE_MS
    rate = flow.per_minute * effects_of.season(minutes, system.peak_hour) * effects_of.volume_factor(effects, minutes)
    rate = np.where(minutes >= flow.launched_ms, rate, 0.0)
    counts = rng.poisson(rate)
    starts = np.repeat(minutes, counts)
    return np.sort(starts + rng.integers(0, MINUTE_MS, len(starts)))


def _calls(
    system: System, flow: Flow, effects: tuple[Effect, ...], times: Times, rng: Rng
) -> tuple[Bools, Bools, Bools]:
    """Which steps were skipped by an open breaker, timed out, or ended in an error; each [N, S]."""
    shape = (len(times), len(flow.steps))
    skipped, share = np.zeros(shape, dtype=np.bool_), np.zeros(shape)
    base = np.zeros(len(flow.steps))
    for index, step in enumerate(flow.steps):
        if step.dependency is not None:
            skipped[:, index] = effects_of.skipped_calls(effects, step.dependency, times, system.breaker_instances)
            share[:, index] = effects_of.failed_share(effects, step.dependency, times)
            base[index] = CALL_ERROR_SHARE
    chance = rng.random(shape)
    failed = (chance < share) & ~skipped
    errors = np.array(
        [step.dependency is not None and effects_of.errs(effects, step.dependency) for step in flow.steps]
    )
    errored = (chance >= share) & (chance < share + base) & ~skipped
    return skipped, failed & ~errors, errored | (failed & errors)


def _outcomes(
    system: System,
    flow: Flow,
    effects: tuple[Effect, ...],
    timeline: effects_of.VersionTimeline,
    version: Ints,
    times: Times,
    rng: Rng,
) -> tuple[Ints, NDArray[np.object_]]:
    """How each interaction ends, and the reason where it was escalated (None elsewhere)."""
    hourly = rng.gamma(1 / HOURLY_NOISE, HOURLY_NOISE)
    base = flow.escalated_share * hourly * effects_of.escalation_season(times, system.peak_hour)
    shares: list[tuple[Floats, EscalationReason]] = effects_of.extra_escalations(
        effects, times, system.breaker_instances
    )
    for index, rollout in enumerate(timeline.rollouts, start=1):
        shares.append((np.where(version == index, rollout.escalated_share, 0.0), rollout.reason))
    chance = rng.random(len(times))
    words, weights = zip(*flow.reasons, strict=True)
    mixed = rng.choice(len(words), len(times), p=np.array(weights) / sum(weights))
    reason = np.array(words, dtype=object)[mixed]
    reason[chance >= base] = None
    reached = base
    for share, word in shares:
        reason[(chance >= reached) & (chance < reached + share)] = word
        reached = reached + share
    outcome = np.full(len(times), RESOLVED)
    outcome[chance > 1 - FAILED_SHARE - ABANDONED_SHARE] = ABANDONED
    outcome[chance > 1 - FAILED_SHARE] = FAILED
    outcome[chance < reached] = ESCALATED
    return outcome, reason


def _apply_failed_calls(outcome: Ints, reason: NDArray[np.object_], failed: Bools, rng: Rng) -> None:
    """Let interactions whose call failed, and that were not escalated anyway, escalate or fail, in place."""
    chance = np.where(failed & (outcome != ESCALATED), rng.random(len(outcome)), 1.0)
    escalates, ends = AFTER_FAILED_CALL
    reason[chance < escalates] = "error"
    outcome[chance < ends] = FAILED
    outcome[chance < escalates] = ESCALATED


def _scores(
    effects: tuple[Effect, ...],
    timeline: effects_of.VersionTimeline,
    version: Ints,
    times: Times,
    rng: Rng,
) -> Floats:
    """[N, criteria] scores from 1 to 5, to a hundredth."""
    columns = []
    for name, mean, deviation in CRITERIA:
        by_version = np.array([0.0, *(dict(rollout.score_points).get(name, 0.0) for rollout in timeline.rollouts)])
        columns.append(rng.normal(mean + effects_of.score_shift(effects, name, times) + by_version[version], deviation))
    return np.asarray(np.round(np.clip(np.stack(columns, axis=1), 1.0, 5.0), 2), dtype=np.float64)


def _foreign_requests(flow: Flow, effects: tuple[Effect, ...], times: Times, rng: Rng) -> Ints:
    """How many requests outside its scope the acting agent makes in each interaction."""
    mean = np.zeros(len(times))
    for spike in of_kind(effects, DenialSpike):
        if spike.agent == flow.permission.agent:
            mean += spike.per_interaction * spike.period.weight(times)
    return rng.poisson(mean)
