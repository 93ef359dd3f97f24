"""How findings say numbers, times and names, so that a tired human reads them once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from triage.case import Rate

MAX_SUMMARY: Final = 800
"""Longest summary, in characters: a page on a phone."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = int((datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH).total_seconds() * 1000)


def moment(ms: int) -> datetime:
    """Milliseconds since 1970 as a time in UTC, clipped to what a calendar can say."""
    return _EPOCH + timedelta(milliseconds=min(max(ms, 0), _LAST_MS))


def millis(time: datetime) -> int:
    """A time as whole milliseconds since 1970."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def utc(ms: int) -> str:
    """`2026-03-01T02:14Z`."""
    return moment(ms).strftime("%Y-%m-%dT%H:%MZ")


def span(ms: int) -> str:
    """A length of time: `40 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    seconds = abs(ms) // 1000
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def against_onset(ms: int, onset_ms: int) -> str:
    """`12 min before the onset`, `at the onset`, `3 min after the onset`."""
    if abs(ms - onset_ms) < 60_000:
        return "at the onset"
    return f"{span(ms - onset_ms)} {'before' if ms < onset_ms else 'after'} the onset"


def percent(value: float) -> str:
    """A share as per cent: `13.7 %`, `0.04 %`."""
    if value == 0:
        return "0 %"
    return f"{value * 100:.1f} %" if value >= 0.001 else f"{value * 100:.2g} %"


def share_of(rate: Rate) -> str:
    """`41 of 300 (13.7 %)`."""
    return f"{rate.hits:,} of {rate.total:,} ({percent(fraction(rate))})"


def fraction(rate: Rate) -> float:
    """Hits over trials, 0 where there were none."""
    return rate.hits / rate.total if rate.total > 0 else 0.0


def chance(p_value: float) -> str:
    """How likely by chance, in words: `chance 1 in 6,300`."""
    if p_value >= 0.1:
        return "well within chance"
    if p_value < 1e-9:
        return "chance less than 1 in a billion"
    odds = 1.0 / p_value
    return f"chance 1 in {int(float(f'{odds:.2g}')):,}"


def quoted(name: str) -> str:
    """A name from telemetry, safe to print: control characters gone, at most 64 characters."""
    clean = "".join(character if character.isprintable() else " " for character in name)
    return clean if len(clean) <= 64 else f"{clean[:61]}..."


def listed(names: list[str], most: int = 3) -> str:
    """`a, b and 4 more`, or `a and b`."""
    shown = [quoted(name) for name in names[:most]]
    more = len(names) - len(shown)
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def bounded(text: str) -> str:
    """The text, cut at `MAX_SUMMARY` characters."""
    return text if len(text) <= MAX_SUMMARY else f"{text[: MAX_SUMMARY - 3]}..."


def sentence_number(count: int, noun: str) -> str:
    """`1 score`, `4 scores`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
