"""The base of every model and the field types that they share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

MAX_NAME = 256
"""Longest identifier or name, in characters. Names become label values, keys and page text, so they are capped."""

MAX_TEXT = 65_536
"""Longest free text (request, response, context, reasoning), in characters."""

MAX_STEPS = 1_000
"""Most steps of one interaction."""

MAX_COUNT = 2**53 - 1
"""Largest count that every JSON reader keeps exactly."""

MAX_MILLISECONDS = 366 * 86_400_000
"""Longest duration in milliseconds: a year."""

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


def format_time(value: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, the one form that Midwatch writes."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _in_range(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:
        raise ValueError(f"time must lie in {format_time(EARLIEST)} to {format_time(LATEST)}")
    return value.astimezone(UTC)


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Milliseconds = Annotated[float, Field(ge=0, le=MAX_MILLISECONDS, allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Time = Annotated[AwareDatetime, AfterValidator(_in_range), PlainSerializer(format_time, when_used="json")]
Tags = Annotated[dict[Name, Annotated[str, Field(max_length=MAX_NAME)]], Field(max_length=50)]
JsonObject = dict[str, Any]


class Model(BaseModel):
    """A frozen value. Unknown fields are ignored, types are strict: `"5"` is not a number, `1` is not a string."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, ser_json_inf_nan="null")
