"""What humans tell the engine and its subscribers: silences and maintenance windows, acknowledgements, approvals.

They are events on a topic of their own, `midwatch.controls`, and are read from there alone: on a topic of telemetry
they are refused, so that no forged telemetry silences a pager or approves a rollback. The topic is compacted by the
record's key (`key_of`), so the last word about each thing is kept.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, model_validator

from schemas.base import Model, Name, Time
from schemas.words import ApprovalDecision, ControlType, SilenceKind

ANY: Final = "*"
"""Stands for every environment, or every system."""

LONGEST: Final = timedelta(days=28)
"""How far after its `time` a silence may end: the longest memory that the engine has."""

Remark = Annotated[str, Field(max_length=1000)]


class Silence(Model):
    """Nobody is paged for what it covers, from `starts_at` until before `ends_at`. Detection and triage go on.

    `environment` and `system` are exact, or `*` for every one. `flow`, `agent`, `budget` and `detector`, where given,
    must be those of the firing. A maintenance window is a silence that was planned. The last record of an `id` holds;
    one that ends at or before its own `time` ends the silence early. None ends later than 28 days after its `time`.
    """

    type: Literal["silence"] = "silence"
    id: Name
    time: Time
    environment: Name
    system: Name
    flow: Name | None = None
    agent: Name | None = None
    budget: Name | None = None
    detector: Name | None = None
    starts_at: Time
    ends_at: Time
    kind: SilenceKind = "silence"
    reason: Remark
    created_by: Name

    @model_validator(mode="after")
    def _bounded(self) -> Silence:
        if self.ends_at <= self.time:
            return self  # it ends the silence of this id
        if self.ends_at <= self.starts_at:
            raise ValueError("`ends_at` must lie behind `starts_at`")
        if self.ends_at - self.time > LONGEST:
            raise ValueError(
                f"`ends_at` may lie at most {LONGEST.days} days after `time`: silence for less, and again if need be"
            )
        return self

    @property
    def is_expired(self) -> bool:
        """Whether this record ends the silence early."""
        return self.ends_at <= self.time


class Acknowledgement(Model):
    """Somebody has an incident in hand. It belongs to that incident and ends with it; `withdrawn` takes it back."""

    type: Literal["acknowledgement"] = "acknowledgement"
    id: Name
    time: Time
    environment: Name
    system: Name
    incident_id: Name
    by: Name
    note: Remark | None = None
    withdrawn: bool = False


class Approval(Model):
    """A human's word about one recommended action: whoever executes verdicts may, or must not, do what its key names.

    It changes no verdict. The last word about a key holds; of two of one time the refusal. An approval counts until
    before `expires_at`, and never beyond the recommendation's own `not_after`; a refusal stands. With `*` as both key
    and incident it is a standing refusal, the kill switch: no action in its `environment` and `system` (exact, or `*`)
    until `expires_at`, at most 28 days after its `time`; one that ends at or before its own `time` lifts it. Nothing
    approves everything.
    """

    type: Literal["approval"] = "approval"
    id: Name
    time: Time
    environment: Name
    system: Name
    incident_id: Name
    idempotency_key: Name
    decision: ApprovalDecision
    by: Name
    note: Remark | None = None
    expires_at: Time | None = None

    @model_validator(mode="after")
    def _nothing_for_all(self) -> Approval:
        if (self.idempotency_key == ANY) != (self.incident_id == ANY):
            raise ValueError(f"`idempotency_key` and `incident_id` are both {ANY} (a standing refusal), or neither is")
        if not self.is_standing:
            if ANY in (self.environment, self.system):
                raise ValueError(f"`environment` and `system` may be {ANY} in a standing refusal alone")
            return self
        if self.decision != "refuse":
            raise ValueError("nothing approves every action: end a standing refusal by one that is over at its `time`")
        if self.expires_at is None or self.expires_at - self.time > LONGEST:
            raise ValueError(f"a standing refusal needs `expires_at`, at most {LONGEST.days} days after `time`")
        return self

    @property
    def is_standing(self) -> bool:
        """Whether it is about every action of its environment and system."""
        return self.idempotency_key == ANY


Control = Annotated[Silence | Acknowledgement | Approval, Field(discriminator="type")]

CONTROL: TypeAdapter[Silence | Acknowledgement | Approval] = TypeAdapter(Control)
"""Validates any control: `CONTROL.validate_json(data)`."""

CONTROL_MODELS: Final[dict[ControlType, type[Model]]] = {
    "silence": Silence,
    "acknowledgement": Acknowledgement,
    "approval": Approval,
}


def key_of(control: Silence | Acknowledgement | Approval) -> str:
    """The key of its record: records of one key are about one thing, and compaction keeps the last of them."""
    if isinstance(control, Silence):
        return control.id
    if isinstance(control, Acknowledgement):
        return control.incident_id
    if control.is_standing:
        return f"halt/{control.environment}/{control.system}"
    return control.idempotency_key
