"""Verdicts for the page's tests: one that recommends a rollback, changed where a test wants it otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.outputs import (
    Engine,
    Exemplar,
    Finding,
    Heartbeat,
    ProbableCause,
    RankedCause,
    Recommendation,
    RollbackTarget,
    Scope,
    Trigger,
    Verdict,
)

AT = datetime(2026, 3, 1, 2, 20, tzinfo=UTC)
ONSET = datetime(2026, 3, 1, 2, 14, tzinfo=UTC)
ENGINE = Engine(version="0.1.0", config_hash="cfg_test")
KEY = "act_refunds"


def trigger(**changes: Any) -> Trigger:
    plain: dict[str, Any] = {
        "firing_id": "fir_1",
        "detector": "escalation_rate",
        "tier": "page",
        "observed": 0.137,
        "baseline": 0.0415,
        "ratio": 3.3,
        "threshold": 0.09,
        "unit": "escalations per interaction",
        "sample_count": 300,
        "baseline_count": 4000.0,
        "confidence": 0.9999,
        "window_start": ONSET,
        "window_end": AT,
        "summary": "41 of 300 escalated in 6 min, 13.7 % against 4.2 %, 3.3x; chance 1 in 6,300",
    }
    return Trigger(**{**plain, **changes})


def changes_evidence(**changes: Any) -> dict[str, Any]:
    return {
        "reading": "short",
        "change": "flow",
        "component": "refund",
        "version": "2026.11.3",
        "changed_at": "2026-03-01T02:02Z",
        "ramp_lacks": "went to 100 % without finishing its canary",
        "rolled_back": False,
        "new_interactions": 200,
        "new_escalations": 40,
        "old_interactions": 1000,
        "old_escalations": 41,
        "changes": [{"version": "2026.11.3", "previous_version": "2026.11.2"}],
        **changes,
    }


def finding(check: Any, **changes: Any) -> Finding:
    plain: dict[str, Any] = {"check": check, "severity": "none", "status": "evaluated", "summary": f"{check} is fine."}
    return Finding(**{**plain, **changes})


def findings(**evidence: Any) -> tuple[Finding, ...]:
    shown = (Exemplar(trace_id="t1", interaction_id="i1"),)
    return (
        finding("authorization_denials"),
        finding("circuit_breaker_state", status="no_data"),
        finding("eval_score_trend"),
        finding("recent_deployments", severity="critical", evidence=changes_evidence(**evidence), exemplars=shown),
    )


def verdict(**changes: Any) -> Verdict:
    plain: dict[str, Any] = {
        "verdict_id": "pending",
        "incident_id": "inc_refunds",
        "revision": 0,
        "status": "firing",
        "decided_at": AT,
        "onset_at": ONSET,
        "scope": Scope(environment="production", system="refunds", flow="refund"),
        "trigger": trigger(),
        "triage_result": "recent_deployments",
        "action": "immediate_rollback_or_escalation",
        "severity": "critical",
        "probable_cause": ProbableCause(check="recent_deployments", summary="It shipped without its canary."),
        "findings": findings(),
        "causes": (RankedCause(cause="deployment", probability=0.97), RankedCause(cause="unknown", probability=0.03)),
        "recommendation": recommendation(),
        "target": RollbackTarget(
            kind="argo_rollout",
            ref={"name": "refund"},
            component="refund",
            change="flow",
            from_version="2026.11.3",
            to_version="2026.11.2",
            canary_percent=100.0,
            deployed_at=datetime(2026, 3, 1, 2, 2, tzinfo=UTC),
            deployment_event_id="dep-1",
        ),
        "engine": ENGINE,
    }
    return Verdict(**{**plain, **changes}).with_id()


def recommendation(**changes: Any) -> Recommendation:
    plain: dict[str, Any] = {
        "kind": "rollback",
        "confidence": 0.97,
        "reason": "Roll refund 2026.11.3 back to 2026.11.2.",
        "requires_approval": True,
        "not_after": AT + timedelta(minutes=15),
        "idempotency_key": KEY,
    }
    return Recommendation(**{**plain, **changes})


def resolved(**changes: Any) -> Verdict:
    over = recommendation(kind="none", reason="The incident is over.", idempotency_key="act_none")
    plain = {"revision": 1, "status": "resolved", "decided_at": AT + timedelta(minutes=40), "recommendation": over}
    return verdict(**{**plain, **changes})


def heartbeat(shard: int = 0, tick: datetime = AT, shards: int = 2, namespace: str | None = None) -> Heartbeat:
    return Heartbeat(
        shard=shard, shards=shards, tick=tick, worker="w", epoch=1, series=10, engine=ENGINE, namespace=namespace
    )
