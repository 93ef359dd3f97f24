"""Labelled cases: what triage would see as of a firing, drawn at random, with the cause that made it.

Each case is a small world: volumes from half an interaction to sixty a minute, agents, dependencies with breakers,
scores from a judge that wanders, rollouts that come and go whatever else happens, and one cause that raises the
escalations. The background holds everything that misleads: innocent rollouts short of their ramp, breakers that are
open for reasons of their own, noisy denials, onset estimates that are off by minutes, and each source missing in one
case of twenty. The triage goals are measured on them; the same seed always gives the same cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator

from scenarios.cases_parts import (
    Background,
    agents,
    breakers_and_calls,
    firing,
    history,
    noisy_rate,
    outcomes,
    scores,
    split_reasons,
)
from schemas.words import CAUSES, Cause, DetectorName
from triage.case import Case, DeploymentHistory, Rate
from triage.statistics import conditional_greater

PRIORS: Final[dict[Cause, float]] = {
    "authorization_scope": 0.14,
    "dependency": 0.22,
    "judgement": 0.14,
    "deployment": 0.30,
    "legitimate_traffic": 0.15,
    "unknown": 0.05,
}
"""How often each cause is drawn. Assumed, not measured: changes come first, as in published analyses of postmortems,
but less so than there, because agents have more ways to go wrong. What the runbook does not know of is the rest."""

MISSING: Final = 0.05
"""Share of cases in which a source is not there at all."""

EPOCH_MS: Final = 1_767_225_600_000
"""2026-01-01T00:00Z: cases lie in the year that follows."""


@dataclass(frozen=True, slots=True)
class LabelledCase:
    """A case and the cause that made it."""

    case: Case
    cause: Cause


def labelled_cases(count: int, seed: int) -> Iterator[LabelledCase]:
    """`count` cases, drawn with `seed`."""
    rng = np.random.default_rng(seed)
    weights = np.array([PRIORS[cause] for cause in CAUSES])
    for _ in range(count):
        cause: Cause = CAUSES[int(rng.choice(len(CAUSES), p=weights / weights.sum()))]
        yield LabelledCase(_visible_case(rng, cause), cause)


def _visible_case(rng: Generator, cause: Cause) -> Case:
    """A case that a detector would have fired on; a world too quiet for that is drawn again."""
    while True:
        case = _draw(rng, cause)
        if case is not None:
            return case


def _draw(rng: Generator, cause: Cause) -> Case | None:
    world = Background.draw(rng)
    detector = _detector(rng, cause)
    excess = float(np.exp(rng.uniform(np.log(2.5), np.log(8.0)))) * world.base_rate - world.base_rate
    if detector != "escalation_rate":
        excess *= rng.uniform(0.0, 0.8)
    if cause == "legitimate_traffic" and rng.random() < 0.5:
        world.volume_recent *= rng.uniform(1.5, 4.0)
    if detector == "silence":
        world.volume_recent *= rng.uniform(0.0, 0.1)
    rate = min(0.9, world.base_rate * float(rng.normal(1.0, 0.1)) + excess)
    total = int(rng.poisson(world.volume_recent * world.minutes))
    rollouts, bad = _rollouts(rng, world, cause)
    shares = outcomes(rng, world, rollouts, total, rate, bad)
    now = Rate(sum(item.recent.hits for item in shares), total, world.minutes)
    then = noisy_rate(rng, world.base_rate, int(world.volume * world.reference), world.reference, 0.1)
    if not _would_fire(detector, now, then):
        return None
    usual = round(world.base_rate * total)
    reasons = split_reasons(
        rng, _excess_reason(rng, cause, world), max(0, now.hits - usual), min(now.hits, usual), then
    )
    dependencies, breaker_open = breakers_and_calls(rng, world, total, failing=cause == "dependency")
    if cause == "dependency" and not breaker_open:
        reasons = split_reasons(rng, "error", max(0, now.hits - usual), min(now.hits, usual), then)
    refused = cause == "authorization_scope" or (cause == "deployment" and rng.random() < 0.05)
    refusals = int(rng.poisson(rng.uniform(0.5, 3.0) * max(now.hits - usual, 3))) if refused else 0
    return Case(
        firing=firing(world, detector, now, then),
        tick_ms=world.tick_ms,
        onset_ms=world.onset_ms,
        reference_minutes=world.reference,
        interactions=now,
        interactions_before=then,
        reasons={} if rng.random() < MISSING else reasons,
        denials=None if rng.random() < MISSING else agents(rng, world, total, refusals=refusals),
        dependencies=None if rng.random() < MISSING else dependencies,
        scores=None if rng.random() < MISSING else scores(rng, world, total, drop=_drop(rng, cause)),
        versions=() if rng.random() < MISSING else shares,
        deployments=None if rng.random() < MISSING else rollouts,
    )


def _detector(rng: Generator, cause: Cause) -> DetectorName:
    draw = rng.random()
    if cause == "authorization_scope" and draw < 0.3:
        return "authorization_denials"
    if cause == "judgement" and draw < 0.25:
        return "evaluation_drop"
    if cause == "deployment" and draw < 0.06:
        return "evaluation_drop"
    if cause in ("dependency", "deployment", "unknown") and draw > 0.97:
        return "silence"
    return "escalation_rate"


def _would_fire(detector: DetectorName, now: Rate, then: Rate) -> bool:
    if detector != "escalation_rate":
        return True
    p = conditional_greater(now.hits, now.total, then.hits, then.total, 1.4)
    return now.hits >= 4 and p < 1e-3


def _rollouts(
    rng: Generator, world: Background, cause: Cause
) -> tuple[tuple[DeploymentHistory, ...], DeploymentHistory | None]:
    """The rollouts of the last hours, and the one that does it if the cause is a deployment."""
    found = []
    if rng.random() < 0.3:
        style = str(rng.choice(["full", "full", "full", "canary", "at_once", "hasty"]))
        found.append(history(rng, world, style, float(rng.uniform(-20.0, 340.0)), f"v{rng.integers(10, 20)}"))
    bad = None
    if cause == "deployment":
        style = str(rng.choice(["at_once", "hasty", "canary", "halfway", "full"], p=[0.35, 0.15, 0.15, 0.1, 0.25]))
        lead = float(rng.exponential(6.0)) if rng.random() < 0.75 else float(rng.uniform(5.0, 300.0))
        bad = history(rng, world, style, min(lead, 340.0), f"v{rng.integers(30, 40)}")
        found.append(bad)
    found.sort(key=lambda item: (item.first_ms, item.component, item.version))
    return tuple(found), bad


def _drop(rng: Generator, cause: Cause) -> float:
    """How far appropriateness falls, in points: a risky change may spoil judgement too, an outage hardly ever does."""
    if cause == "judgement":
        return float(rng.uniform(0.6, 1.6))
    if cause == "deployment" and rng.random() < 0.3:
        return float(rng.uniform(0.2, 1.2))
    if cause in ("authorization_scope", "unknown") and rng.random() < 0.1:
        return float(rng.uniform(0.1, 0.6))
    return 0.0


def _excess_reason(rng: Generator, cause: Cause, world: Background) -> str:
    """Which reason most of the additional escalations give."""
    if cause == "dependency":
        return "dependency_unavailable" if world.breaker_known else "error"
    choices: dict[Cause, tuple[list[str], list[float]]] = {
        "authorization_scope": (["policy", "error", "high_risk", "ambiguous"], [0.6, 0.2, 0.1, 0.1]),
        "judgement": (["ambiguous", "high_risk", "customer_request", "error"], [0.65, 0.15, 0.15, 0.05]),
        "deployment": (["error", "ambiguous", "policy", "customer_request", "high_risk"], [0.45, 0.3, 0.1, 0.1, 0.05]),
        "legitimate_traffic": (["high_risk", "customer_request", "ambiguous", "policy"], [0.65, 0.25, 0.05, 0.05]),
        "unknown": (["error", "customer_request", "policy", "ambiguous", "high_risk"], [0.6, 0.15, 0.1, 0.1, 0.05]),
    }
    words, weights = choices[cause]
    return str(rng.choice(words, p=weights))
