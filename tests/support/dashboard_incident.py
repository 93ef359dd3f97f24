"""One incident of that night, whole: its verdict, the runbook's chain, requests, scores."""

from datetime import timedelta
from typing import Any, Literal

from dashboard import views as v
from schemas.outputs import (
    Engine,
    Exemplar,
    Finding,
    Link,
    ProbableCause,
    RankedCause,
    Recommendation,
    RollbackTarget,
    Trigger,
    Verdict,
)
from tests.support.dashboard_fleet import NOW, ago, chart

_DENIALS = "Denials are as usual: 0 of 13 requests since the onset."
_BREAKERS = "No dependency is degraded and no breaker is open, 1 looked at."
_SCORES = "Too few scores to tell: 1 score of escalation_appropriateness since the onset, 5 in one flow are needed."
_CHANGE = (
    "The flow change of refund-request (1.0 -> 1.1) at 2026-03-03T02:00Z, 4 min before the onset, went to 100 % of the "
    "traffic at once, without a canary ramp: the most likely single cause. 44.7 % of 38 interactions of the new "
    "version escalate against 3.7 % of 3,784 of the old one in the period before."
)


def findings() -> tuple[Finding, ...]:
    return (
        Finding(check="authorization_denials", severity="none", status="evaluated", summary=_DENIALS),
        Finding(check="circuit_breaker_state", severity="none", status="evaluated", summary=_BREAKERS),
        Finding(check="eval_score_trend", severity="none", status="no_data", summary=_SCORES),
        Finding(
            check="recent_deployments",
            severity="critical",
            status="evaluated",
            summary=_CHANGE,
            exemplars=(Exemplar(trace_id="4bf92f3577b34da6a3ce929d0e0e4736"), Exemplar(interaction_id="i-20931")),
        ),
    )


def advice(kind: Literal["rollback", "investigate"] = "rollback") -> Recommendation:
    return Recommendation(
        kind=kind,
        confidence=0.966,
        reason="Roll refund-request 1.1 back to 1.0: the cause is a deployment with probability 0.97, and the "
        "escalation rate began right behind it.",
        requires_approval=True,
        not_after=NOW + timedelta(minutes=8),
        idempotency_key="act_bvuzrgieicj47zpzwtasjxeqix",
    )


def verdict(shown: v.IncidentCard) -> Verdict:
    return Verdict(
        verdict_id="vrd_x",
        incident_id=shown.incident_id,
        revision=shown.revision,
        status="updated",
        decided_at=shown.decided_at,
        onset_at=shown.onset_at,
        scope=shown.scope,
        trigger=Trigger(
            firing_id="fir_x",
            detector="escalation_rate",
            tier="page",
            observed=0.455,
            baseline=0.037,
            ratio=12.2,
            threshold=0.08,
            unit="fraction",
            sample_count=22,
            baseline_count=9000.0,
            confidence=0.99999,
            window_start=ago(22),
            window_end=ago(17),
            summary="10 of 22 escalated in 5 min, 45.5 % against 3.7 %, 12.2x; chance 1 in 160,000",
        ),
        triage_result="recent_deployments",
        action="immediate_rollback_or_escalation",
        severity=shown.severity,
        probable_cause=ProbableCause(check="recent_deployments", summary=_CHANGE),
        findings=findings(),
        causes=(
            RankedCause(cause="deployment", probability=0.966),
            RankedCause(cause="judgement", probability=0.028),
            RankedCause(cause="unknown", probability=0.006),
        ),
        recommendation=advice(),
        target=RollbackTarget(
            kind="argo_rollout",
            ref={"cluster": "production-eu", "name": "refund-request", "namespace": "refunds"},
            component="refund-request",
            change="flow",
            from_version="1.1",
            to_version="1.0",
            canary_percent=100.0,
            deployed_at=ago(26),
            deployment_event_id="dep-1",
        ),
        links=(
            Link(rel="runbook", href="https://runbooks.example.com/escalations", text="Runbook: escalations"),
            Link(rel="bad", href="javascript:window.pwned=3", text="A link that must not be one"),
        ),
        engine=Engine(version="0.1.0", config_hash="cfg_1"),
    )


def chain(*, cut: bool = False) -> tuple[v.ChainStep, ...]:
    facts = (
        ("Component", "refund-request"),
        ("Version", "1.0 → 1.1"),
        ("Before the onset", "4 min"),
        ("Canary", "100 % at once"),
        ("New version escalates", "17 of 38 (44.7 %)"),
        ("Old version, before", "140 of 3,784 (3.7 %)"),
    )
    steps = []
    for order, found in enumerate(findings(), start=1):
        missing = cut and order == 3
        steps.append(
            v.ChainStep(
                order=order,
                check=found.check,
                question=v.CHECK_QUESTIONS[found.check],
                finding=None if missing else found,
                decided=order == 4,
                why="The check ran out of its 2 s; the chain went on without it." if missing else None,
                facts=facts if order == 4 else (("Denied", "0 of 13"), ("Before", "23 of 9,000")) if order == 1 else (),
            )
        )
    return tuple(steps)


def trace(number: int, outcome: str = "escalated") -> v.TraceView:
    failed = outcome != "resolved"
    steps = (
        v.TraceStep(
            agent="triage-agent",
            operation="chat",
            name="classify",
            start_ms=0,
            duration_ms=640,
            status="ok",
            tokens=812,
        ),
        v.TraceStep(
            agent="refund-agent",
            operation="execute_tool",
            name="lookup_order",
            start_ms=660,
            duration_ms=210,
            status="ok",
            dependency="orders-db",
        ),
        v.TraceStep(
            agent="refund-agent",
            operation="execute_tool",
            name="fraud_check",
            start_ms=880,
            duration_ms=3000,
            status="timeout" if failed else "ok",
            dependency="fraud-api",
        ),
        v.TraceStep(
            agent="refund-agent",
            operation="chat",
            name="answer",
            start_ms=3900,
            duration_ms=930,
            status="ok",
            tokens=1544,
        ),
    )
    return v.TraceView(
        interaction_id=f"i-{number}",
        trace_id=f"4bf92f3577b34da6a3ce929d0e0e{number}",
        at=ago(18 - number % 5),
        flow="refund-request",
        version="1.1",
        outcome=outcome,
        reason="high_risk" if failed else None,
        duration_ms=4830,
        steps=steps,
        failed_at=2 if failed else None,
    )


SCORES = (
    v.ScoreRow(
        criterion="escalation_appropriateness",
        flow="refund-request",
        version="1.1",
        mean=3.55,
        low=3.34,
        high=3.75,
        scores=81,
        method="g_eval",
    ),
    v.ScoreRow(
        criterion="escalation_appropriateness",
        flow="refund-request",
        version="1.0",
        mean=4.19,
        low=4.165,
        high=4.209,
        scores=2047,
        method="g_eval",
    ),
    v.ScoreRow(
        criterion="tone",
        flow="refund-request",
        version="1.1",
        mean=4.575,
        low=4.5,
        high=4.64,
        scores=81,
        method="g_eval",
    ),
    v.ScoreRow(criterion="correctness", flow="refund-request", version=None, mean=None, low=None, high=None, scores=0),
)


def incident_view(shown: v.IncidentCard, **changes: Any) -> v.IncidentView:
    approves = shown.awaits_approval
    base: dict[str, Any] = {
        "card": shown,
        "verdict": verdict(shown),
        "recommendation": advice(),
        "chain": chain(),
        "chart": chart(),
        "versions": (
            v.VersionOutcome(
                version="1.1", interactions=38, escalated=17, rate=0.447, low=0.30, high=0.60, is_suspect=True
            ),
            v.VersionOutcome(version="1.0", interactions=3784, escalated=140, rate=0.037, low=0.031, high=0.043),
        ),
        "traces": (trace(4736), trace(4737), trace(4738, "resolved")),
        "denials": (
            v.DenialRow(
                agent="refund-agent",
                action="customers:export",
                requests=19,
                denials=8,
                principal="user-4711",
                reason="not in role",
            ),
            v.DenialRow(agent="refund-agent", action="payments:transfer", requests=9, denials=2, principal="svc-batch"),
        ),
        "scores": SCORES,
        "revisions": (
            v.Revision(
                revision=0,
                verdict_id="vrd_0",
                at=ago(17),
                status="firing",
                text="opened the incident: recent deployments.",
            ),
            v.Revision(
                revision=1,
                verdict_id="vrd_1",
                at=ago(12),
                status="updated",
                text="is surer now: the outcome by version agrees (97 %).",
            ),
        ),
        "actions": (
            v.ActionView(
                at=ago(15), by="pager", what="paged the first line", detail="Delivered on the first try", ok=True
            ),
        ),
        "approval_key": advice().idempotency_key if approves else None,
        "approval_until": advice().not_after if approves else None,
    }
    return v.IncidentView(**(base | changes))
