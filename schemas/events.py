"""The telemetry that Midwatch reads: one model for each event type, and their union.

These models are the contract. The hot path decodes with faster structures (`stream.adapters.native`), which a test
holds to these; a record that the fast path refuses is read again here for an error that says what was wrong.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from schemas.base import MAX_STEPS, Count, Finite, Milliseconds, Model, Name, Percent, Ratio, Tags, Text, Time
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


class EventBase(Model):
    """What every event carries. `time` is the event time, RFC 3339; `environment` and `system` say whose it is."""

    id: Name
    time: Time
    environment: Name
    system: Name
    tags: Tags | None = None
    trace_id: Name | None = None
    conversation_id: Name | None = None
    tenant: Name | None = None


class Escalation(Model):
    """Why an interaction was handed to a human, and by which agent."""

    reason: EscalationReason
    agent: Name | None = None


class Step(Model):
    """One operation of one agent inside an interaction; `start_ms` counts from the interaction's start."""

    agent: Name
    operation: Name
    name: Name | None = None
    start_ms: Milliseconds
    duration_ms: Milliseconds
    status: StepStatus
    dependency: Name | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None


class Interaction(EventBase):
    """One request to an agent flow, finished: how it ended, how long it took, which steps it went through."""

    type: Literal["interaction"] = "interaction"
    flow: Name
    version: Name | None = None
    model: Name | None = None
    outcome: Outcome
    escalation: Escalation | None = None
    duration_ms: Milliseconds | None = None
    steps: Annotated[tuple[Step, ...], Field(max_length=MAX_STEPS)] | None = None
    request: Text | None = None
    response: Text | None = None
    context: Text | None = None


class Authorization(EventBase):
    """One authorization decision on an agent's action."""

    type: Literal["authorization"] = "authorization"
    agent: Name
    action: Name
    resource: Name | None = None
    decision: Decision
    reason: Name | None = None
    principal: Name | None = None
    version: Name | None = None
    interaction_id: Name | None = None


class CircuitBreaker(EventBase):
    """A breaker's state, as of `time`; a breaker may have several instances."""

    type: Literal["circuit_breaker"] = "circuit_breaker"
    dependency: Name
    breaker: Name | None = None
    instance: Name | None = None
    state: BreakerState
    previous_state: BreakerState | None = None
    reason: Name | None = None
    failure_rate: Ratio | None = None
    calls: Count | None = None


class Judge(Model):
    """Who gave a score: the judging model, the version of its prompt, and the scoring method."""

    model: Name
    prompt_version: Name
    method: Name


class Sampling(Model):
    """How an interaction came to be scored, so that estimates can be weighted back.

    `rate` is the probability with which it was drawn. `uniform` says that it would have been drawn at the rate of every
    outcome, too: such scores alone are a fair sample without weights. `incident_id` names the incident of a burst.
    """

    rate: Annotated[Finite, Field(ge=1e-6, le=1)]
    purpose: SamplingPurpose
    uniform: bool = True
    incident_id: Name | None = None


class Evaluation(EventBase):
    """One score of one interaction on one criterion, 1 (worst) to 5 (best)."""

    type: Literal["evaluation"] = "evaluation"
    flow: Name
    version: Name | None = None
    criterion: Name
    score: Annotated[Finite, Field(ge=1, le=5)]
    reasoning: Text | None = None
    interaction_id: Name | None = None
    judge: Judge | None = None
    sampling: Sampling | None = None


class Target(Model):
    """What a rollback acts on: the kind (e.g. `argo_rollout`) and the reference that its tool needs."""

    kind: Name
    ref: Annotated[dict[Name, Annotated[str, Field(max_length=1024)]], Field(max_length=20)] = Field(
        default_factory=dict
    )


class Deployment(EventBase):
    """A change of a component, with the share of traffic (`canary_percent`) that it has reached."""

    type: Literal["deployment"] = "deployment"
    change: ChangeKind
    component: Name
    version: Name
    previous_version: Name | None = None
    phase: DeploymentPhase
    canary_percent: Percent
    target: Target | None = None
    artifact: Annotated[str, Field(max_length=1024)] | None = None


class Usage(EventBase):
    """Tokens of one model call. `input_tokens` includes the cached ones (OpenTelemetry's convention).

    `deployment` is the provider's name for what was called (a contract may price it), `service_tier` how it was served:
    both only matter to the price.
    """

    type: Literal["usage"] = "usage"
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
    cost_usd: Annotated[Finite, Field(ge=0, le=1_000_000)] | None = None


Event = Annotated[
    Interaction | Authorization | CircuitBreaker | Evaluation | Deployment | Usage, Field(discriminator="type")
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Validates any event: `EVENT.validate_json(data)`."""
