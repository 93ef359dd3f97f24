"""Lengths of time and moments as people write them on a command line."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

_PART: Final = re.compile(r"(\d+)([smhdw])")
_WHOLE: Final = re.compile(r"(?:\d+[smhdw])+")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """`90m`, `2h`, `1d12h`. Raises ValueError that says how to write it."""
    if not _WHOLE.fullmatch(text) or len(text) > 32:
        raise ValueError(f"{text!r} is no length of time: write it like 90m, 2h, 1d12h (s, m, h, d, w)")
    try:
        length = sum((timedelta(**{_UNITS[unit]: int(count)}) for count, unit in _PART.findall(text)), timedelta())
    except OverflowError:
        raise ValueError(f"{text!r} is longer than a calendar can say") from None
    if not length:
        raise ValueError(f"{text!r} is no time at all")
    return length


def parse_moment(text: str) -> datetime:
    """An RFC 3339 time with its offset. Raises ValueError that says how to write it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(
            f"{text!r} is no time with an offset: write it like 2026-03-01T02:15Z or 2026-03-01T03:15+01:00"
        )
    return moment


def parse_since(text: str, now: datetime) -> datetime:
    """A length of time before now, or a moment. Raises ValueError that says how to write either."""
    if _WHOLE.fullmatch(text):
        try:
            return now - parse_duration(text)
        except OverflowError:
            raise ValueError(f"{text!r} before now is before the calendar begins") from None
    try:
        return parse_moment(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write a length before now, like 24h or 7d, or a moment, like 2026-03-01T02:15Z"
        ) from None
