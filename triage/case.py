"""The case: all the evidence that triage gets, as of one firing. Pure values, gathered by the engine.

Counts are over two periods of the same system: `recent`, from the estimated onset to the tick, and `before`, a
reference period that ends at the onset. Every sequence is ordered by a stated rule, so that a case is the same
whatever order the telemetry arrived in. Times are minutes or milliseconds since 1970-01-01 UTC, as the name says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.events import Deployment
from schemas.outputs import Exemplar, Firing
from schemas.words import BreakerState


@dataclass(frozen=True, slots=True)
class Rate:
    """Events of interest out of all events over `minutes` minutes."""

    hits: int
    total: int
    minutes: int


@dataclass(frozen=True, slots=True)
class DenialCount:
    """Denials of one agent, action and principal, recent and before."""

    agent: str
    action: str
    principal: str
    recent: int
    before: int


@dataclass(frozen=True, slots=True)
class AgentDenials:
    """Requests and denials of one agent; `top` lists what makes the recent denials up, most first, then by name."""

    agent: str
    recent: Rate
    before: Rate
    top: tuple[DenialCount, ...]
    exemplars: tuple[Exemplar, ...] = ()


@dataclass(frozen=True, slots=True)
class BreakerReading:
    """The latest state of one instance of a breaker at the tick, and since when (`changed_ms`).

    `recent_changes` counts its state changes since the reference period began: a flapping breaker shows here.
    """

    breaker: str
    instance: str
    state: BreakerState
    changed_ms: int
    reported_ms: int
    failure_rate: float | None
    recent_changes: int


@dataclass(frozen=True, slots=True)
class DependencyHealth:
    """Calls of one dependency as the steps of interactions saw them, and its breakers (by breaker, instance).

    `recent.hits` and `before.hits` are failed calls: errors and time-outs together; `recent_timeouts` those that timed
    out. `routed` counts the recent escalations whose reason is `dependency_unavailable`.
    """

    dependency: str
    recent: Rate
    before: Rate
    recent_timeouts: int
    breakers: tuple[BreakerReading, ...]
    exemplars: tuple[Exemplar, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """Scores of one criterion over a period: how many, their mean (points) and variance (points squared)."""

    count: int
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class ScoreTrend:
    """Scores of one flow and criterion, recent and before; `by_version` holds (version, recent scores), by version."""

    flow: str
    criterion: str
    recent: ScoreSummary
    before: ScoreSummary
    by_version: tuple[tuple[str, ScoreSummary], ...] = ()


@dataclass(frozen=True, slots=True)
class VersionOutcome:
    """Escalations of one flow by version, in the recent period (hits are escalations)."""

    flow: str
    version: str
    recent: Rate
    before: Rate


@dataclass(frozen=True, slots=True)
class DeploymentHistory:
    """One rollout: every event of one component and version, in time order, that began before the tick.

    `canary_percents` are the shares of traffic in time order; `first_ms` is when it first took traffic, `full_ms`
    when it reached 100 %, None if it did not.
    """

    component: str
    version: str
    events: tuple[Deployment, ...]
    canary_percents: tuple[float, ...]
    first_ms: int
    full_ms: int | None
    rolled_back: bool


@dataclass(frozen=True, slots=True)
class Case:
    """All the evidence as of the firing.

    A field that is None had no source at all (no such telemetry from this system): the check answers `no_data`.
    An empty tuple means that the source is there and had nothing to say.
    """

    firing: Firing
    tick_ms: int
    onset_ms: int
    reference_minutes: int
    interactions: Rate | None
    """Escalations over interactions of the scope (its flow, or the whole system), recent period."""
    interactions_before: Rate | None
    reasons: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Escalations by reason: (recent, before)."""
    denials: tuple[AgentDenials, ...] | None = None
    """By agent."""
    dependencies: tuple[DependencyHealth, ...] | None = None
    """By dependency."""
    scores: tuple[ScoreTrend, ...] | None = None
    """By flow, criterion."""
    versions: tuple[VersionOutcome, ...] = ()
    """By flow, version."""
    deployments: tuple[DeploymentHistory, ...] | None = None
    """By first_ms, component, version: those that first took traffic in the look-back before the tick."""
    tags: Mapping[str, str] = field(default_factory=dict)
    exemplars: tuple[Exemplar, ...] = ()
    """Escalated interactions of the recent period."""
