"""What each kind of event may be given by a program that sends it: the fields of `schemas.events`, for type checkers.

A test holds these to the models. `id`, `time`, `environment` and `system` may be left out: see `stream.producer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Required, TypedDict

from schemas.words import (
    BreakerState,
    ChangeKind,
    Decision,
    DeploymentPhase,
    Outcome,
    Pricing,
    ServiceTier,
)


class CommonFields(TypedDict, total=False):
    """What every event may carry."""

    id: str
    time: datetime
    environment: str
    system: str
    tags: Mapping[str, str]
    trace_id: str
    conversation_id: str
    tenant: str


class InteractionFields(CommonFields, total=False):
    """One request to an agent flow, finished."""

    flow: Required[str]
    version: str
    model: str
    outcome: Required[Outcome]
    escalation: Mapping[str, Any]
    duration_ms: float
    steps: Sequence[Mapping[str, Any]]
    request: str
    response: str
    context: str


class AuthorizationFields(CommonFields, total=False):
    """One authorization decision on an agent's action."""

    agent: Required[str]
    action: Required[str]
    resource: str
    decision: Required[Decision]
    reason: str
    principal: str
    version: str
    interaction_id: str


class CircuitBreakerFields(CommonFields, total=False):
    """A breaker's state."""

    dependency: Required[str]
    breaker: str
    instance: str
    state: Required[BreakerState]
    previous_state: BreakerState
    reason: str
    failure_rate: float
    calls: int


class EvaluationFields(CommonFields, total=False):
    """One score of one interaction on one criterion."""

    flow: Required[str]
    version: str
    criterion: Required[str]
    score: Required[float]
    reasoning: str
    interaction_id: str
    judge: Mapping[str, str]
    sampling: Mapping[str, Any]


class DeploymentFields(CommonFields, total=False):
    """A change of a component, with the share of traffic that it has reached."""

    change: Required[ChangeKind]
    component: Required[str]
    version: Required[str]
    previous_version: str
    phase: Required[DeploymentPhase]
    canary_percent: Required[float]
    target: Mapping[str, Any]
    artifact: str


class UsageFields(CommonFields, total=False):
    """Tokens of one model call."""

    agent: str
    flow: str
    model: Required[str]
    provider: str
    pricing: Pricing
    deployment: str
    service_tier: ServiceTier
    input_tokens: Required[int]
    cached_input_tokens: int
    output_tokens: Required[int]
    cost_usd: float
