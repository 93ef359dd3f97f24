"""A random system, a random cause, and everything beside it that misleads: what an end-to-end incident is made of.

Sizes, shares and styles are this family's own, not those of `scenarios.cases`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator

from scenarios.cases import PRIORS
from scenarios.fleet_model import (
    AT_ONCE,
    FULL_CANARY,
    HOUR_MS,
    MINUTE_MS,
    DenialSpike,
    Effect,
    Flow,
    MoreEscalations,
    MoreTraffic,
    Omitted,
    Outage,
    Period,
    Permission,
    Rollout,
    ScoreShift,
    StepPlan,
    System,
    Unheard,
)
from schemas.words import CAUSES, Cause, ChangeKind, EscalationReason, EventType

LIVE_HOURS: Final = 2
_YEAR_HOURS: Final = 1_767_225_600_000 // HOUR_MS
_EVER: Final = Period(0, 2**53)
_REASONS: Final[tuple[EscalationReason, ...]] = ("ambiguous", "high_risk", "customer_request", "policy", "error")
_MISSING: Final = 0.05
_RAMPS: Final[dict[str, tuple[tuple[int, float], ...]]] = {
    "at_once": AT_ONCE,
    "hasty": ((0, 10.0), (4, 50.0), (8, 100.0)),
    "one_step": ((0, 20.0), (20, 100.0)),
    "small_canary": ((0, 10.0),),
    "large_canary": ((0, 40.0),),
    "full": FULL_CANARY,
}
_BAD_STYLES: Final = {
    "at_once": 0.4, "hasty": 0.15, "one_step": 0.1, "small_canary": 0.08, "large_canary": 0.12, "full": 0.15
}  # fmt: skip
_INNOCENT_STYLES: Final = {
    "at_once": 0.15, "hasty": 0.1, "one_step": 0.1, "small_canary": 0.08, "large_canary": 0.07, "full": 0.5
}  # fmt: skip
_KINDS: Final[tuple[ChangeKind, ...]] = ("flow", "model", "prompt", "schema", "config")
_CAUSED_BY: Final[dict[Cause, dict[EscalationReason, float]]] = {
    "authorization_scope": {"policy": 0.55, "error": 0.25, "ambiguous": 0.2},
    "dependency": {"error": 1.0},
    "judgement": {"ambiguous": 0.6, "high_risk": 0.15, "customer_request": 0.15, "error": 0.1},
    "deployment": {"ambiguous": 0.35, "error": 0.35, "policy": 0.12, "customer_request": 0.1, "high_risk": 0.08},
    "legitimate_traffic": {"high_risk": 0.6, "customer_request": 0.3, "ambiguous": 0.1},
    "unknown": {"error": 0.5, "ambiguous": 0.2, "customer_request": 0.15, "policy": 0.15},
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """One labelled incident; `bad_version` is the version that did it, if one did."""

    system: System
    effects: tuple[Effect, ...]
    cause: Cause
    begins_ms: int
    onset_ms: int
    ends_ms: int
    bad_version: str | None


@dataclass(frozen=True, slots=True)
class _Scene:
    """What the parts of an incident are drawn for: the flow that is struck, and when."""

    rng: Generator
    system: System
    flow: Flow
    period: Period

    def choose(self, weights: dict[str, float]) -> str:
        """One of the words, by weight."""
        share = np.array(list(weights.values()))
        return str(self.rng.choice(list(weights), p=share / share.sum()))

    def minutes(self, low: float, high: float) -> int:
        """A random length of time, in milliseconds, of whole minutes."""
        return round(self.rng.uniform(low, high)) * MINUTE_MS


def draw_world(seed: int, number: int) -> Drawn:
    """Incident `number` of `seed`."""
    rng = np.random.default_rng([seed, number])
    weights = np.array([PRIORS[cause] for cause in CAUSES])
    cause: Cause = CAUSES[int(rng.choice(len(CAUSES), p=weights / weights.sum()))]
    begins = (_YEAR_HOURS + int(rng.integers(72, 8_700))) * HOUR_MS
    onset = begins + int(rng.integers(10, 50)) * MINUTE_MS
    ends = begins + LIVE_HOURS * HOUR_MS
    system = _system(rng)
    ramp = 0 if rng.random() < 0.7 else round(rng.uniform(5, 40)) * MINUTE_MS
    # Ramps fall as they rise, so the end of a rising one lies behind the end of the incident's telemetry.
    scene = _Scene(rng, system, system.flows[0], Period(onset, ends + ramp, ramp))
    made, bad = _cause(scene, cause)
    effects = (*made, *_beside(scene), *_missing(rng))
    return Drawn(system, effects, cause, begins, onset, ends, bad)


def _system(rng: Generator) -> System:
    volume = float(np.exp(rng.uniform(np.log(1.0), np.log(30.0))))
    flows = [_flow(rng, 0, volume)]
    flows += [_flow(rng, index, volume * float(rng.uniform(0.1, 0.8))) for index in range(1, int(rng.integers(1, 4)))]
    omitted: list[Omitted] = ["version", "steps", "reason"]
    omits = frozenset(word for word in omitted if rng.random() < _MISSING)
    return System("shop", tuple(flows), (("cost-center", "cc-1"),), float(rng.uniform(8, 18)), 1, omits)


def _flow(rng: Generator, index: int, volume: float) -> Flow:
    agent = f"agent-{index if rng.random() < 0.8 else 0}"
    steps = [StepPlan(agent, "invoke_agent", "understand", 600.0, None, 800, 90)]
    for name in rng.choice(["ledger-api", "fraud-api", "parcel-api", "identity-api"], int(rng.integers(1, 4)), False):
        steps.append(StepPlan(agent, "execute_tool", "look-up", 180.0, str(name)))
    mix = rng.dirichlet([4, 3, 3, 2, 1])
    permission = Permission(
        agent, "orders:write", "orders/*", f"svc-{agent}", float(np.exp(rng.uniform(-7.5, -4.5))), 0.7
    )
    return Flow(
        f"flow-{index}",
        volume,
        float(rng.uniform(0.015, 0.08)),
        tuple(zip(_REASONS, mix.tolist(), strict=True)),
        "gpt-4o",
        "v1",
        tuple(steps),
        permission,
        ("Where is order {n}?",),
        ("Order {n} is on its way.",),
        judged_share=float(rng.choice([0.0, 0.03, 0.1, 0.3, 0.6], p=[0.05, 0.15, 0.3, 0.3, 0.2])),
    )


def _missing(rng: Generator) -> Iterator[Effect]:
    kinds: tuple[EventType, ...] = ("authorization", "circuit_breaker", "evaluation", "deployment")
    gone = {kind for kind in kinds if rng.random() < _MISSING}
    yield Unheard(_EVER, frozenset({"usage", *gone}))  # What model calls cost says nothing about a cause.


def _cause(scene: _Scene, cause: Cause) -> tuple[list[Effect], str | None]:
    """What the cause does, and the version that did it."""
    rng = scene.rng
    match cause:
        case "authorization_scope":
            return _denials(scene), None
        case "dependency":
            return [_outage(scene)], None
        case "judgement":
            drop = -float(rng.uniform(0.6, 1.8))
            return [
                _rise(scene, cause),
                ScoreShift(scene.period, "escalation_appropriateness", drop, scene.flow.name),
            ], None
        case "deployment":
            return _bad_rollout(scene)
        case "legitimate_traffic":
            surge = [MoreTraffic(scene.period, float(rng.uniform(1.5, 4.0)), scene.flow.name)] * int(
                rng.random() < 0.45
            )
            return [_rise(scene, cause), *surge], None
        case _:
            return [_rise(scene, cause)], None


def _excess(scene: _Scene, least: float = 2.5, most: float = 9.0) -> float:
    """A further share of escalations: so many times the usual, less the usual."""
    factor = float(np.exp(scene.rng.uniform(np.log(least), np.log(most))))
    return min(0.85, scene.flow.escalated_share * (factor - 1))


def _rise(scene: _Scene, cause: Cause) -> MoreEscalations:
    reason: EscalationReason = scene.choose(dict(_CAUSED_BY[cause]))  # type: ignore[arg-type, assignment]
    return MoreEscalations(scene.period, _excess(scene), reason, scene.flow.name)


def _denials(scene: _Scene) -> list[Effect]:
    rng = scene.rng
    principals = tuple(f"user-{number}" for number in range(int(rng.integers(1, 5))))
    often = float(np.exp(rng.uniform(np.log(0.1), np.log(2.0))))
    who = (
        scene.flow.permission.agent,
        ("accounts:export", "payments:transfer"),
        "accounts/9",
        principals,
        often,
        "{n}",
    )
    made: list[Effect] = [DenialSpike(scene.period, *who)]
    if rng.random() < 0.75:
        made.append(_rise(scene, "authorization_scope"))
    return made


def _outage(scene: _Scene) -> Outage:
    rng = scene.rng
    dependency = next(step.dependency for step in scene.flow.steps if step.dependency is not None)
    breaker = scene.choose({"opens": 0.62, "flaps": 0.08, "stays closed": 0.3})
    return Outage(
        scene.period,
        dependency,
        float(rng.uniform(0.15, 0.9)),
        None if breaker == "stays closed" else round(rng.uniform(0, 120_000)),
        float(rng.uniform(0.15, 0.6)),
        scene.minutes(2, 6) if breaker == "flaps" else None,
        None,
        bool(rng.random() < 0.4),
    )


def _bad_rollout(scene: _Scene) -> tuple[list[Effect], str]:
    rng, flow = scene.rng, scene.flow
    style = scene.choose(dict(_BAD_STYLES))
    ramp = _RAMPS[style]
    # What shows only later, when a batch job runs or a cache expires, is laid to all traffic: of whole rollouts only.
    delayed = ramp[-1][1] == 100 and rng.random() < 0.2
    share = _excess(scene, 3.0, 10.0)
    # The part of the traffic that a canary has must make the whole rise, or nobody would notice.
    most = max(percent for _, percent in ramp) / 100
    worse = min(0.9, share / most)
    lead = scene.minutes(5, 150) if delayed else scene.minutes(2, 8)
    start = scene.period.start_ms - lead - (120 * MINUTE_MS if style == "full" else 0)
    drop = -float(rng.uniform(0.3, 1.5)) if rng.random() < 0.3 else 0.0
    rollout = Rollout(
        flow.name,
        _KINDS[int(rng.integers(len(_KINDS)))],
        start,
        "bad",
        ramp,
        0.0 if delayed else worse,
        scene.choose(dict(_CAUSED_BY["deployment"])),  # type: ignore[arg-type]
        None,
        float(rng.uniform(0.05, 0.4)) if rng.random() < 0.04 else 0.0,
        (("escalation_appropriateness", drop),),
        flow.permission.agent if rng.random() < 0.15 else None,
    )
    return [rollout, *([_rise(scene, "deployment")] if delayed else [])], "bad"


def _beside(scene: _Scene) -> Iterator[Effect]:
    """What happens at the same time and has nothing to do with it."""
    rng, start = scene.rng, scene.period.start_ms
    if rng.random() < 0.35:
        yield _innocent(scene, scene.flow, "good-1", start - scene.minutes(-40, 360))
    if len(scene.system.flows) > 1 and rng.random() < 0.25:
        yield _innocent(scene, scene.system.flows[-1], "good-2", start - scene.minutes(-40, 360))
    if rng.random() < 0.08:
        at = start - scene.minutes(60, 300)
        yield Rollout(scene.flow.name, "prompt", at, "good-3", AT_ONCE, rolled_back_ms=at + scene.minutes(10, 50))
    if rng.random() < 0.1:
        yield MoreTraffic(Period(start - scene.minutes(0, 60), start + 3 * HOUR_MS), float(rng.uniform(1.2, 2.0)))
    if rng.random() < 0.08:
        agent = scene.system.flows[-1].permission.agent
        period = Period(start - scene.minutes(0, 40), start + scene.minutes(20, 90))
        yield DenialSpike(
            period, agent, ("orders:read",), "orders/1", ("svc-batch",), float(rng.uniform(0.01, 0.05)), "{n}"
        )
    if rng.random() < 0.08:
        others = [name for name in scene.system.dependencies if name not in {s.dependency for s in scene.flow.steps}]
        at = start - scene.minutes(-20, 90)
        for name in others[:1]:
            yield Outage(Period(at, at + scene.minutes(10, 60)), name, 0.5, 30_000, 0.02)
    if rng.random() < 0.1:
        yield ScoreShift(Period(start, start + 3 * HOUR_MS), "escalation_appropriateness", float(rng.normal(0, 0.15)))


def _innocent(scene: _Scene, flow: Flow, version: str, start_ms: int) -> Rollout:
    ramp = _RAMPS[scene.choose(dict(_INNOCENT_STYLES))]
    component = flow.permission.agent if scene.rng.random() < 0.15 else None
    kind = _KINDS[int(scene.rng.integers(len(_KINDS)))]
    return Rollout(flow.name, kind, start_ms, version, ramp, component=component)
