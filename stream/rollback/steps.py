"""A step of an action, made from the verdict that asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from schemas.actions import ActionTaken
from schemas.outputs import Evidence, Verdict
from schemas.words import ActionMode, ActionStatus

MAX_DETAIL = 4_000


@dataclass(frozen=True, slots=True)
class Said:
    """What a step says, beside what the verdict says."""

    status: ActionStatus
    detail: str
    reason: str | None = None
    attempt: int = 1
    attention: bool = False
    by: str | None = None
    """Who, where it was a person; else the subscriber itself."""
    evidence: Evidence = field(default_factory=dict)


def step_of(
    verdict: Verdict, said: Said, mode: ActionMode, executor: str | None, by: str, now: datetime
) -> ActionTaken:
    """The step, with its id."""
    return ActionTaken(
        action_id="pending",
        idempotency_key=verdict.recommendation.idempotency_key,
        verdict_id=verdict.verdict_id,
        incident_id=verdict.incident_id,
        revision=verdict.revision,
        scope=verdict.scope,
        target=verdict.target,
        executor=executor,
        mode=mode,
        status=said.status,
        attempt=said.attempt,
        reason=said.reason,
        detail=said.detail[:MAX_DETAIL],
        confidence=verdict.recommendation.confidence,
        decided_at=verdict.decided_at,
        not_after=verdict.recommendation.not_after,
        time=now,
        by=said.by or by,
        needs_attention=said.attention,
        evidence=said.evidence,
    ).with_id()


def follow_up(step: ActionTaken, said: Said, by: str, now: datetime) -> ActionTaken:
    """A later step of the action that `step` belongs to, whatever has become of its verdict."""
    update = {
        "status": said.status,
        "attempt": step.attempt,
        "reason": said.reason,
        "detail": said.detail[:MAX_DETAIL],
        "time": now,
        "by": said.by or by,
        "needs_attention": said.attention,
        "evidence": said.evidence,
    }
    return step.model_copy(update=update).with_id()
