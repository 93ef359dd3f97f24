"""Event-time arithmetic: minutes, ticks and visibility.

Times are integer milliseconds since 1970-01-01 UTC; minutes and ticks count whole minutes since then. Tick `T` sees
the minutes before `T`. An event in minute `m` is visible from tick `m + 1`, or, if its source partition's own
watermark had passed tick `w` when it arrived, from tick `w + 1`: a late event counts in its own minute, but no tick
that may already have been evaluated changes after the fact. Visibility depends on the order within one source
partition alone, so every worker, every restart and every replay agrees on it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from schemas.base import format_time

MINUTE_MS: Final = 60_000
HOUR_MINUTES: Final = 60

NEVER: Final = -(2**62)
"""The watermark of a source partition that has shown no event yet."""


def tick_of(watermark_ms: int) -> int:
    """The last tick that a watermark has passed."""
    return watermark_ms // MINUTE_MS


def visible_from(time_ms: int, watermark_ms: int) -> int:
    """The first tick that sees an event of `time_ms` that arrived when its partition's watermark was `watermark_ms`."""
    return max(time_ms // MINUTE_MS, watermark_ms // MINUTE_MS) + 1


def time_of(minute: int) -> datetime:
    """The start of a minute as an aware datetime."""
    return datetime.fromtimestamp(minute * 60, UTC)


def datetime_of(ms: int) -> datetime:
    """Milliseconds as an aware datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def rfc3339(ms: int) -> str:
    """Milliseconds as RFC 3339 text."""
    return format_time(datetime_of(ms))


def ms_of(value: datetime) -> int:
    """An aware datetime as milliseconds, rounded down."""
    delta = value - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
