"""What a subscriber did about a verdict, step by step: the topic `midwatch.actions`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.base import Count, Model, Name, Ratio, Text, Time
from schemas.canonical import content_id, jsonable
from schemas.outputs import Evidence, RollbackTarget, Scope
from schemas.words import ActionKind, ActionMode, ActionStatus


class ActionTaken(Model):
    """One step of an action that a verdict recommends: what was decided or done about it, when, by whom, and why.

    `idempotency_key` is the action's, the same in all its steps; `action_id` is the step's, derived from its content.
    Of an action in mode `live` at most one `started` of each `attempt` counts, the first on the topic. `dry_run` steps
    say what would have been done; nothing was. `reason` is one word of those in docs/rollback.md (more may come),
    `detail` the same for people. With `needs_attention` a person should be woken: it went wrong, or nobody knows.
    `time` is the wall clock's, `decided_at` and `not_after` are the verdict's.
    """

    record: Literal["action"] = "action"
    action_id: Name
    idempotency_key: Name
    verdict_id: Name
    incident_id: Name
    revision: Count
    scope: Scope
    kind: ActionKind = "rollback"
    target: RollbackTarget | None = None
    executor: Name | None = None
    mode: ActionMode
    status: ActionStatus
    attempt: Count = 1
    reason: Name | None = None
    detail: Text
    confidence: Ratio
    decided_at: Time
    not_after: Time
    time: Time
    by: Name
    needs_attention: bool = False
    evidence: Evidence = Field(default_factory=dict)

    def with_id(self) -> ActionTaken:
        """The same step with the id that its content gives."""
        body = {key: value for key, value in jsonable(self).items() if key != "action_id"}
        return self.model_copy(update={"action_id": content_id("atk", body)})
