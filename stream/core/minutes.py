"""The last minutes of all series of one kind, sparse: one entry for each row and minute that had an event.

Most series have no event in most minutes. Entries stand in the order of minutes, and within a minute of rows; rows and
each counter are in the smallest integers that hold the largest of them, and become wider when one outgrows them.
Whoever asks for single series again and again, as the gathering of a case does, gets all as one dense array, kept until
`cool`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Counts

RING: Final = 128
"""Minutes that are kept: the two hours that a view offers, and some more."""

Column = NDArray[Any]


class Minutes:
    """Counts of `width` counters by row in each of the `RING` minutes before `tick`; none goes beyond `ceiling`."""

    def __init__(self, width: int, ceiling: int, dtype: type[np.integer]) -> None:
        self.tick = 0
        self._ceiling = ceiling
        self._dtype = dtype
        self._starts = np.zeros(RING + 1, np.int64)
        self._rows: Column = np.zeros(0, np.uint8)
        self._columns: list[Column] = [np.zeros(0, np.uint8) for _ in range(width)]
        self._warm: NDArray[np.integer] | None = None

    def advance(self, tick: int) -> None:
        """Move on to `tick`: what is older than the ring is forgotten."""
        gone = min(tick - self.tick, RING)
        if gone <= 0:
            return
        # Now and then integers become narrow again: one busy minute is not to count for good.
        again = tick // RING != self.tick // RING
        self.tick, self._warm = tick, None
        if not len(self._rows):
            return
        cut = int(self._starts[gone])
        left = len(self._rows) - cut
        self._starts = np.concatenate([self._starts[gone:] - cut, np.full(gone, left)])
        if cut or again:
            self._rows, *self._columns = (
                _narrow(column[cut:]) if again else column[cut:].copy() for column in (self._rows, *self._columns)
            )

    def add(self, rows: NDArray[np.int64], minutes: NDArray[np.int64], amounts: Counts) -> None:
        """Counts [k, C] of rows [k] in minutes [k] of the ring. Pairs of row and minute may repeat."""
        for minute in np.unique(minutes).tolist():
            here = minutes == minute
            place = minute - self.tick + RING
            start, end = self._starts[place : place + 2].tolist()
            every = np.concatenate([self._rows[start:end].astype(np.int64), rows[here]])
            unique, inverse = np.unique(every, return_inverse=True)
            total = np.zeros((len(unique), len(self._columns)), np.int64)
            np.add.at(total, inverse, np.concatenate([self._counts(start, end), amounts[here]]))
            total = np.minimum(total, self._ceiling)
            self._rows, *self._columns = (
                np.concatenate([old[:start], _narrow(new), old[end:]])
                for old, new in zip((self._rows, *self._columns), (unique, *total.T), strict=True)
            )
            self._starts[place + 1 :] += len(unique) - (end - start)
        self._warm = None

    def _counts(self, start: int, end: int) -> Counts:
        """[k, C] the counters of the entries from `start` to `end - 1`."""
        return np.stack([column[start:end].astype(np.int64) for column in self._columns], axis=1)

    def _since(self, last: int) -> tuple[int, NDArray[np.intp], NDArray[np.intp]]:
        """The first entry of the last so many minutes; of each entry from it on the minute, from 0 on, and the row."""
        starts = self._starts[RING - last :]
        begin = int(starts[0])
        return begin, np.repeat(np.arange(last), np.diff(starts)), self._rows[begin:].astype(np.intp)

    def last(self, last: int, size: int) -> Counts:
        """[size, last, C] counts of the last so many minutes.

        In memory they lie minute by minute, whatever they are kept in: sums of what detectors make of them would else
        not be the same to the last bit.
        """
        begin, minutes, rows = self._since(last)
        dense = np.zeros((last, size, len(self._columns)), np.int64)
        for number, column in enumerate(self._columns):
            dense[minutes, rows, number] = column[begin:]
        return dense.transpose(1, 0, 2)

    def at(self, wanted: NDArray[np.intp], last: int, size: int) -> Counts:
        """[R, last, C] the same of the rows `wanted` [R], of `size`."""
        begin, minutes, rows = self._since(last)
        place_of = np.full(size, -1, np.intp)
        place_of[wanted] = np.arange(len(wanted))
        places = place_of[rows]
        asked = np.flatnonzero(places >= 0)
        cells = minutes[asked], places[asked]
        dense = np.zeros((last, len(wanted), len(self._columns)), np.int64)
        for number, column in enumerate(self._columns):
            dense[(*cells, number)] = column[begin:][asked]
        return dense.transpose(1, 0, 2)

    def sums(self, last: int, counter: int, size: int) -> Counts:
        """[size] sums of one counter over the last so many minutes."""
        begin = int(self._starts[RING - last])
        amounts = self._columns[counter][begin:]
        spoke = np.flatnonzero(amounts)
        total = np.zeros(size, np.int64)
        np.add.at(total, self._rows[begin:][spoke].astype(np.intp), amounts[spoke].astype(np.int64))
        return total

    def dense(self, size: int) -> NDArray[np.integer]:
        """[RING, size, C] all minutes, oldest first. Read only, kept until `cool`."""
        if self._warm is None:
            _, minutes, rows = self._since(RING)
            self._warm = np.zeros((RING, size, len(self._columns)), self._dtype)
            for number, column in enumerate(self._columns):
                self._warm[minutes, rows, number] = column
            self._warm.flags.writeable = False
        return self._warm

    def of_rows(self, rows: Sequence[int], start: int, end: int, size: int) -> Counts:
        """[R, end - start, C] counts of some rows by minute, from minute `start` to `end - 1`, for who asks often."""
        first = self.tick - RING
        chosen = self.dense(size)[start - first : end - first, np.asarray(rows, np.intp)]
        counts: Counts = chosen.transpose(1, 0, 2).astype(np.int64)
        return counts

    def cool(self) -> None:
        """Let the dense array go."""
        self._warm = None

    def restore(self, dense: NDArray[np.integer], tick: int) -> None:
        """Take over all minutes before `tick` [RING, S, C], oldest first."""
        spoke = dense.any(axis=2)
        minutes, rows = np.nonzero(spoke)
        counts = dense[minutes, rows].astype(np.int64)
        self.tick, self._warm = tick, None
        self._starts = np.concatenate([[0], np.cumsum(spoke.sum(axis=1))])
        self._rows, *self._columns = (_narrow(column) for column in (rows, *counts.T))

    def keep(self, renumber: NDArray[np.int64]) -> None:
        """Drop rows: `renumber` [S] gives each row's new number, -1 if dropped."""
        new = renumber[self._rows]
        stays = new >= 0
        self._starts = np.concatenate([[0], np.cumsum(stays)])[self._starts]
        self._rows = _narrow(new[stays])
        self._columns = [_narrow(column[stays]) for column in self._columns]
        self._warm = None


def _narrow(column: Column) -> Column:
    """The numbers, none below zero, in the smallest integers that hold them all and can be added to 64-bit ones."""
    top = int(column.max(initial=0))
    return column.astype(np.int64 if top > np.iinfo(np.uint32).max else np.min_scalar_type(top))
