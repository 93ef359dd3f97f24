"""The parts that labelled cases are made of: the background of a world, and each source of evidence in turn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.random import Generator

from schemas.events import Deployment, Target
from schemas.outputs import Firing, Scope
from schemas.words import BreakerState, DetectorName, EscalationReason
from triage.case import (
    AgentDenials,
    BreakerReading,
    DenialCount,
    DependencyHealth,
    DeploymentHistory,
    Rate,
    ScoreSummary,
    ScoreTrend,
    VersionOutcome,
)

MINUTE_MS: Final = 60_000
FLOW: Final = "refund-flow"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_MS: Final = 1_767_225_600_000
_USUAL_REASONS: Final[dict[EscalationReason, float]] = {
    "ambiguous": 0.3,
    "high_risk": 0.2,
    "policy": 0.15,
    "customer_request": 0.25,
    "error": 0.07,
    "dependency_unavailable": 0.03,
}
_RAMPS: Final = {
    "full": ((5.0, 0.0), (25.0, 15.0), (50.0, 30.0), (100.0, 45.0)),
    "hasty": ((10.0, 0.0), (50.0, 3.0), (100.0, 6.0)),
    "at_once": ((100.0, 0.0),),
    "canary": ((10.0, 0.0),),
    "halfway": ((10.0, 0.0), (50.0, 10.0)),
}
"""Shares of traffic and the minutes at which they are reached, by style of rollout."""


@dataclass(slots=True)
class Background:
    """What is so whatever the cause: when it is, how much traffic there is, what the usual rate is."""

    tick_ms: int
    onset_ms: int
    true_onset_ms: int
    minutes: int
    reference: int
    volume: float
    volume_recent: float
    base_rate: float
    breaker_known: bool

    @classmethod
    def draw(cls, rng: Generator) -> Background:
        """A world at a random minute of the year, 6 to 60 minutes after the onset; the estimate is off a little."""
        tick = _YEAR_MS // MINUTE_MS + int(rng.integers(0, 365 * 1440))
        minutes = int(rng.integers(6, 60))
        true_onset = tick - minutes
        estimate = min(tick - 3, true_onset + round(float(rng.normal(0.0, 1.5))))
        volume = float(np.exp(rng.uniform(np.log(0.5), np.log(60.0))))
        return cls(
            tick_ms=tick * MINUTE_MS,
            onset_ms=estimate * MINUTE_MS,
            true_onset_ms=true_onset * MINUTE_MS,
            minutes=tick - estimate,
            reference=int(rng.choice([360, 720, 1440])),
            volume=volume,
            volume_recent=volume * float(rng.lognormal(0.0, 0.15)),
            base_rate=float(rng.uniform(0.02, 0.07)),
            breaker_known=bool(rng.random() < 0.9),
        )


def noisy_rate(rng: Generator, rate: float, total: int, minutes: int, spread: float) -> Rate:
    """Counts whose underlying rate wanders by `spread` (relative), as real ones do."""
    wandering = min(1.0, max(0.0, rate * float(rng.lognormal(0.0, spread)))) if rate > 0 else 0.0
    return Rate(int(rng.binomial(total, wandering)), total, minutes)


def firing(world: Background, detector: DetectorName, now: Rate, then: Rate) -> Firing:
    """The claim that brings the case about."""
    observed = now.hits / now.total if now.total else 0.0
    baseline = then.hits / then.total if then.total else 0.0
    tick = _time(world.tick_ms)
    scope = Scope(environment="production", system="refunds", flow=FLOW)
    return Firing(
        firing_id=Firing.make_id(detector, scope, tick.isoformat()),
        detector=detector,
        tier="page",
        observed=observed,
        baseline=baseline,
        ratio=observed / baseline if baseline else None,
        threshold=4.2,
        unit="share",
        sample_count=now.total,
        baseline_count=then.total,
        confidence=0.9999,
        window_start=_time(world.onset_ms),
        window_end=tick,
        summary=f"{now.hits} of {now.total} escalated",
        status="firing",
        scope=scope,
        at=tick,
        fired_at=tick,
        onset_at=_time(world.onset_ms),
    )


def split_reasons(rng: Generator, reason: str, excess: int, usual: int, before: Rate) -> dict[str, tuple[int, int]]:
    """Escalations by reason: the excess mostly gives one reason, the rest are as usual."""
    names = list(_USUAL_REASONS)
    weights = np.array(list(_USUAL_REASONS.values()))
    purity = float(rng.uniform(0.55, 0.95))
    tilted = (1 - purity) * weights + purity * np.array([1.0 if name == reason else 0.0 for name in names])
    recent = rng.multinomial(excess, tilted / tilted.sum()) + rng.multinomial(usual, weights / weights.sum())
    then = rng.multinomial(before.hits, weights / weights.sum())
    return {name: (int(recent[i]), int(then[i])) for i, name in enumerate(names)}


def agents(rng: Generator, world: Background, total: int, *, refusals: int) -> tuple[AgentDenials, ...]:
    """Requests and denials of a few agents; one of them acts outside its scope and is refused `refusals` times.

    Refusals are what makes the escalations of such a case, so the caller draws them in proportion to the excess.
    """
    culprit = int(rng.integers(0, 3))
    found = []
    for index in range(3):
        calls = float(rng.uniform(0.5, 3.0))
        usual = float(rng.uniform(0.0005, 0.01))
        requests, before = int(rng.poisson(calls * total)), int(calls * world.volume * world.reference)
        denied = noisy_rate(rng, usual, requests, world.minutes, 0.4).hits * int(rng.choice([1, 1, 1, 2]))
        if index == culprit:
            denied += refusals
            requests += refusals
        past = noisy_rate(rng, usual, before, world.reference, 0.2)
        top = (DenialCount(f"agent-{index}", "refunds.issue", "svc-refunds", denied, past.hits),) if denied else ()
        found.append(AgentDenials(f"agent-{index}", Rate(min(denied, requests), requests, world.minutes), past, top))
    return tuple(found)


def breakers_and_calls(
    rng: Generator, world: Background, total: int, *, failing: bool
) -> tuple[tuple[DependencyHealth, ...], bool]:
    """Two dependencies and their breakers, one of them perhaps failing; and whether the failing one's is engaged."""
    found: list[DependencyHealth] = []
    engaged = False
    for index, name in enumerate(("fraud-check-api", "ledger-api")):
        calls, usual = float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.002, 0.015))
        down = failing and index == 0
        rate = float(rng.uniform(0.12, 0.8)) if down else usual * float(rng.lognormal(0.0, 0.4))
        recent = noisy_rate(rng, rate, int(rng.binomial(total, calls)), world.minutes, 0.05)
        before = noisy_rate(rng, usual, int(calls * world.volume * world.reference), world.reference, 0.1)
        opens = down and rng.random() < 0.65
        state: BreakerState = "open" if opens else "closed"
        changed = world.true_onset_ms + int(rng.integers(0, 4)) * MINUTE_MS if opens else world.onset_ms - 86_400_000
        if not down and rng.random() < 0.02:
            state, changed = "open", world.onset_ms - int(rng.integers(0, 1000)) * MINUTE_MS
        reading = BreakerReading(name, "all", state, changed, world.tick_ms, None, int(opens), int(opens))
        known = world.breaker_known or index == 1
        engaged = engaged or (opens and known)
        found.append(DependencyHealth(name, recent, before, recent.hits * 2 // 3, (reading,) if known else ()))
    return tuple(found), engaged


def scores(rng: Generator, world: Background, total: int, *, drop: float) -> tuple[ScoreTrend, ...]:
    """Scores of two criteria from a judge that samples some interactions and wanders a little."""
    sampled = float(rng.uniform(0.05, 0.5))
    found = []
    for criterion, fall in (("correctness", 0.4 * drop), ("escalation_appropriateness", drop)):
        level, spread = float(rng.uniform(3.9, 4.5)), float(rng.uniform(0.5, 0.9))
        shift = float(rng.normal(0.0, 0.08)) - fall
        recent = _summary(rng, min(400, int(rng.binomial(total, sampled))), level + shift, spread)
        before = _summary(rng, min(4000, int(sampled * world.volume * world.reference)), level, spread)
        found.append(ScoreTrend(FLOW, criterion, recent, before))
    return tuple(found)


def _summary(rng: Generator, count: int, mean: float, spread: float) -> ScoreSummary:
    if count == 0:
        return ScoreSummary(0, 0.0, 0.0)
    drawn = np.clip(np.round(rng.normal(mean, spread, count)), 1, 5)
    return ScoreSummary(count, float(drawn.mean()), float(drawn.var(ddof=1)) if count > 1 else 0.0)


def history(rng: Generator, world: Background, style: str, lead_minutes: float, version: str) -> DeploymentHistory:
    """A rollout whose last step came `lead_minutes` before the true onset (after it, if negative)."""
    ramp = _RAMPS[style]
    last_ms = world.true_onset_ms - round(lead_minutes) * MINUTE_MS
    kind = str(rng.choice(["flow", "model", "prompt", "schema", "config"]))
    events = []
    for index, (share, minute) in enumerate(ramp):
        at = last_ms - round((ramp[-1][1] - minute) * MINUTE_MS)
        if at >= world.tick_ms:
            continue
        phase = "completed" if share == 100 else "started" if index == 0 else "progressed"
        events.append(
            Deployment(
                id=f"dep-{version}-{index}",
                time=_time(at),
                environment="production",
                system="refunds",
                change=kind,  # type: ignore[arg-type]
                component=FLOW,
                version=version,
                previous_version="v9",
                phase=phase,  # type: ignore[arg-type]
                canary_percent=share,
                target=Target(kind="argo_rollout", ref={"name": FLOW}),
            )
        )
    made = DeploymentHistory.of(events) if events else None
    return made if made is not None else history(rng, world, style, 5.0, version)


def outcomes(
    rng: Generator,
    world: Background,
    rollouts: tuple[DeploymentHistory, ...],
    total: int,
    rate: float,
    bad: DeploymentHistory | None,
) -> tuple[VersionOutcome, ...]:
    """Interactions and escalations by version; a bad version makes the excess in its own share of the traffic."""
    share, version = 0.0, "v9"
    for rollout in rollouts:
        latest = rollout.canary_percents[-1] / 100
        if rollout is bad or (bad is None and latest > 0):
            share, version = latest, rollout.version
    news = int(rng.binomial(total, share)) if share < 1 else total
    old_rate = world.base_rate if bad is not None else rate
    excess = max(0.0, rate - world.base_rate)
    new_rate = min(0.95, world.base_rate + excess / max(share, 0.25)) if bad is not None else rate
    counts = ((version, news, new_rate, 0), ("v9", total - news, old_rate, int(world.volume * world.reference)))
    return tuple(
        VersionOutcome(
            FLOW,
            name,
            noisy_rate(rng, hit_rate, count, world.minutes, 0.05),
            noisy_rate(rng, world.base_rate, before, world.reference, 0.05),
        )
        for name, count, hit_rate, before in sorted(counts)
        if count or before
    )


def _time(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)
