"""The events as the hot path holds them: msgspec structures with the limits of `schemas.events`, field for field.

`schemas.events` is the contract; a test holds these structures to it. They exist because they decode several times
faster than the models do. Unknown fields are refused here: the decoder drops and counts them and then reads the record
again, so that a record without any pays nothing for the count.

Free texts (request, response, context, reasoning) are decoded and checked like every other field. Leaving them as raw
bytes saves a tenth at 300 characters and half at 30,000, but gives up the check of their type, length and encoding.

The structures hold no reference that could lead back to themselves, so the cycle collector need not watch them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from schemas.base import MAX_COUNT, MAX_MILLISECONDS, MAX_NAME, MAX_STEPS, MAX_TEXT
from schemas.words import (
    BreakerState,
    ChangeKind,
    Decision,
    DeploymentPhase,
    EscalationReason,
    Outcome,
    Pricing,
    SamplingPurpose,
    ServiceTier,
    StepStatus,
)

if TYPE_CHECKING:
    EpochMs = int
else:
    # On the wire a time is text. The decoder checks it and puts the integer in its place before anyone sees the event.
    EpochMs = str

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Reference = Annotated[str, Meta(max_length=1024)]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Milliseconds = Annotated[float, Meta(ge=0, le=MAX_MILLISECONDS)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Rate = Annotated[float, Meta(ge=1e-6, le=1)]
Score = Annotated[float, Meta(ge=1, le=5)]
Dollars = Annotated[float, Meta(ge=0, le=1_000_000)]
Tags = Annotated[dict[Name, Annotated[str, Meta(max_length=MAX_NAME)]], Meta(max_length=50)]


class _Part(Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """A value inside an event."""


class _Event(Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What every event carries. `time` is the event time in milliseconds since 1970-01-01 UTC."""

    id: Name
    time: EpochMs
    environment: Name
    system: Name
    tags: Tags | None = None
    trace_id: Name | None = None
    conversation_id: Name | None = None
    tenant: Name | None = None


class Escalation(_Part, frozen=True, kw_only=True):
    """Why an interaction was handed to a human, and by which agent."""

    reason: EscalationReason
    agent: Name | None = None


class Step(_Part, frozen=True, kw_only=True):
    """One operation of one agent inside an interaction; times in milliseconds."""

    agent: Name
    operation: Name
    name: Name | None = None
    start_ms: Milliseconds
    duration_ms: Milliseconds
    status: StepStatus
    dependency: Name | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None


class Interaction(_Event, frozen=True, kw_only=True, tag="interaction"):
    """One request to an agent flow, finished."""

    flow: Name
    version: Name | None = None
    model: Name | None = None
    outcome: Outcome
    escalation: Escalation | None = None
    duration_ms: Milliseconds | None = None
    steps: Annotated[tuple[Step, ...], Meta(max_length=MAX_STEPS)] | None = None
    request: Text | None = None
    response: Text | None = None
    context: Text | None = None


class Authorization(_Event, frozen=True, kw_only=True, tag="authorization"):
    """One authorization decision on an agent's action."""

    agent: Name
    action: Name
    resource: Name | None = None
    decision: Decision
    reason: Name | None = None
    principal: Name | None = None
    version: Name | None = None
    interaction_id: Name | None = None


class CircuitBreaker(_Event, frozen=True, kw_only=True, tag="circuit_breaker"):
    """A breaker's state, as of `time`."""

    dependency: Name
    breaker: Name | None = None
    instance: Name | None = None
    state: BreakerState
    previous_state: BreakerState | None = None
    reason: Name | None = None
    failure_rate: Ratio | None = None
    calls: Count | None = None


class Judge(_Part, frozen=True, kw_only=True):
    """Who gave a score."""

    model: Name
    prompt_version: Name
    method: Name


class Sampling(_Part, frozen=True, kw_only=True):
    """How an interaction came to be scored."""

    rate: Rate
    purpose: SamplingPurpose
    uniform: bool = True
    incident_id: Name | None = None


class Evaluation(_Event, frozen=True, kw_only=True, tag="evaluation"):
    """One score of one interaction on one criterion, 1 (worst) to 5 (best)."""

    flow: Name
    version: Name | None = None
    criterion: Name
    score: Score
    reasoning: Text | None = None
    interaction_id: Name | None = None
    judge: Judge | None = None
    sampling: Sampling | None = None


class Target(_Part, frozen=True, kw_only=True):
    """What a rollback acts on."""

    kind: Name
    ref: Annotated[dict[Name, Reference], Meta(max_length=20)] = {}


class Deployment(_Event, frozen=True, kw_only=True, tag="deployment"):
    """A change of a component, with the share of traffic in percent that it has reached."""

    change: ChangeKind
    component: Name
    version: Name
    previous_version: Name | None = None
    phase: DeploymentPhase
    canary_percent: Percent
    target: Target | None = None
    artifact: Reference | None = None


class Usage(_Event, frozen=True, kw_only=True, tag="usage"):
    """Tokens of one model call; `input_tokens` includes the cached ones."""

    agent: Name | None = None
    flow: Name | None = None
    model: Name
    provider: Name | None = None
    pricing: Pricing | None = None
    deployment: Name | None = None
    service_tier: ServiceTier | None = None
    input_tokens: Count
    cached_input_tokens: Count | None = None
    output_tokens: Count
    cost_usd: Dollars | None = None


NativeEvent = Interaction | Authorization | CircuitBreaker | Evaluation | Deployment | Usage
