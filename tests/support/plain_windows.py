"""Windows in their simplest form: every minute and hour of every series in plain arrays, nothing packed or left out.

What `stream.core.windows` keeps in a tenth of the memory, to compare it with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.base import HOURS, MINUTES, Counts
from schemas.series import COUNTERS, SeriesKey, SeriesKind
from stream.core.minutes import RING


class PlainWindows:
    """A `detectors.base.WindowView` over series that are all known from the start."""

    def __init__(self, kind: SeriesKind, keys: Sequence[SeriesKey], first_minute: int) -> None:
        self.kind: SeriesKind = kind
        self.tick = first_minute
        self.keys = list(keys)
        systems: dict[tuple[str, str], int] = {}
        codes = [systems.setdefault((key.environment, key.system), len(systems)) for key in keys]
        self.group = np.array(codes, np.int64)
        self.width = len(COUNTERS[kind])
        self.ring = np.zeros((RING, len(keys), self.width), np.int64)
        self.by_hour: dict[int, Counts] = {}
        self.first_minute = np.full(len(keys), first_minute, np.int64)
        self.last_minute = np.full(len(keys), first_minute, np.int64)

    def advance(self, tick: int) -> None:
        """Move on to `tick`."""
        self.ring[np.arange(max(self.tick, tick - RING), tick) % RING] = 0
        self.tick = tick

    def add(self, rows: NDArray[np.int64], minutes: NDArray[np.int64], amounts: Counts) -> None:
        """Count `amounts` [k, C] of `rows` [k] in `minutes` [k]."""
        recent = minutes >= self.tick - RING
        np.add.at(self.ring, (minutes[recent] % RING, rows[recent]), amounts[recent])
        for row, minute, amount in zip(rows.tolist(), minutes.tolist(), amounts, strict=True):
            hour = self.by_hour.setdefault(minute // 60, np.zeros((len(self.keys), self.width), np.int64))
            hour[row] += amount
        np.minimum.at(self.first_minute, rows, minutes)
        np.maximum.at(self.last_minute, rows, minutes)

    def minutes(self, last: int) -> Counts:
        """See `WindowView.minutes`."""
        assert 0 < last <= MINUTES
        return self.ring[np.arange(self.tick - last, self.tick) % RING].transpose(1, 0, 2)

    def minutes_at(self, rows: NDArray[np.intp], last: int) -> Counts:
        """See `WindowView.minutes_at`."""
        return self.minutes(last)[rows]

    def minute_sums(self, last: int, counter: int) -> Counts:
        """See `WindowView.minute_sums`."""
        return np.asarray(self.minutes(last)[:, :, counter].sum(axis=1))

    def hours(self, last: int) -> Counts:
        """See `WindowView.hours`."""
        assert 0 < last <= HOURS
        dense = np.zeros((len(self.keys), last, self.width), np.int64)
        for slot, hour in enumerate(range(self.tick // 60 - last, self.tick // 60)):
            if hour in self.by_hour:
                dense[:, slot] = self.by_hour[hour]
        return dense

    def hour_sums(self, spans: Sequence[int]) -> Counts:
        """See `WindowView.hour_sums`."""
        hours = self.hours(spans[-1])
        return np.stack([hours[:, spans[-1] - span :].sum(axis=1) for span in spans], axis=1)
