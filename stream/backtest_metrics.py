"""How good firings are against labels: recall, false alarms per series-week, time to detect, for each tier.

Recall also by the size of the incidents, as it was measured in the history, and all of it by how busy the series are.

An incident is found where a firing of its series has seen a minute of it; the time to detect runs from the label's
start to the firing's, and is 0 where the firing was there before. A firing is false where it overlaps no label, each
label prolonged by a grace: what opens on the minutes of an incident, shortly after its end, is not a false alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.base import JsonObject
from schemas.series import SeriesKey
from schemas.words import Tier
from stream.backtest_layout import RATIO, VOLUME, Bands

GRACE: Final = 60
"""Minutes after a label in which a firing still belongs to it."""

UNKNOWN: Final = "unknown"
"""The band of incidents whose size cannot be measured: nothing came before them, or nothing during them."""

TIERS: Final[tuple[Tier, ...]] = ("warning", "page")


@dataclass(frozen=True, slots=True)
class Label:
    """An incident that is known to have happened, minutes since 1970, `end` exclusive."""

    key: SeriesKey
    start: int
    end: int
    kind: str
    size: float | None = None
    """How large it was, in the unit of the layout's size bands; None where that is not known."""


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
    volume: Bands = VOLUME
    size: Bands = RATIO

    @property
    def series_weeks(self) -> float:
        """Series times weeks watched."""
        return float(sum(one.weeks for one in self.exposure))

    def recall(self, labels: Iterable[Label] | None = None) -> float | None:
        """Share of the labels that was found; None of none."""
        wanted = self.labels if labels is None else tuple(labels)
        return sum(label in self.found for label in wanted) / len(wanted) if wanted else None

    def delay(self, quantile: float, labels: Iterable[Label] | None = None) -> float | None:
        """A quantile of the minutes to detect, over the labels that were found."""
        wanted = self.labels if labels is None else labels
        delays = [self.found[label] for label in wanted if label in self.found]
        return float(np.quantile(delays, quantile)) if delays else None

    @property
    def false_alarm_rate(self) -> float:
        """False alarms per series-week."""
        return len(self.false_alarms) / self.series_weeks if self.series_weeks else 0.0

    def by_volume(self) -> list[JsonObject]:
        """False alarms, recall and delay for each band of volume that has series."""
        band = {one.key: self.volume.index(one.volume) for one in self.exposure}
        rows: list[JsonObject] = []
        names = zip(self.volume.names(), self.volume.names_per_minute(), strict=True)
        for index, (name, per_minute) in enumerate(names):
            weeks = sum(one.weeks for one in self.exposure if band[one.key] == index)
            labels = [label for label in self.labels if band.get(label.key) == index]
            false = sum(band[alarm.key] == index for alarm in self.false_alarms)
            if weeks:
                row = {
                    "per_minute": per_minute,
                    "volume": name,
                    "unit": self.volume.unit,
                    "series": sum(where == index for where in band.values()),
                    "series_weeks": round(weeks, 3),
                    "false_alarms": false,
                    "false_alarms_per_series_week": round(false / weeks, 5),
                }
                rows.append(row | self._found_of(labels))
        return rows

    def by_size(self) -> list[JsonObject]:
        """Recall and delay for each band of size that has incidents; last those of unknown size."""
        names = self.size.names()
        of_band: dict[str, list[Label]] = {name: [] for name in (*names, UNKNOWN)}
        for label in self.labels:
            of_band[UNKNOWN if label.size is None else names[self.size.index(label.size)]].append(label)
        return [
            {"size": name, "unit": self.size.unit} | self._found_of(labels)
            for name, labels in of_band.items()
            if labels
        ]

    def _found_of(self, labels: Sequence[Label]) -> JsonObject:
        return {
            "incidents": len(labels),
            "detected": sum(label in self.found for label in labels),
            "recall": _rounded(self.recall(labels)),
            "time_to_detect_median": _rounded(self.delay(0.5, labels)),
            "time_to_detect_p95": _rounded(self.delay(0.95, labels)),
        }

    def summary(self) -> JsonObject:
        """All figures as JSON. Times are in minutes."""
        kinds = sorted({label.kind for label in self.labels})
        return {
            **self._found_of(self.labels),
            "recall_by_kind": {
                kind: _rounded(self.recall(label for label in self.labels if label.kind == kind)) for kind in kinds
            },
            "false_alarms": len(self.false_alarms),
            "series_weeks": round(self.series_weeks, 3),
            "false_alarms_per_series_week": round(self.false_alarm_rate, 5),
            "by_size": self.by_size(),
            "by_volume": self.by_volume(),
        }


def metrics(
    intervals: Sequence[Interval],
    labels: Sequence[Label],
    exposure: Sequence[Exposure],
    grace: int = GRACE,
    volume: Bands = VOLUME,
    size: Bands = RATIO,
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
            near = near_labels(interval, of_series.get(interval.key, ()), grace)
            if not near:
                false.append(interval)
            for label in near:
                if interval.start <= label.end:
                    delay = max(0, interval.start - label.start)
                    found[label] = min(found.get(label, delay), delay)
        made[tier] = TierMetrics(tier, found, tuple(labels), tuple(false), tuple(exposure), volume, size)
    return made


def near_labels(interval: Interval, labels: Iterable[Label], grace: int = GRACE) -> list[Label]:
    """The labels, all of the interval's series, that account for it; none makes it a false alarm."""
    return [label for label in labels if interval.start <= label.end + grace and interval.end > label.start]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
