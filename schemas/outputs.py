"""What Midwatch says: firings, findings, verdicts, dead letters, heartbeats.

Every time in a firing or a verdict is event time, so that the same telemetry always gives the same bytes; the wall
clock appears only in the headers of the records that carry them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field

from schemas.base import Count, Finite, Model, Name, Percent, Ratio, Text, Time
from schemas.canonical import content_id, jsonable
from schemas.words import (
    Action,
    Cause,
    ChangeKind,
    CheckName,
    DeadLetterReason,
    DetectorName,
    FindingSeverity,
    FindingStatus,
    FiringStatus,
    MutedBy,
    RecommendationKind,
    Severity,
    Tier,
    TriageResult,
    UndeliveredReason,
    VerdictStatus,
)

Evidence = dict[str, Any]
"""Facts under a finding or a firing: JSON values only, keys in snake case."""

if TYPE_CHECKING:
    AnyCheck: TypeAlias = CheckName
    AnyDetector: TypeAlias = DetectorName
else:
    # Our own code is held to our own names; at run time a third party's check or detector may bear its own.
    AnyCheck = Name
    AnyDetector = Name

Reference = Annotated[str, Field(min_length=1, max_length=2048)]


class Scope(Model):
    """Where it happened: the series' environment and system, and the dimension that the detector looks at."""

    environment: Name
    system: Name
    flow: Name | None = None
    agent: Name | None = None
    budget: Name | None = None
    criterion: Name | None = None
    version: Name | None = None


class Trigger(Model):
    """A detector's claim in numbers: what it saw, against what, over which window, and how sure it is.

    `ratio` is `observed / baseline`; `confidence` is 1 less the probability that chance alone gives as much;
    `sample_count` and `baseline_count` are the observations behind the two. `ratio_30m` and `meets_3x` state the
    literal rule "3x over baseline in the last 30 minutes", whichever rule decided.
    """

    firing_id: Name
    detector: AnyDetector
    tier: Tier
    observed: Finite
    baseline: Finite
    ratio: Finite | None = None
    threshold: Finite
    unit: Name
    sample_count: Count
    baseline_count: Finite
    confidence: Ratio
    window_start: Time
    window_end: Time
    ratio_30m: Finite | None = None
    meets_3x: bool | None = None
    summary: Text


class Firing(Trigger):
    """A detector's claim about one series, with its evidence, as published to `midwatch.firings`.

    A series opens a firing once (`status` firing), may raise it from warning to page (same id) and ends it (`status`
    resolved). `onset_at` is the estimated change point; `fired_at` the tick at which the claim was first made;
    `at` the tick of this record.
    """

    record: Literal["firing"] = "firing"
    status: FiringStatus
    scope: Scope
    at: Time
    fired_at: Time
    onset_at: Time
    evidence: Evidence = Field(default_factory=dict)

    @staticmethod
    def make_id(detector: str, scope: Scope, fired_at: str) -> str:
        """The id of the firing that `detector` opens for `scope` at tick `fired_at` (RFC 3339)."""
        return content_id("fir", {"detector": detector, "scope": jsonable(scope), "fired_at": fired_at})


class Exemplar(Model):
    """One interaction that shows what a finding says."""

    trace_id: Name | None = None
    interaction_id: Name | None = None


class Finding(Model):
    """One check's answer. `after_stop` marks the checks behind the first critical one, run as annotations.

    `check` is one of the runbook's (`schemas.words.CheckName`), or the name of a third party's, which only annotates.
    """

    check: AnyCheck
    severity: FindingSeverity
    status: FindingStatus
    after_stop: bool = False
    summary: Text
    evidence: Evidence = Field(default_factory=dict)
    exemplars: tuple[Exemplar, ...] = ()


class RankedCause(Model):
    """A cause and its probability given all the evidence."""

    cause: Cause
    probability: Ratio


class ProbableCause(Model):
    """The check that explains the trigger best, and how, in one sentence."""

    check: TriageResult
    summary: Text


class Recommendation(Model):
    """What a machine or a human should do. Machines act on `rollback` alone, within `not_after`, once per key."""

    kind: RecommendationKind
    confidence: Ratio
    reason: Text
    requires_approval: bool
    not_after: Time
    idempotency_key: Name


class RollbackTarget(Model):
    """Exactly what to roll back: `from_version` is the version to leave, `to_version` the one to return to."""

    kind: Name
    ref: dict[str, str]
    component: Name
    change: ChangeKind
    from_version: Name
    to_version: Name | None = None
    canary_percent: Percent
    deployed_at: Time
    deployment_event_id: Name


class Link(Model):
    """A place to read on: a runbook, the page of the incident, a trace."""

    rel: Name
    href: Reference
    text: Name


class Engine(Model):
    """Which engine said it: its version and a hash of the settings that shape its answers."""

    version: Name
    config_hash: Name


class Muted(Model):
    """Why nobody is to be paged: a silence, a maintenance window, or another incident that explains this one.

    `id` is the silence's, or that incident's. `until` is when the first of the incident's firings is no longer covered,
    as far as that is known now; for an inhibition it is not.
    """

    by: MutedBy
    id: Name
    until: Time | None = None
    reason: Annotated[str, Field(max_length=1000)] | None = None


class Acknowledged(Model):
    """Who has the incident in hand, and since when."""

    by: Name
    at: Time
    note: Annotated[str, Field(max_length=1000)] | None = None


class Verdict(Model):
    """The chain's answer to an incident, one revision of it.

    With `muted`, page nobody and act on nothing: the verdict is for the record, and its recommendation never goes
    without approval. A revision without `muted` behind one with it is a trigger, even if its status is `updated`; one
    with `muted` behind one without it is to be treated like a resolve, with a note; a `resolved` that is muted needs no
    page either. `acknowledged` stands from the acknowledgement to the incident's end. Each change of either is a
    revision.

    `related` lists the other scopes that fired; `related_total` is there where that list had to be cut, and counts them
    all. `inhibited` lists the scopes of later firings that the incident's cause explains: they page nobody.
    """

    verdict_id: Name
    incident_id: Name
    revision: Count
    status: VerdictStatus
    decided_at: Time
    onset_at: Time
    scope: Scope
    trigger: Trigger
    triage_result: TriageResult
    action: Action
    severity: Severity
    probable_cause: ProbableCause | None = None
    findings: tuple[Finding, ...]
    causes: tuple[RankedCause, ...]
    recommendation: Recommendation
    target: RollbackTarget | None = None
    related: tuple[Scope, ...] = ()
    related_total: Count | None = None
    inhibited: tuple[Scope, ...] | None = None
    muted: Muted | None = None
    acknowledged: Acknowledged | None = None
    links: tuple[Link, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)
    engine: Engine

    def with_id(self) -> Verdict:
        """The same verdict with the id that its content gives."""
        body = {key: value for key, value in jsonable(self).items() if key != "verdict_id"}
        return self.model_copy(update={"verdict_id": content_id("vrd", body)})


class DeadLetter(Model):
    """A record that could not be read: why, and where it is. `payload` is redacted and capped."""

    reason: DeadLetterReason
    detail: Text
    topic: Name
    partition: Count
    offset: Count
    timestamp: Time | None = None
    size: Count
    payload: Text | None = None


class Undelivered(Model):
    """A verdict that a sink gave up: which one, where it stands, and why. It is never tried again by itself."""

    sink: Name
    kind: Name
    reason: UndeliveredReason
    detail: Text
    topic: Name
    partition: Count
    offset: Count
    published_at: Time | None = None
    verdict_id: Name | None = None
    incident_id: Name | None = None
    revision: Count | None = None
    status: VerdictStatus | None = None


class Heartbeat(Model):
    """A sign of life for one shard: the last tick that was evaluated and committed, and by which worker.

    `namespace` is the engine's (`redis.namespace`): several engines may share one Kafka.
    """

    shard: Count
    shards: Count
    tick: Time
    worker: Name
    epoch: Count
    series: Count
    engine: Engine
    namespace: Name | None = None
