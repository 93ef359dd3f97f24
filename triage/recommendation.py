"""What to do: the one answer that machines may act on, and why.

A rollback is recommended only on positive evidence of more than one kind: the cause `deployment` is at least 90 %
probable, `recent_deployments` is critical and names a target, the change precedes the onset, and a measured signal
stands behind it besides the deployment event: the outcome by version; or, of a change that took all traffic, a firing
that does not rest on a judge's scores and began right behind it. A canary has its outcome to be judged by. It may go
without approval only if the settings allow that and the outcome by version, in the same period, is proof: one forged
event, or a judge that was lied to, never moves anything by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from schemas.canonical import content_id, jsonable
from schemas.outputs import Finding, Recommendation, RollbackTarget
from schemas.words import Cause, RecommendationKind
from triage.case import Case
from triage.chain import ChainResult
from triage.settings import RecommendationSettings
from triage.words import bounded, moment, quoted


@dataclass(frozen=True, slots=True)
class Advice:
    """The recommendation and the target that it is about, if any."""

    recommendation: Recommendation
    target: RollbackTarget | None


def advise(
    incident_id: str,
    case: Case,
    result: ChainResult,
    probabilities: Mapping[Cause, float],
    settings: RecommendationSettings,
) -> Advice:
    """The recommendation as of the case's tick."""
    target = _target(result.finding("recent_deployments"))
    kind, confidence, reason = _decide(case, result, probabilities, target, settings)
    automatic = kind == "rollback" and settings.automatic_rollback and _proven(result)
    recommendation = Recommendation(
        kind=kind,
        confidence=round(confidence, 4),
        reason=bounded(reason),
        requires_approval=not automatic,
        not_after=moment(case.tick_ms) + timedelta(minutes=settings.valid_minutes),
        idempotency_key=idempotency_key(incident_id, kind, target if kind == "rollback" else None),
    )
    return Advice(recommendation, target)


def idempotency_key(incident_id: str, kind: RecommendationKind, target: RollbackTarget | None) -> str:
    """The key of an action: the same for every revision of an incident that asks for the same thing."""
    what = {"component", "change", "from_version", "to_version", "kind", "ref", "deployment_event_id"}
    subject = {key: value for key, value in jsonable(target).items() if key in what} if target else {}
    return content_id("act", {"incident_id": incident_id, "kind": kind, "target": subject})


def _decide(
    case: Case,
    result: ChainResult,
    probabilities: Mapping[Cause, float],
    target: RollbackTarget | None,
    settings: RecommendationSettings,
) -> tuple[RecommendationKind, float, str]:
    deployment = probabilities["deployment"]
    if target is not None and deployment >= settings.rollback_probability and _supported(case, result):
        back = f" to {quoted(target.to_version)}" if target.to_version else ""
        reason = (
            f"Roll {quoted(target.component)} {quoted(target.from_version)} back{back}: the cause is a deployment "
            f"with probability {deployment:.2f}, and {_support_words(case, result)}."
        )
        return "rollback", deployment, reason
    if result.triage_result == "authorization_denials":
        probability = probabilities["authorization_scope"]
        return (
            "escalate_security",
            probability,
            "An agent is being refused what it attempts: have security look at it now.",
        )
    if result.decided is not None:
        return (
            "escalate",
            _probability_of(result, probabilities),
            _why_not_rollback(result, probabilities["deployment"], target, settings),
        )
    legitimate = probabilities["legitimate_traffic"]
    if legitimate >= settings.benign_probability:
        return "none", legitimate, "Legitimate traffic, and the system handles it: staff the queue, change nothing."
    cause = max(probabilities, key=lambda name: probabilities[name])
    return (
        "investigate",
        probabilities[cause],
        f"No check is critical; the likeliest cause is {cause.replace('_', ' ')}.",
    )


_CAUSE_OF: Mapping[str, Cause] = {
    "authorization_denials": "authorization_scope",
    "circuit_breaker_state": "dependency",
    "eval_score_trend": "judgement",
    "recent_deployments": "deployment",
}


def _probability_of(result: ChainResult, probabilities: Mapping[Cause, float]) -> float:
    return probabilities[_CAUSE_OF[result.triage_result]]


def _why_not_rollback(
    result: ChainResult, probability: float, target: RollbackTarget | None, settings: RecommendationSettings
) -> str:
    if result.triage_result == "circuit_breaker_state":
        return "A dependency is degraded and nothing routes around it: engage the breaker by hand, call its owner."
    if result.triage_result == "eval_score_trend":
        return "The system's judgement is degrading: call the flow's owner; judge scores alone move no machine."
    changes = result.decided
    if changes is not None and changes.evidence.get("rolled_back"):
        return "The change has been rolled back already: watch the recovery, look further if there is none."
    if target is None:
        return "A change is the likeliest single cause, but its event names no target: roll it back by hand."
    if probability < settings.rollback_probability:
        return f"A change is suspected with probability {probability:.2f}, not enough for a machine: decide by hand."
    return "A change is suspected, but no measured signal stands behind it yet: decide by hand."


ONSET_ERROR_MINUTES: Final = 3
"""How far the estimated onset may lie before the true one: a change this little after it may still have come first.
Over eight seeds of the simulated fleet the estimate was off by -3 to +4 minutes. Where the detector's own interval is
wider, that counts."""

RIGHT_BEHIND_MINUTES: Final = 15
"""How long after a change an effect still begins right behind it: pods start, traffic follows, counts gather."""

FULL_SHARE: Final = 100.0


def _target(changes: Finding | None) -> RollbackTarget | None:
    if changes is None or changes.severity != "critical" or not isinstance(changes.evidence.get("target"), dict):
        return None
    return RollbackTarget.model_validate_json(json.dumps(changes.evidence["target"]))


def _supported(case: Case, result: ChainResult) -> bool:
    """Whether the change precedes the onset and something measured stands behind it besides its own event.

    That is the outcome by version; or, where all traffic moved and left no old version to compare with, a firing that
    does not rest on a judge's scores and began right behind the change.
    """
    changes = result.finding("recent_deployments")
    if changes is None:
        return False
    doubt = max((case.onset_latest_ms or case.onset_ms) - case.onset_ms, 0) // 60_000
    minutes = changes.evidence.get("minutes_before_onset")
    if minutes is None or minutes < -max(ONSET_ERROR_MINUTES, doubt):
        return False
    if _proven(result):
        return True
    compared = changes.evidence.get("outcome") == "unclear"
    moved = (changes.evidence.get("target") or {}).get("canary_percent", 0.0) >= FULL_SHARE
    behind = minutes <= RIGHT_BEHIND_MINUTES
    return moved and behind and not compared and case.firing.detector != "evaluation_drop"


def _proven(result: ChainResult) -> bool:
    """Whether the new version's outcome is worse than the old one's in the same period."""
    changes = result.finding("recent_deployments")
    return changes is not None and changes.evidence.get("outcome") == "worse"


def _support_words(case: Case, result: ChainResult) -> str:
    firing = case.firing.detector.replace("_", " ")
    if _proven(result):
        return f"both the {firing} and the outcome by version say so"
    return f"the {firing} began right behind it"
