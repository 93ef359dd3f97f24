"""What humans tell the engine: silences and maintenance windows, acknowledgements.

They are events on a topic of their own, `midwatch.controls`, and are read from there alone: on a topic of telemetry
they are refused, so that no forged telemetry silences a pager. The topic is compacted by the record's key (the
silence's id, the incident's id), so the last word about each is kept.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, model_validator

from schemas.base import Model, Name, Time
from schemas.words import ControlType, SilenceKind

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


Control = Annotated[Silence | Acknowledgement, Field(discriminator="type")]

CONTROL: TypeAdapter[Silence | Acknowledgement] = TypeAdapter(Control)
"""Validates any control: `CONTROL.validate_json(data)`."""

CONTROL_MODELS: Final[dict[ControlType, type[Model]]] = {"silence": Silence, "acknowledgement": Acknowledgement}
