"""Verdicts and firings as Midwatch would say them about the demonstration's incidents."""

from datetime import UTC, datetime
from typing import Any, get_args

from scenarios.fleet_model import ENVIRONMENT, MINUTE_MS
from scenarios.incidents import Expected, Incident
from schemas.outputs import (
    Engine,
    Finding,
    Firing,
    ProbableCause,
    RankedCause,
    Recommendation,
    RollbackTarget,
    Scope,
    Trigger,
    Verdict,
)
from schemas.words import CHECK_ORDER, FiringStatus, VerdictStatus

assert set(get_args(VerdictStatus)) == {"firing", "updated", "resolved"}


def at(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC)


def scope(incident: Incident, **changes: Any) -> Scope:
    expected = expectation(incident)
    return Scope(environment=ENVIRONMENT, system=incident.system, flow=expected.flow).model_copy(update=changes)


def expectation(incident: Incident) -> Expected:
    assert incident.expected is not None
    return incident.expected


def trigger(incident: Incident) -> Trigger:
    return Trigger(
        firing_id=f"fir-{incident.system}",
        detector=expectation(incident).detectors[0],
        tier="page",
        observed=0.2,
        baseline=0.04,
        ratio=5.0,
        threshold=4.2,
        unit="ratio",
        sample_count=200,
        baseline_count=400.0,
        confidence=0.9999,
        window_start=at(incident.start_ms),
        window_end=at(incident.start_ms + 10 * MINUTE_MS),
        summary="40 of 200 escalated in 10 min",
    )


def right(incident: Incident, status: VerdictStatus = "firing", revision: int = 0, **changes: Any) -> Verdict:
    """The verdict that is expected of an incident, at its revision; `changes` make it wrong."""
    expected = expectation(incident)
    decided = incident.end_ms + 40 * MINUTE_MS if status == "resolved" else incident.start_ms + 10 * MINUTE_MS
    target = expected.rollback
    verdict = Verdict(
        verdict_id="vrd",
        incident_id=f"inc-{incident.system}",
        revision=revision,
        status=status,
        decided_at=at(decided + revision),
        onset_at=at(incident.start_ms),
        scope=scope(incident),
        trigger=trigger(incident),
        triage_result=expected.triage_result,
        action=expected.action,
        severity="critical" if expected.pages else "warning",
        probable_cause=ProbableCause(check=expected.explained_by, summary="because"),
        findings=tuple(
            Finding(check=check, severity="none", status="evaluated", summary=f"{check} is well")
            for check in CHECK_ORDER
        ),
        causes=(RankedCause(cause=expected.cause, probability=0.95),),
        recommendation=Recommendation(
            kind=expected.recommendations[0],
            confidence=0.95,
            reason="so",
            requires_approval=True,
            not_after=at(decided + 60 * MINUTE_MS),
            idempotency_key="key",
        ),
        target=None
        if target is None
        else RollbackTarget(
            kind=target.kind,
            ref=dict(target.ref),
            component=target.component,
            change="flow",
            from_version=target.from_version,
            to_version=target.to_version,
            canary_percent=100,
            deployed_at=at(incident.start_ms),
            deployment_event_id="dep",
        ),
        engine=Engine(version="0", config_hash="cfg"),
    )
    return verdict.model_copy(update=changes).with_id()


def story(incident: Incident, **changes: Any) -> list[Verdict]:
    """The two verdicts of an incident that fires and resolves; `changes` go into the first."""
    return [right(incident, **changes), right(incident, "resolved", 1)]


def firing(incident: Incident, status: FiringStatus = "firing", **changes: Any) -> Firing:
    start = at(incident.start_ms + 10 * MINUTE_MS)
    body = trigger(incident).model_dump() | {
        "status": status,
        "scope": scope(incident),
        "at": start,
        "fired_at": start,
        "onset_at": at(incident.start_ms),
    }
    return Firing.model_validate(body | changes)
