"""Rolling windows in memory: a ring of minutes and packed blocks of hours, for all series of one kind.

Rows are series, in the order of (tick of first appearance, key). What holds them is elsewhere: their names
(`stream.core.names`), minutes (`stream.core.minutes`), hours (`stream.core.hours`) and exemplars
(`stream.core.exemplars`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import HOURS, MINUTES, Counts
from schemas.series import COUNTERS, SeriesKey, SeriesKind
from stream.core.deltas import CEILING
from stream.core.exemplars import Exemplars
from stream.core.hours import HourBlock, Hours
from stream.core.minutes import RING, Minutes
from stream.core.names import Names

OPEN_HOURS: Final = 1
"""Full hours before the running one that stay unpacked: most of what is late is late by minutes."""

WIDE: Final[frozenset[SeriesKind]] = frozenset({"budget", "usage", "score", "score_version", "score_stratum"})
"""Kinds whose counters can outgrow 32 bits within a minute: micro-dollars, tokens, sums of squared scores."""

NARROW_CEILING: Final = 2**30 - 1
"""`CEILING` for the minutes of the other kinds, which are kept in 32 bits."""


def _read_only(counts: Counts) -> Counts:
    counts.flags.writeable = False
    return counts


def _check_minutes(last: int) -> None:
    if not 0 < last <= MINUTES:
        raise ValueError(f"a window view holds 1 to {MINUTES} minutes, not {last}")


class KindWindows:
    """The windows of all series of one kind, as of tick `tick`. Is a `detectors.base.WindowView`.

    Minutes count in the ring and in their hour; `add` takes what an hour of the longest window still holds, and only
    notes the time of anything older.
    """

    def __init__(self, kind: SeriesKind) -> None:
        self.kind: SeriesKind = kind
        self.tick = 0
        self.names = Names(kind)
        self.exemplars = Exemplars()
        self.width = len(COUNTERS[kind])
        self.ceiling = CEILING if kind in WIDE else NARROW_CEILING
        self.ring = Minutes(self.width, self.ceiling, np.int64 if kind in WIDE else np.int32)
        self.first_minute = np.zeros(0, np.int64)
        self.last_minute = np.zeros(0, np.int64)
        self.hour_blocks = Hours()
        self.dirty_hours: set[int] = set()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def keys(self) -> Sequence[SeriesKey]:
        """See `WindowView.keys`."""
        return self.names

    @property
    def group(self) -> NDArray[np.int64]:
        """See `WindowView.group`."""
        return self.names.group

    def advance(self, tick: int) -> None:
        """Move on to `tick`: minutes that leave the ring are forgotten, hours older than the longest window too."""
        self.ring.advance(tick)
        if tick // 60 != self.tick // 60:
            oldest = tick // 60 - HOURS
            for hour in [hour for hour in self.hour_blocks if hour < oldest]:
                del self.hour_blocks[hour]
            self.hour_blocks.pack_before(tick // 60 - OPEN_HOURS)
            self.dirty_hours &= self.hour_blocks.keys()
        self.tick = tick

    def grow(self, keys: Sequence[SeriesKey], minutes: Sequence[int]) -> None:
        """Rows for new series, first seen in the given minutes. The caller sorts."""
        self.names.add(keys)
        first = np.array(minutes, np.int64)
        self.first_minute = np.concatenate([self.first_minute, first])
        self.last_minute = np.concatenate([self.last_minute, first])
        self.ring.cool()

    def add(self, rows: NDArray[np.int64], minutes: NDArray[np.int64], amounts: Counts) -> None:
        """Counts [k, C] of rows [k] in minutes [k], all before `tick`. Pairs of row and minute may repeat."""
        amounts = np.minimum(amounts, self.ceiling)
        recent = (minutes >= self.tick - RING) & (minutes < self.tick)
        self._minutes().add(rows[recent], minutes[recent], amounts[recent])
        np.minimum.at(self.first_minute, rows, minutes)
        np.maximum.at(self.last_minute, rows, minutes)
        hours = minutes // 60
        oldest = self.tick // 60 - HOURS
        for hour in np.unique(hours[hours >= oldest]).tolist():
            here = hours == hour
            block = self.hour_blocks.look(hour) or HourBlock.empty(self.width)
            self.hour_blocks[hour] = block.plus(rows[here], amounts[here])
            self.dirty_hours.add(hour)

    def minutes(self, last: int) -> Counts:
        """[S, last, C] counts of the minutes `tick - last` to `tick - 1`. Read only."""
        _check_minutes(last)
        return _read_only(self._minutes().last(last, len(self)))

    def minutes_at(self, rows: NDArray[np.intp], last: int) -> Counts:
        """[R, last, C] the same of these rows only. Read only."""
        _check_minutes(last)
        return _read_only(self._minutes().at(rows, last, len(self)))

    def minute_sums(self, last: int, counter: int) -> Counts:
        """[S] sums of one counter over the minutes `tick - last` to `tick - 1`."""
        _check_minutes(last)
        return self._minutes().sums(last, counter, len(self))

    def hours(self, last: int) -> Counts:
        """[S, last, C] counts of the `last` full hours before the hour of `tick`. Read only."""
        if not 0 < last <= HOURS:
            raise ValueError(f"a window view holds 1 to {HOURS} hours, not {last}")
        dense = np.zeros((len(self), last, self.width), np.int64)
        end = self.tick // 60
        for slot, hour in enumerate(range(end - last, end)):
            block = self.hour_blocks.look(hour)
            if block is not None:
                dense[block.rows, slot] = block.counts
        return _read_only(dense)

    def hour_sums(self, spans: Sequence[int]) -> Counts:
        """[S, len(spans), C] sums over the last so many full hours before the hour of `tick`; `spans` ascend.

        Every stored hour is added once, to the shortest span that holds it, and the longer ones take it over.
        """
        if not 0 < spans[0] <= spans[-1] <= HOURS:
            raise ValueError(f"a window view holds 1 to {HOURS} hours, not {spans[0]} to {spans[-1]}")
        sums = np.zeros((len(spans), len(self), self.width), np.int64)
        end = self.tick // 60
        for hour in self.hour_blocks:
            age = end - hour
            block = self.hour_blocks.look(hour) if 0 < age <= spans[-1] else None
            if block is not None:
                place = sums[bisect_left(spans, age)]
                if len(block.rows) == len(place):
                    place += block.counts
                else:
                    place[block.rows] += block.counts
        return _read_only(np.cumsum(sums, axis=0).transpose(1, 0, 2))

    def span(self, row: int, start: int, end: int) -> tuple[Counts, int]:
        """[C] sums of one series over the minutes `start` to `end - 1`, and how many minutes that covers.

        Where the ring no longer reaches, full hours stand in; a part of an hour out of the ring is not covered, nor
        are minutes before the series was first seen.
        """
        start, end = max(start, int(self.first_minute[row])), min(end, self.tick)
        ring_start = max(start, self.tick - RING)
        total = np.zeros(self.width, np.int64)
        covered = 0
        if start < ring_start:
            ring_start = -(-ring_start // 60) * 60
            first, last = -(-start // 60), min(ring_start, end) // 60
            covered += max(last - first, 0) * 60
            for hour in range(first, last):
                total += self._hour_of(row, hour)
        if ring_start < end:
            covered += end - ring_start
            total += self.minutes_of([row], ring_start, end)[0].sum(axis=0)
        return total, covered

    def minutes_of(self, rows: Sequence[int], start: int, end: int) -> Counts:
        """[R, end - start, C] counts of some rows by minute; `start` is no earlier than the ring reaches."""
        return self._minutes().of_rows(rows, start, min(end, self.tick), len(self))

    def _minutes(self) -> Minutes:
        """The ring, as of the tick."""
        self.ring.advance(self.tick)
        return self.ring

    def ring_by_series(self) -> NDArray[np.integer]:
        """[S, C, RING] the ring in time order: equal counts stand together and compress well."""
        return self._minutes().dense(len(self)).transpose(1, 2, 0)

    def _hour_of(self, row: int, hour: int) -> Counts:
        block = self.hour_blocks.get(hour)
        counts = None if block is None else block.of_row(row)
        return np.zeros(self.width, np.int64) if counts is None else counts

    def expired(self) -> NDArray[np.bool_]:
        """[S] whether a series has had no event within the longest window."""
        return self.last_minute < self.tick - HOURS * 60

    def drop(self, gone: NDArray[np.bool_]) -> None:
        """Forget the series [S] marked; the rows close up and keep their order."""
        keep = ~gone
        renumber = np.where(keep, np.cumsum(keep) - 1, -1)
        names, self.names = self.names, Names(self.kind)
        self.names.add(key for key, kept in zip(names, keep.tolist(), strict=True) if kept)
        self.first_minute, self.last_minute = self.first_minute[keep], self.last_minute[keep]
        self.ring.keep(renumber)
        self.exemplars.keep(keep)
        for hour, block in [*self.hour_blocks.looks()]:
            self.hour_blocks[hour] = block.keep(renumber)
        self.dirty_hours = set(self.hour_blocks)

    def restore(
        self,
        keys: Iterable[SeriesKey],
        first_minute: NDArray[np.int64],
        last_minute: NDArray[np.int64],
        ring: NDArray[np.integer],
        hour_blocks: Iterable[tuple[int, HourBlock | bytes]],
    ) -> None:
        """Take over the given content; groups are coded in the order of rows, `ring` is [RING, S, C], oldest first."""
        self.names = Names(self.kind)
        self.names.add(keys)
        self.first_minute, self.last_minute = first_minute, last_minute
        self.ring.restore(ring, self.tick)
        self.hour_blocks = Hours(hour_blocks)

    def cool(self) -> None:
        """Pack what was unpacked to be read or added to. Called at the end of each tick."""
        self.ring.cool()
        self.hour_blocks.cool()
        self.exemplars.cool()

    def row(self, key: SeriesKey) -> int | None:
        """The row of a series, None if it is not known."""
        return self.names.row(key.environment, key.system, key.dims)

    def rows_of(self, environment: str, system: str) -> list[tuple[SeriesKey, int]]:
        """The series of one system with their rows, in the order of rows."""
        return self.names.rows_of(environment, system)
