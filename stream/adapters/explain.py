"""What is wrong with an event: `schemas.events`, the contract, checks it again, and its errors become words."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import AwareDatetime, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from schemas.base import EARLIEST, LATEST, JsonObject, format_time
from schemas.events import EVENT
from schemas.words import CONTROL_TYPES, CONTROLS_TOPIC, EVENT_TYPES, DeadLetterReason
from stream.adapters.reading import kind_of
from stream.adapters.rejection import RejectedRecord, Rejection, clip, quote

_MOST_ERRORS: Final = 3
_MAX_PATH: Final = 160
_PLAIN_NAME: Final = re.compile(r"[a-z_]{1,32}")
_OPENING: Final = re.compile(r"^(?:Input |String |Tuple |Dictionary |Value error, )")
_MOMENT: Final = TypeAdapter[datetime](AwareDatetime)


def check_type(plain: JsonObject) -> str:
    """The event's type.

    Raises:
        RejectedRecord: missing_type, or unknown_type with the nearest that there is.
    """
    if "type" not in plain:
        raise RejectedRecord("missing_type", f"the event has no `type`; it is one of {', '.join(EVENT_TYPES)}")
    said = plain["type"]
    if not isinstance(said, str):
        raise RejectedRecord("unknown_type", f"`type` is {kind_of(said)}; it is one of {', '.join(EVENT_TYPES)}")
    if said in EVENT_TYPES:
        return said
    if said in CONTROL_TYPES:
        raise RejectedRecord("unknown_type", f"`type` is {quote(said)}, which is taken from {CONTROLS_TOPIC} alone")
    near = difflib.get_close_matches(said[:256].lower().replace("-", "_"), EVENT_TYPES, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"it is one of {', '.join(EVENT_TYPES)}"
    raise RejectedRecord("unknown_type", f"`type` is {quote(said)}; {hint}")


def explain(plain: JsonObject) -> Rejection:
    """Why `plain`, an object of a known type that the fast path refused, is no event."""
    try:
        # The standard library writes integers of any size, which the model refuses in words.
        EVENT.validate_json(json.dumps(plain))
    except ValidationError as error:
        return reject_errors(error.errors(include_url=False, include_context=False), error.error_count())
    return Rejection("invalid_field", "the event fits its model but the fast decoder refuses it")


def explain_time(text: str) -> Rejection:
    """Why `text` is no event time: out of the range of years, or no time at all."""
    try:
        moment = _MOMENT.validate_json(json.dumps(text))
    except ValidationError as error:
        return Rejection("invalid_field", f"`time`: {_message(error.errors()[0])} (it is {_described(text)})")
    detail = f"`time` must lie in {format_time(EARLIEST)} to {format_time(LATEST)}"
    return Rejection("ancient_timestamp" if moment < EARLIEST else "future_timestamp", detail)


def reject_errors(errors: Sequence[ErrorDetails], count: int) -> Rejection:
    """What a model of the contract found wrong, in words; the first step of each place is the event's type."""
    if count == 1 and errors[0]["loc"][1:] == ("time",) and errors[0]["type"] == "value_error":
        return explain_time(errors[0]["input"])
    details = [_in_words(error) for error in errors[:_MOST_ERRORS]]
    if count > _MOST_ERRORS:
        details.append(f"and {count - _MOST_ERRORS} more")
    reason: DeadLetterReason = "not_finite" if errors[0]["type"] == "finite_number" else "invalid_field"
    return RejectedRecord(reason, "; ".join(details)).rejection


def _in_words(error: ErrorDetails) -> str:
    path = _path(error["loc"][1:])
    if not path:
        return _message(error)
    if error["type"] == "missing":
        return f"`{path}` is required"
    said = error["input"]
    return f"`{path}`: {_message(error)} (it is {_described(said)})"


def _message(error: ErrorDetails) -> str:
    if error["type"].startswith(("datetime", "timezone")):
        return "is no RFC 3339 time with a zone, such as 2026-01-05T10:00:00Z"
    return _OPENING.sub("", error["msg"])


def _described(said: Any) -> str:
    if isinstance(said, str):
        return f"a string of {len(said)} characters"
    if isinstance(said, list | tuple):
        return f"an array of {len(said)}"
    return kind_of(said)


def _path(parts: Sequence[int | str]) -> str:
    """`steps[3].duration_ms`; names that a producer chose, in tags, are redacted and short."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if _PLAIN_NAME.fullmatch(part) else f".{quote(part)}"
    return clip(path.removeprefix("."), _MAX_PATH)


def check_age(time: int, received_ms: int, max_future_ms: int | None, max_age_ms: int | None) -> Rejection | None:
    """Why an event time is too far from the record's own timestamp, or None. All in milliseconds."""
    if received_ms < 0:
        return None
    if max_future_ms is not None and time - received_ms > max_future_ms:
        return Rejection("future_timestamp", _apart(time - received_ms, "after", max_future_ms))
    if max_age_ms is not None and received_ms - time > max_age_ms:
        return Rejection("ancient_timestamp", _apart(received_ms - time, "before", max_age_ms))
    return None


def _apart(distance: int, side: str, allowed: int) -> str:
    return f"`time` is {distance / 1000:,.0f} s {side} the record's timestamp; {allowed / 1000:,.0f} s are allowed"
