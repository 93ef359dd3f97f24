"""The closed vocabularies of Midwatch: every word that an event, a finding or a verdict may use.

They are `Literal` types rather than enumerations, so that the models, the fast decoder and JSON Schema share one
definition and the values stay plain strings on the wire.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

EventType = Literal["interaction", "authorization", "circuit_breaker", "evaluation", "deployment", "usage"]
Outcome = Literal["resolved", "escalated", "failed", "abandoned"]
EscalationReason = Literal["ambiguous", "high_risk", "dependency_unavailable", "policy", "customer_request", "error"]
StepStatus = Literal["ok", "error", "timeout", "denied"]
Decision = Literal["allow", "deny"]
BreakerState = Literal["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"]
ChangeKind = Literal["flow", "model", "prompt", "schema", "config"]
DeploymentPhase = Literal["started", "progressed", "completed", "rolled_back"]
Pricing = Literal["payg", "ptu", "spillover"]
ServiceTier = Literal["standard", "batch", "flex", "priority"]
SamplingPurpose = Literal["sample", "burst", "anchor", "external"]
"""Why an interaction was scored: drawn from all traffic; of an incident; a known case that tests the judge; by others.
"""

DetectorName = Literal["escalation_rate", "authorization_denials", "burn_rate", "evaluation_drop", "silence"]
Tier = Literal["warning", "page"]
FiringStatus = Literal["firing", "resolved"]

CheckName = Literal["authorization_denials", "circuit_breaker_state", "eval_score_trend", "recent_deployments"]
TriageResult = Literal[
    "authorization_denials", "circuit_breaker_state", "eval_score_trend", "recent_deployments", "inconclusive"
]
Action = Literal["immediate_rollback_or_escalation", "manual_investigation"]
FindingSeverity = Literal["none", "info", "warning", "critical"]
FindingStatus = Literal["evaluated", "no_data", "error"]
Severity = Literal["critical", "warning", "info"]
VerdictStatus = Literal["firing", "updated", "resolved"]
RecommendationKind = Literal["rollback", "escalate_security", "escalate", "investigate", "none"]
Cause = Literal["authorization_scope", "dependency", "judgement", "deployment", "legitimate_traffic", "unknown"]

ControlType = Literal["silence", "acknowledgement", "approval"]
SilenceKind = Literal["silence", "maintenance"]
MutedBy = Literal["silence", "maintenance", "inhibition"]
Judgement = Literal["confirmed", "refuted"]
ApprovalDecision = Literal["approve", "refuse"]

ActionKind = Literal["rollback"]
ActionMode = Literal["dry_run", "live"]
ActionStatus = Literal[
    "proposed",
    "awaiting_approval",
    "approved",
    "refused",
    "started",
    "succeeded",
    "failed",
    "verified",
    "not_verified",
    "expired",
    "skipped",
]

DeadLetterReason = Literal[
    "not_utf8",
    "malformed_json",
    "too_large",
    "too_deep",
    "not_an_object",
    "missing_type",
    "unknown_type",
    "invalid_field",
    "not_finite",
    "future_timestamp",
    "ancient_timestamp",
    "unsupported_format",
]

CHECK_ORDER: Final[tuple[CheckName, ...]] = get_args(CheckName)
"""The runbook's order, gravest cause first (blueprint: the runbook it automates)."""

CAUSES: Final[tuple[Cause, ...]] = get_args(Cause)
DETECTORS: Final[tuple[DetectorName, ...]] = get_args(DetectorName)
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
CONTROL_TYPES: Final[tuple[ControlType, ...]] = get_args(ControlType)

INPUT_TOPICS: Final = (
    "agent.interactions",
    "agent.authorizations",
    "agent.circuit-breakers",
    "agent.evaluations",
    "agent.deployments",
    "agent.usage",
)
TOPIC_OF_TYPE: Final[dict[EventType, str]] = dict(zip(EVENT_TYPES, INPUT_TOPICS, strict=True))
VERDICTS_TOPIC: Final = "midwatch.verdicts"
FIRINGS_TOPIC: Final = "midwatch.firings"
DEAD_LETTERS_TOPIC: Final = "midwatch.dead-letters"
HEARTBEATS_TOPIC: Final = "midwatch.heartbeats"
SNAPSHOTS_TOPIC: Final = "midwatch.snapshots"
REPORTS_TOPIC: Final = "midwatch.reports"
DEFAULT_NAMESPACE: Final = "midwatch"
"""The engine's namespace where none is configured; also that of heartbeats and snapshots that name none."""

CONTROLS_TOPIC: Final = "midwatch.controls"
ACTIONS_TOPIC: Final = "midwatch.actions"
FEEDBACK_TOPIC: Final = "midwatch.feedback"
