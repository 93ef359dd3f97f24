"""When growth carries the volume past the point at which the recommendation flips.

The volume at which provisioned units begin to pay comes from the shape of the traffic (`costs.break_even`), the date
from the line through its growth (`costs.growth`): where the line reaches that volume, and as an interval where the
upper and the lower end of its band do. A volume that is not reached within the horizon has no date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

import numpy as np

from costs.break_even import mix_break_even, peak_crossings
from costs.compare import Comparison, TermResult
from costs.growth import Growth, TooLittleHistory, daily_totals, fit_growth
from costs.ptu import Term
from costs.traffic import MINUTES_A_DAY, Floats
from schemas.base import JsonObject

HORIZON_DAYS: Final = 1096
"""How far ahead a date is given: three years, further than any price holds."""

EPOCH: Final = date(1970, 1, 1)
Side = Literal["payg", "ptu"]
Manner = Literal["mix", "peak_sized"]


@dataclass(frozen=True)
class Flip:
    """The next change of the recommendation for one term, with spillover (`mix`) or sized for the peak.

    `volume` is the tokens a month at which it flips; None: whatever the volume, it does not. `at` is the date by the
    fitted line, `earliest` and `latest` by its band; None: not within the horizon.
    """

    term: Term
    manner: Manner
    now: Side
    volume: float | None
    at: date | None = None
    earliest: date | None = None
    latest: date | None = None

    @property
    def to(self) -> Side | None:
        """What it flips to."""
        if self.volume is None:
            return None
        return "payg" if self.now == "ptu" else "ptu"

    def to_json(self) -> JsonObject:
        """The flip as JSON."""
        return {
            "term": self.term,
            "manner": self.manner,
            "now": self.now,
            "flips_to": self.to,
            "monthly_tokens": None if self.volume is None else round(self.volume),
            "date": _iso(self.at),
            "earliest": _iso(self.earliest),
            "latest": _iso(self.latest),
        }


@dataclass(frozen=True)
class Crossover:
    """Growth and flips of one model. Without enough history `growth` is None and `why` says so."""

    comparison: Comparison
    growth: Growth | None
    why: str
    monthly_tokens: float
    """Tokens a month at the level that the line has reached; the file's mean without a line."""
    flips: tuple[Flip, ...]

    def to_json(self) -> JsonObject:
        """The crossover as JSON."""
        growth: JsonObject | None = None
        if self.growth is not None:
            percent, low, high = self.growth.monthly_percent
            growth = {
                "days": self.growth.days,
                "until": _iso(_date(self.growth.last_day)),
                "percent_a_month": round(percent, 3),
                "low": round(low, 3),
                "high": round(high, 3),
                "confidence": self.growth.confidence,
            }
        return {
            "model": self.comparison.traffic.model,
            "deployment_type": self.comparison.sizing.kind,
            "monthly_tokens": round(self.monthly_tokens),
            "growth": growth,
            "why_no_growth": self.why or None,
            "flips": [flip.to_json() for flip in self.flips],
            "notes": list(self.comparison.notes),
        }


def crossover(comparison: Comparison, horizon_days: int = HORIZON_DAYS, confidence: float = 0.8) -> Crossover:
    """Growth of the compared traffic, and when it flips each term's recommendation."""
    traffic = comparison.traffic
    tokens = traffic.input_tokens + traffic.output_tokens
    mean_day = float(tokens.mean()) * MINUTES_A_DAY
    growth, why, days = None, "", np.zeros(0, np.int64)
    if traffic.first_minute is None:
        why = "described traffic has no history"
    else:
        try:
            growth = fit_growth(*daily_totals(tokens, traffic.first_minute), confidence)
            days = np.arange(growth.last_day + 1, growth.last_day + 1 + horizon_days)
        except TooLittleHistory as error:
            why = str(error)
    level = mean_day if growth is None else growth.volume(growth.last_day)
    month = float(tokens.sum()) * traffic.monthly
    bands = None if growth is None else tuple(band / mean_day for band in growth.band(days))
    flips = [
        _flip(term, manner, thresholds, level / mean_day, month, bands, days)
        for term in comparison.terms
        for manner, thresholds in _thresholds(comparison, term)
    ]
    return Crossover(comparison, growth, why, month * level / mean_day, tuple(flips))


def _thresholds(comparison: Comparison, term: TermResult) -> list[tuple[Manner, list[float]]]:
    """The multiples of the volume at which the recommendation flips: to units at the first, back at the second, ..."""
    load, kind = comparison.load, comparison.sizing.kind
    mix = mix_break_even(load, term.unit_usd, kind)
    peak = peak_crossings(load, term.unit_usd, kind, load.peak_tpm(), 1e4)
    return [("mix", [] if mix is None else [mix]), ("peak_sized", peak)]


def _flip(
    term: TermResult,
    manner: Manner,
    thresholds: list[float],
    scale: float,
    month: float,
    bands: tuple[Floats, ...] | None,
    days: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Flip:
    below = sum(threshold < scale for threshold in thresholds)
    now: Side = "ptu" if below % 2 else "payg"
    low = thresholds[below - 1] if below else None
    high = thresholds[below] if below < len(thresholds) else None
    if bands is None:
        nearest = high if high is not None else low
        return Flip(term.term, manner, now, None if nearest is None else nearest * month)
    dates = [_leaves(band, low, high) for band in bands]
    middle = dates[0]
    reached = sorted(place for place, _ in (one for one in dates if one is not None))
    target = middle[1] if middle is not None else (high if high is not None else low)
    return Flip(
        term.term,
        manner,
        now,
        None if target is None else target * month,
        None if middle is None else _date(int(days[middle[0]])),
        _date(int(days[reached[0]])) if reached else None,
        _date(int(days[reached[-1]])) if len(reached) == len(dates) else None,
    )


def _leaves(band: Floats, low: float | None, high: float | None) -> tuple[int, float] | None:
    """The first day on which a line lies outside of `low` to `high`, and which end it passed."""
    top, bottom = (np.inf if high is None else high), (-np.inf if low is None else low)
    outside = np.flatnonzero((band >= top) | (band < bottom))
    if not outside.size:
        return None
    first = int(outside[0])
    return first, top if band[first] >= top else bottom


def _date(day: int) -> date:
    return EPOCH + timedelta(days=day)


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
