"""How good firings are against labels: recall, false alarms per series-week, time to detect, for each tier.

An incident is found where a firing of its series overlaps it; the time to detect runs from the label's start to the
firing's, and is 0 where the firing was there before. A firing is false where it overlaps no label, each label prolonged
by an hour: a firing needs its hold to end, and what trails an incident is not a false alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from schemas.base import JsonObject
from schemas.series import SeriesKey
from schemas.words import Tier

GRACE: Final = 60
"""Minutes after a label in which a firing still belongs to it."""

BANDS: Final = (0.2, 1.0, 5.0, 50.0)
"""Bounds of the volume bands, in trials a minute."""

TIERS: Final[tuple[Tier, ...]] = ("warning", "page")


@dataclass(frozen=True, slots=True)
class Label:
    """An incident that is known to have happened, minutes since 1970, `end` exclusive."""

    key: SeriesKey
    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Interval:
    """One series at or above one tier, from `start` to `end`."""

    key: SeriesKey
    tier: Tier
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """A series that was watched: for how many weeks, and its trials a minute."""

    key: SeriesKey
    weeks: float
    volume: float


@dataclass(frozen=True, slots=True)
class TierMetrics:
    """The measured quality of one tier."""

    tier: Tier
    found: dict[Label, int]
    """Minutes to detect of each label that was found."""
    labels: tuple[Label, ...]
    false_alarms: tuple[Interval, ...]
    exposure: tuple[Exposure, ...]

    @property
    def series_weeks(self) -> float:
        """Series times weeks watched."""
        return float(sum(one.weeks for one in self.exposure))

    def recall(self, labels: Iterable[Label] | None = None) -> float | None:
        """Share of the labels that was found; None of none."""
        wanted = self.labels if labels is None else tuple(labels)
        return sum(label in self.found for label in wanted) / len(wanted) if wanted else None

    def delay(self, quantile: float) -> float | None:
        """A quantile of the minutes to detect, over the labels that were found."""
        return float(np.quantile(list(self.found.values()), quantile)) if self.found else None

    @property
    def false_alarm_rate(self) -> float:
        """False alarms per series-week."""
        return len(self.false_alarms) / self.series_weeks if self.series_weeks else 0.0

    def by_volume(self) -> list[JsonObject]:
        """False alarms, recall and delay for each band of volume that has series."""
        band = {one.key: int(np.digitize(one.volume, BANDS)) for one in self.exposure}
        rows: list[JsonObject] = []
        for index, name in enumerate(_band_names()):
            weeks = sum(one.weeks for one in self.exposure if band[one.key] == index)
            labels = [label for label in self.labels if band.get(label.key) == index]
            delays = [self.found[label] for label in labels if label in self.found]
            false = sum(band[alarm.key] == index for alarm in self.false_alarms)
            if weeks:
                rows.append(
                    {
                        "per_minute": name,
                        "series_weeks": round(weeks, 3),
                        "false_alarms_per_series_week": round(false / weeks, 5),
                        "incidents": len(labels),
                        "recall": _rounded(self.recall(labels)),
                        "time_to_detect_median": float(np.median(delays)) if delays else None,
                    }
                )
        return rows

    def summary(self) -> JsonObject:
        """All figures as JSON."""
        kinds = sorted({label.kind for label in self.labels})
        return {
            "incidents": len(self.labels),
            "detected": len(self.found),
            "recall": _rounded(self.recall()),
            "recall_by_kind": {
                kind: _rounded(self.recall(label for label in self.labels if label.kind == kind)) for kind in kinds
            },
            "false_alarms": len(self.false_alarms),
            "series_weeks": round(self.series_weeks, 3),
            "false_alarms_per_series_week": round(self.false_alarm_rate, 5),
            "time_to_detect_median": _rounded(self.delay(0.5)),
            "time_to_detect_p95": _rounded(self.delay(0.95)),
            "by_volume": self.by_volume(),
        }


def metrics(
    intervals: Sequence[Interval], labels: Sequence[Label], exposure: Sequence[Exposure], grace: int = GRACE
) -> dict[Tier, TierMetrics]:
    """The quality of each tier. Labels of series that were not watched count as missed."""
    of_series: dict[SeriesKey, list[Label]] = {}
    for label in labels:
        of_series.setdefault(label.key, []).append(label)
    made: dict[Tier, TierMetrics] = {}
    for tier in TIERS:
        found: dict[Label, int] = {}
        false: list[Interval] = []
        for interval in (one for one in intervals if one.tier == tier):
            near = [
                label
                for label in of_series.get(interval.key, ())
                if interval.start <= label.end + grace and interval.end >= label.start
            ]
            if not near:
                false.append(interval)
            for label in near:
                if interval.start <= label.end:
                    delay = max(0, interval.start - label.start)
                    found[label] = min(found.get(label, delay), delay)
        made[tier] = TierMetrics(tier, found, tuple(labels), tuple(false), tuple(exposure))
    return made


def _band_names() -> list[str]:
    low, high = BANDS[0], BANDS[-1]
    between = [f"{a:g} to {b:g}" for a, b in pairwise(BANDS)]
    return [f"below {low:g}", *between, f"{high:g} and more"]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
