"""The case: all the evidence that triage gets, as of one firing. Pure values, gathered by the engine.

Counts are over two periods of the same system: `recent`, from the estimated onset to the tick, and `before`, a
reference period that ends at the onset. Every sequence is ordered by a stated rule, so that a case is the same
whatever order the telemetry arrived in. Times are minutes or milliseconds since 1970-01-01 UTC, as the name says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from schemas.events import Deployment
from schemas.outputs import Exemplar, Firing
from schemas.words import BreakerState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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

    `recent_changes` counts its state changes since the reference period began (a first report is not a change), and
    `recent_openings` those that left `closed` for `open` or `forced_open`: a flapping breaker shows there, while a
    breaker that probes a long outage by `half_open` does not. None where that was not counted.
    """

    breaker: str
    instance: str
    state: BreakerState
    changed_ms: int
    reported_ms: int
    failure_rate: float | None
    recent_changes: int
    recent_openings: int | None = None


@dataclass(frozen=True, slots=True)
class DependencyHealth:
    """Calls of one dependency as the steps of interactions saw them, and its breakers (by breaker, instance).

    `recent.hits` and `before.hits` are failed calls: errors and time-outs together; `recent_timeouts` those that timed
    out. A dependency that is known by its breaker alone has empty rates. Which escalations were routed away from a
    dependency is in `Case.reasons["dependency_unavailable"]`.
    """

    dependency: str
    recent: Rate
    before: Rate
    recent_timeouts: int
    breakers: tuple[BreakerReading, ...]
    exemplars: tuple[Exemplar, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """Scores of one criterion over a period: how many, their mean (points) and sample variance (points squared).

    Where the scores were drawn at different rates, mean and variance are weighted back, and `effective` is the size of
    the plain sample whose mean would be as exact.
    """

    count: int
    mean: float
    variance: float
    effective: float | None = None

    @property
    def size(self) -> float:
        """The size of the sample that counts in tests."""
        return float(self.count) if self.effective is None else self.effective


@dataclass(frozen=True, slots=True)
class BurstScores:
    """What the judge said of an incident's own escalated interactions, on one criterion of one flow.

    `low` of them scored below 3. They were chosen, not drawn: they say what this incident is made of, nothing of a
    trend. By flow and criterion.
    """

    flow: str
    criterion: str
    summary: ScoreSummary
    low: int


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
    """Escalations of one flow by version, in the recent period (hits are escalations).

    `shared` counts only those minutes of it in which another version of the flow served as well: what changed for all
    at some minute then looks the same in both. None where minutes are not known.
    """

    flow: str
    version: str
    recent: Rate
    before: Rate
    shared: Rate | None = None

    @property
    def same_period(self) -> Rate:
        """What is compared with another version."""
        return self.recent if self.shared is None else self.shared


@dataclass(frozen=True, slots=True)
class DeploymentHistory:
    """One rollout: every event of one component and version before the tick, in order of (time, id).

    `canary_percents` are the shares of traffic in time order; `first_ms` is when it first took traffic, `full_ms`
    when it reached 100 %, None if it did not. `rolled_back` says that the last event took it out of traffic. All
    four follow from `events`; `DeploymentHistory.of` derives them.
    """

    component: str
    version: str
    events: tuple[Deployment, ...]
    canary_percents: tuple[float, ...]
    first_ms: int
    full_ms: int | None
    rolled_back: bool

    @classmethod
    def of(cls, events: Iterable[Deployment]) -> DeploymentHistory | None:
        """The history that these events of one component and version make; None where it never took traffic."""
        ordered = tuple(sorted(events, key=lambda event: (event.time, event.id)))
        carrying = [event for event in ordered if takes_traffic(event)]
        if not carrying:
            return None
        full = next((event for event in carrying if event.canary_percent >= 100), None)
        return cls(
            component=ordered[0].component,
            version=ordered[0].version,
            events=ordered,
            canary_percents=tuple(event.canary_percent for event in ordered),
            first_ms=_millis(carrying[0]),
            full_ms=_millis(full) if full else None,
            rolled_back=ordered[-1].phase == "rolled_back",
        )


def takes_traffic(event: Deployment) -> bool:
    """Whether the event says that the version serves requests."""
    return event.phase != "rolled_back" and (event.canary_percent > 0 or event.phase == "completed")


def _millis(event: Deployment) -> int:
    return (event.time - _EPOCH) // timedelta(milliseconds=1)


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
    bursts: tuple[BurstScores, ...] = ()
    """Of the incidents that the firing's system has open, since the onset. By flow, criterion."""
    versions: tuple[VersionOutcome, ...] = ()
    """By flow, version."""
    deployments: tuple[DeploymentHistory, ...] | None = None
    """By first_ms, component, version: those with any event in the look-back (and its grace) before the tick, each with
    all of its events that are known, so that a ramp that began earlier is seen whole."""
    tags: Mapping[str, str] = field(default_factory=dict)
    exemplars: tuple[Exemplar, ...] = ()
    """Escalated interactions of the recent period."""
    volume_before: Rate | None = None
    """The scope's interactions a day earlier, over the hours of the clock that the recent period touches: what is
    usual at this time of day. None where there is no such history; the whole day before stands in then."""
    onset_latest_ms: int | None = None
    """The latest plausible onset, where the detector names one: what came later did not cause it."""
