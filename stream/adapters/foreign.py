"""Events from the records of other tools: looking things up in their JSON, and putting together what was found.

What a record does not say itself may stand in its headers (`midwatch_environment`, `midwatch_system`, any of `WORDS`),
and, for environment and system, in the configuration. A header goes before the record: whoever set it knows where the
record came from. All that is missing is named at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from schemas.base import MAX_NAME, JsonObject, format_time
from schemas.canonical import content_id
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord, clip

WORDS: Final = (
    "environment",
    "system",
    "component",
    "version",
    "previous_version",
    "change",
    "canary_percent",
    "agent",
    "dependency",
    "tenant",
)
"""What a header `midwatch_<word>` may say of a foreign record."""

HEADER_PREFIX: Final = "midwatch_"

_ID_PREFIXES: Final = {"deployment": "dep", "circuit_breaker": "brk", "authorization": "aut"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZONE: Final = re.compile(r"\[[A-Za-z0-9_+/-]{1,64}\]$")
_PERCENT: Final = re.compile(r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*%?\s*")
_LONGEST_NUMBER: Final = 40
_EPOCH_UNITS: Final = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (math.inf, 1e9))
"""Below which size a number of the present is in seconds, milliseconds, microseconds; else in nanoseconds."""


def at(plain: Any, path: str) -> Any:
    """What stands at a dotted path (`spec.containers.0.image`), or None."""
    for step in path.split("."):
        if isinstance(plain, dict):
            plain = plain.get(step)
        elif isinstance(plain, list) and step.isdigit() and int(step) < len(plain):
            plain = plain[int(step)]
        else:
            return None
    return plain


def first(plain: Any, paths: Sequence[str]) -> Any:
    """What stands at the first of the paths that holds something, or None."""
    for path in paths:
        found = at(plain, path)
        if found is not None and found != "":
            return found
    return None


def text(value: Any) -> str | None:
    """A text, or a number as one; None for anything else and for nothing."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def text_at(plain: Any, *paths: str) -> str | None:
    """The text at the first of the paths that holds one."""
    return next((found for path in paths if (found := text(at(plain, path))) is not None), None)


def number(value: Any) -> float | None:
    """A finite number, also one written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > _LONGEST_NUMBER:
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def percent(value: Any) -> float | None:
    """A share of traffic in per cent: 25, "25", "25 %"."""
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value)
        return float(match[1]) if match else None
    return number(value)


def short(value: Any) -> str | None:
    """A text that is cut to the length of a name: a reason, which nobody looks up by its end."""
    found = text(value)
    return None if found is None else clip(found, MAX_NAME)


def moment(payload: Payload, value: Any) -> str | None:
    """A time in RFC 3339.

    Of a text that is one (Java's zone names are cut off), or of a number since 1970 in seconds, milliseconds,
    microseconds or nanoseconds, told by its size. Without a value it is the record's own time, if it has one. What is
    no time is handed on, for the contract to say so.
    """
    if value is None or value == "":
        return None if payload.received_ms < 0 else _of_epoch(payload.received_ms / 1000)
    seconds = number(value)
    if seconds is not None:
        seconds /= next(unit for limit, unit in _EPOCH_UNITS if abs(seconds) < limit)
        return _of_epoch(seconds)
    return _ZONE.sub("", value) if isinstance(value, str) else "no text"


def _of_epoch(seconds: float) -> str:
    try:
        return format_time(_EPOCH + timedelta(milliseconds=round(seconds * 1000)))
    except OverflowError:
        return "out of range"


def said(payload: Payload, word: str) -> str | None:
    """What the record's headers say of a word."""
    return payload.header(HEADER_PREFIX + word) or None


def event(
    payload: Payload,
    producer: str,
    event_type: str,
    required: Mapping[str, Any],
    optional: Mapping[str, Any],
    identity: str | None = None,
) -> JsonObject:
    """An event of what was found.

    `required` are the fields that it must have (the common ones among them), `optional` those that it may. Headers and
    configuration fill in and go first as said above. Without an `identity` the id is derived from the content.

    Raises:
        RejectedRecord: invalid_field, with all that is missing and where it may be said.
    """
    wanted = dict(required)
    for word in WORDS:
        if word in wanted or word in optional or word == "tenant":
            header = said(payload, word)
            if header is not None:
                wanted[word] = percent(header) if word == "canary_percent" else header
    for word, fallback in (("environment", payload.origin.environment), ("system", payload.origin.system)):
        wanted[word] = wanted.get(word) or fallback
    missing = [word for word, value in wanted.items() if value is None or value == ""]
    if missing:
        raise RejectedRecord("invalid_field", f"{producer}: {_lacking(missing)}")
    rest = {name: value for name, value in optional.items() if value not in (None, "") and name not in wanted}
    found: JsonObject = {"type": event_type, **wanted, **rest}
    return {**found, "id": identity or content_id(_ID_PREFIXES[event_type], found)}


def _lacking(missing: Sequence[str]) -> str:
    detail = f"the record does not say {', '.join(missing)}"
    headers = [f"{HEADER_PREFIX}{word}" for word in missing if word in WORDS]
    remedies = [f"set the record header {' and '.join(headers)}"] if headers else []
    if {"environment", "system"} & set(missing):
        remedies.append("or [adapters] in the configuration")
    return f"{detail}; {' '.join(remedies)}" if remedies else detail
