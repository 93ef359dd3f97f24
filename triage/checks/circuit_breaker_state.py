"""Is a dependency degraded, and did its breaker do its work? The runbook's second question.

A dependency is degraded if its failed calls (errors and time-outs) since the onset exceed the reference period by
Fisher's exact test against twice the reference odds. A degraded dependency should have an open breaker that routes to
a human: then the trigger is explained and the system works as designed. Degraded without one is critical.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import Count, Ratio
from schemas.outputs import Evidence, Finding
from schemas.words import CheckName, FindingSeverity
from triage.case import BreakerReading, Case, DependencyHealth, Rate
from triage.checks.base import MAX_LISTED, CheckSettings, evaluated, no_data
from triage.statistics import bonferroni, conditional_greater, fisher_greater, rounded
from triage.words import against_onset, chance, listed, percent, quoted, share_of, utc

Position = Literal["engaged", "partly_engaged", "engaged_earlier", "not_engaged", "unknown"]
"""What a breaker did: most instances route, some do, none does now but did since the onset, none, no breaker known."""

ENGAGED: Final = ("open", "forced_open", "half_open")
_ROUTED: Final = "dependency_unavailable"
_UNSEEN: Final = Rate(1, 100, 1)
"""What a dependency that was not called in the reference period is held to: a healthy one fails 1 call in 100."""


class CircuitBreakerStateSettings(CheckSettings):
    """When a dependency is degraded and when its breaker counts as engaged."""

    alpha: Annotated[Ratio, Field(description="p-value below which a dependency is degraded")] = 0.001
    natural_ratio: Annotated[
        float, Field(ge=1, le=100, description="how much a failure rate varies without news, as an odds ratio")
    ] = 2.0
    minimum_failures: Annotated[Count, Field(ge=1, description="fewest failed calls that count as degraded")] = 5
    engaged_share: Annotated[
        Ratio, Field(description="share of a breaker's instances that must be open for it to be engaged")
    ] = 0.5
    flap_openings: Annotated[
        Count, Field(ge=2, description="openings since the reference period began from which a breaker flaps")
    ] = 4
    flap_changes: Annotated[
        Count, Field(ge=2, description="state changes that count as flapping where openings are not counted")
    ] = 10
    stale_minutes: Annotated[
        Count, Field(description="a breaker that opened longer than this before the onset does not explain it")
    ] = 120


@dataclass(frozen=True)
class _Reading:
    """One dependency, judged."""

    health: DependencyHealth
    p_value: float
    degraded: bool
    position: Position
    flapping: bool
    opened_ms: int | None
    """When the latest instance that is engaged opened; None where none is."""


@dataclass(frozen=True)
class CircuitBreakerStateCheck:
    """The check `circuit_breaker_state`; its readings are those of `Answer`."""

    settings: CircuitBreakerStateSettings = field(default_factory=CircuitBreakerStateSettings)
    name: CheckName = "circuit_breaker_state"

    def check(self, case: Case) -> Finding:
        """Critical for a degraded dependency without an engaged breaker; an engaged breaker is an explanation."""
        if case.dependencies is None:
            return no_data(self.name, "No dependency calls and no breaker reports from this system.")
        if not any(item.recent.total or item.breakers for item in case.dependencies):
            return no_data(self.name, "No dependency was called since the onset and no breaker is known.")
        routed = _Routed.of(case)
        readings = [self._read(item, case.onset_ms, len(case.dependencies)) for item in case.dependencies]
        answers = sorted(
            ((self._answer(reading, routed, case), reading) for reading in readings),
            key=lambda pair: (_GRAVITY[pair[0]], pair[1].p_value, pair[1].health.dependency),
        )
        answer, worst = answers[0]
        evidence: Evidence = {
            "reading": answer,
            "dependency": worst.health.dependency,
            "p_value": rounded(worst.p_value),
            **routed.evidence(),
            "dependencies": [_dependency_evidence(item, word) for word, item in answers[:MAX_LISTED]],
        }
        same = sorted(item.health.dependency for word, item in answers[1:] if word == answer)
        summary = _words(answer, worst, routed, case)
        if same and answer != "healthy":
            summary += f" The same holds for {listed(same)}."
        return evaluated(self.name, _SEVERITY[answer], summary, evidence, worst.health.exemplars)

    def _read(self, health: DependencyHealth, onset_ms: int, tests: int) -> _Reading:
        p_value = 1.0
        if health.recent.hits >= self.settings.minimum_failures:
            reference = health.before if health.before.total else _UNSEEN
            p_value = bonferroni(fisher_greater(health.recent, reference, self.settings.natural_ratio), tests)
        engaged = [item for item in health.breakers if item.state in ENGAGED]
        return _Reading(
            health=health,
            p_value=p_value,
            degraded=p_value <= self.settings.alpha,
            position=self._position(health, engaged, onset_ms),
            flapping=any(self._flaps(item) for item in health.breakers),
            opened_ms=max((item.changed_ms for item in engaged), default=None),
        )

    def _position(self, health: DependencyHealth, engaged: list[BreakerReading], onset_ms: int) -> Position:
        if not health.breakers:
            return "unknown"
        if engaged and len(engaged) >= self.settings.engaged_share * len(health.breakers):
            return "engaged"
        if engaged:
            return "partly_engaged"
        closed_again = any(
            item.state == "closed" and item.recent_changes > 0 and item.changed_ms > onset_ms
            for item in health.breakers
        )
        return "engaged_earlier" if closed_again else "not_engaged"

    def _flaps(self, breaker: BreakerReading) -> bool:
        if breaker.recent_openings is None:
            return breaker.recent_changes >= self.settings.flap_changes
        return breaker.recent_openings >= self.settings.flap_openings

    def _answer(self, reading: _Reading, routed: _Routed, case: Case) -> Answer:
        if reading.position in ("not_engaged", "unknown") and reading.degraded:
            return "not_engaged"
        if reading.flapping:
            return "flapping"
        if reading.position == "partly_engaged" and reading.degraded:
            return "partly_engaged"
        if reading.position == "engaged_earlier" and (reading.degraded or routed.raised(self.settings)):
            return "engaged"
        if reading.position not in ("engaged", "partly_engaged") or reading.opened_ms is None:
            return "healthy"
        if routed.raised(self.settings):
            return "engaged"
        if case.onset_ms - reading.opened_ms > self.settings.stale_minutes * 60_000:
            return "open_before"
        return "engaged" if not routed.known else "open_not_routing"


Answer = Literal["not_engaged", "flapping", "partly_engaged", "engaged", "open_not_routing", "open_before", "healthy"]
_GRAVITY: Final[dict[Answer, int]] = {
    "not_engaged": 0,
    "partly_engaged": 1,
    "flapping": 2,
    "engaged": 3,
    "open_not_routing": 4,
    "open_before": 5,
    "healthy": 6,
}
_SEVERITY: Final[dict[Answer, FindingSeverity]] = {
    "not_engaged": "critical",
    "partly_engaged": "warning",
    "flapping": "warning",
    "engaged": "info",
    "open_not_routing": "warning",
    "open_before": "info",
    "healthy": "none",
}


@dataclass(frozen=True)
class _Routed:
    """The escalations whose reason is an unavailable dependency, recent and before; unknown where no reasons are."""

    known: bool
    recent: Rate
    before: Rate

    @classmethod
    def of(cls, case: Case) -> _Routed:
        recent, before = case.reasons.get(_ROUTED, (0, 0))
        now, then = case.interactions, case.interactions_before
        return cls(
            known=any(count for count, _ in case.reasons.values()),
            recent=Rate(recent, now.hits if now else recent, now.minutes if now else 0),
            before=Rate(before, then.hits if then else before, then.minutes if then else 0),
        )

    def raised(self, settings: CircuitBreakerStateSettings) -> bool:
        """Whether they come faster than before, by the conditional Poisson test, and are a fifth of the escalations."""
        p = conditional_greater(
            self.recent.hits, self.recent.minutes, self.before.hits, self.before.minutes, settings.natural_ratio
        )
        return p <= settings.alpha and self.recent.hits >= 0.2 * self.recent.total

    def evidence(self) -> Evidence:
        """The counts, for the finding."""
        return {
            "escalations_dependency_unavailable": self.recent.hits,
            "escalations_dependency_unavailable_before": self.before.hits,
            "escalations": self.recent.total,
            "reasons_known": self.known,
        }


def _words(answer: Answer, reading: _Reading, routed: _Routed, case: Case) -> str:
    name = quoted(reading.health.dependency)
    states = _states(reading.health)
    failing = f"{share_of(reading.health.recent)} calls fail, {percent(_rate(reading.health.before))} before"
    timeouts = f" ({reading.health.recent_timeouts:,} time out)" if reading.health.recent_timeouts else ""
    degraded = f"{failing}{timeouts} ({chance(reading.p_value)})" if reading.degraded else failing
    match answer:
        case "not_engaged":
            said = f"no breaker is open ({states})" if reading.health.breakers else "no breaker is known for it"
            return f"{name} is degraded and {said}: {degraded}. The breaker failed to engage, nothing routes around it."
        case "partly_engaged":
            return f"{name} is degraded and its breaker is engaged on some instances only ({states}): {degraded}."
        case "flapping":
            return f"The breaker of {name} flaps ({states}, {_changes(reading.health)} changes): {failing}."
        case "engaged":
            return f"{_opened(reading, case, states)}: {degraded}. {_routing(routed)}Working as designed."
        case "open_not_routing":
            return f"{_opened(reading, case, states)}, but few escalations name an unavailable dependency: {degraded}."
        case "open_before":
            return f"{_opened(reading, case, states)}, long before: it does not explain what is new."
        case _:
            return f"No dependency is degraded and no breaker is open, {len(case.dependencies or ())} looked at."


def _opened(reading: _Reading, case: Case, states: str) -> str:
    name = quoted(reading.health.dependency)
    if reading.opened_ms is None:
        return f"The breaker of {name} engaged after the onset and has closed again ({states})"
    when = f"{utc(reading.opened_ms)}, {against_onset(reading.opened_ms, case.onset_ms)}"
    return f"The breaker of {name} is engaged ({states}) since {when}"


def _routing(routed: _Routed) -> str:
    if not routed.known:
        return ""
    return f"{routed.recent.hits:,} of {routed.recent.total:,} escalations name an unavailable dependency. "


def _states(health: DependencyHealth) -> str:
    counts = Counter(item.state for item in health.breakers)
    if len(health.breakers) == 1:
        return health.breakers[0].state
    return ", ".join(f"{counts[state]} {state}" for state in sorted(counts))


def _changes(health: DependencyHealth) -> int:
    return max((item.recent_changes for item in health.breakers), default=0)


def _rate(rate: Rate) -> float:
    return rate.hits / rate.total if rate.total else 0.0


def _dependency_evidence(reading: _Reading, answer: Answer) -> Evidence:
    health = reading.health
    return {
        "dependency": health.dependency,
        "reading": answer,
        "degraded": reading.degraded,
        "breaker": reading.position,
        "flapping": reading.flapping,
        "p_value": rounded(reading.p_value),
        "failed": health.recent.hits,
        "timeouts": health.recent_timeouts,
        "calls": health.recent.total,
        "failed_before": health.before.hits,
        "calls_before": health.before.total,
        "breakers": [_breaker_evidence(item) for item in health.breakers[:MAX_LISTED]],
        "breaker_instances": len(health.breakers),
    }


def _breaker_evidence(item: BreakerReading) -> Evidence:
    return {
        "breaker": item.breaker,
        "instance": item.instance,
        "state": item.state,
        "since": utc(item.changed_ms),
        "recent_changes": item.recent_changes,
    }
