"""Numbers as a tired human reads them, and as canonical JSON wants them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from schemas.base import format_time

_DIGITS = 6


def rounded(value: float, digits: int = _DIGITS) -> float:
    """The value to six significant digits, so that the last bits of a processor do not change a published byte."""
    return float(f"{value:.{digits}g}")


def at(minute: int) -> str:
    """RFC 3339 of a minute since 1970."""
    return format_time(datetime.fromtimestamp(minute * 60, UTC))


def percent(rate: float) -> str:
    """`13.7 %`, `0.04 %`: two digits at least, no noise beyond them."""
    value = 100 * rate
    if value >= 10 or value == 0:
        return f"{value:.1f} %"
    places = max(1, 1 - math.floor(math.log10(value)))
    return f"{value:.{min(places, 6)}f} %"


def times(ratio: float) -> str:
    """`3.3x`, `740x`."""
    return f"{ratio:,.1f}x" if ratio < 100 else f"{ratio:,.0f}x"


def chance(score: float) -> str:
    """The chance 10 ** -score as `1 in 6,300`."""
    if score > 12:
        return "below 1 in a trillion"
    return f"1 in {float(f'{10 ** max(score, 0.0):.2g}'):,.0f}"


def span(minutes: int) -> str:
    """`30 min`, `6 h`, `10 d`."""
    if minutes % 1440 == 0 and minutes > 1440:
        return f"{minutes // 1440} d"
    return f"{minutes // 60} h" if minutes % 60 == 0 and minutes > 60 else f"{minutes} min"


def score_confidence(score: float) -> float:
    """1 less the chance, to six digits, never quite 1."""
    return min(rounded(1.0 - 10.0 ** -max(score, 0.0)), 0.999999)
