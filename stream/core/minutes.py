"""The last minutes of all series of one kind: a ring of sparse blocks, one a minute.

Most series have no event in most minutes, so a minute holds the rows that had one, each counter in the smallest
integers that hold its largest count there; a count that outgrows them makes its minute wider. Whoever asks for single
series again and again, as the gathering of a case does, gets the ring as one dense array, kept until `cool`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Counts

RING: Final = 128
"""Minutes in the ring: the two hours that a view offers, and room to round up to a power of two."""

_ROW: Final = "row"
Minute = NDArray[Any]
"""One minute: a structured array [k], rows ascending, with a field for the row and one, by its number, a counter."""


@cache
def _layout(row: str, counters: tuple[str, ...]) -> np.dtype[Any]:
    return np.dtype([(_ROW, row), *((str(number), dtype) for number, dtype in enumerate(counters))])


def _least(top: int) -> str:
    """The smallest integers that hold 0 to `top`, of those that can be added to 64-bit ones."""
    return np.dtype(np.int64).str if top > np.iinfo(np.uint32).max else np.min_scalar_type(top).str


def _minute(rows: NDArray[np.int64], counts: Counts) -> Minute | None:
    """The block of ascending `rows` [k] and their `counts` [k, C]; None for no rows."""
    if not len(rows):
        return None
    made = np.empty(len(rows), _layout(_least(int(rows[-1])), tuple(map(_least, counts.max(axis=0).tolist()))))
    made[_ROW] = rows
    for number, column in enumerate(counts.T):
        made[str(number)] = column
    return made


class Minutes:
    """Counts of `width` counters by row, in each of the `RING` minutes before a tick; none goes beyond `ceiling`."""

    def __init__(self, width: int, ceiling: int, dtype: type[np.integer]) -> None:
        self._width = width
        self._ceiling = ceiling
        self._dtype = dtype
        self._slots: list[Minute | None] = [None] * RING
        self._warm: NDArray[np.integer] | None = None

    def forget(self, start: int, end: int) -> None:
        """Empty the minutes from `start` to `end - 1`."""
        for minute in range(max(start, end - RING), end):
            self._slots[minute % RING] = None
        self._warm = None

    def add(self, rows: NDArray[np.int64], minutes: NDArray[np.int64], amounts: Counts) -> None:
        """Counts [k, C] of rows [k] in minutes [k]. Pairs of row and minute may repeat."""
        for minute in np.unique(minutes).tolist():
            here = minutes == minute
            slot = minute % RING
            known_rows, known = self._columns(self._slots[slot])
            unique, inverse = np.unique(np.concatenate([known_rows, rows[here]]), return_inverse=True)
            total = np.zeros((len(unique), self._width), np.int64)
            np.add.at(total, inverse, np.concatenate([known, amounts[here]]))
            self._slots[slot] = _minute(unique, np.minimum(total, self._ceiling))
        self._warm = None

    def _columns(self, minute: Minute | None) -> tuple[NDArray[np.int64], Counts]:
        """Rows [k] and counts [k, C] of a block."""
        if minute is None:
            return np.zeros(0, np.int64), np.zeros((0, self._width), np.int64)
        counts = np.empty((len(minute), self._width), np.int64)
        for number in range(self._width):
            counts[:, number] = minute[str(number)]
        return minute[_ROW].astype(np.int64), counts

    def last(self, tick: int, last: int, size: int) -> Counts:
        """[size, last, C] counts of the minutes `tick - last` to `tick - 1`.

        In memory they lie minute by minute, whatever they are kept in: sums of what detectors make of them would else
        not be the same to the last bit.
        """
        dense = np.zeros((last, size, self._width), np.int64)
        for place in range(last):
            minute = self._slots[(tick - last + place) % RING]
            if minute is not None:
                rows = minute[_ROW].astype(np.intp)
                for number in range(self._width):
                    dense[place, :, number][rows] = minute[str(number)]
        return dense.transpose(1, 0, 2)

    def at(self, tick: int, last: int, wanted: NDArray[np.intp], size: int) -> Counts:
        """[R, last, C] the same of the rows `wanted` [R], of `size`."""
        place_of = np.full(size, -1, np.intp)
        place_of[wanted] = np.arange(len(wanted))
        dense = np.zeros((last, len(wanted), self._width), np.int64)
        for place in range(last):
            minute = self._slots[(tick - last + place) % RING]
            if minute is not None:
                to = place_of[minute[_ROW]]
                asked = to >= 0
                for number in range(self._width):
                    dense[place, :, number][to[asked]] = minute[str(number)][asked]
        return dense.transpose(1, 0, 2)

    def sums(self, tick: int, last: int, counter: int, size: int) -> Counts:
        """[size] sums of one counter over the minutes `tick - last` to `tick - 1`."""
        total = np.zeros(size, np.int64)
        for place in range(last):
            minute = self._slots[(tick - last + place) % RING]
            if minute is not None:
                total[minute[_ROW]] += minute[str(counter)]
        return total

    def dense(self, size: int) -> NDArray[np.integer]:
        """[RING, size, C] the ring by slots, minute modulo `RING`. Read only, kept until `cool`."""
        if self._warm is None:
            self._warm = np.zeros((RING, size, self._width), self._dtype)
            for slot, minute in enumerate(self._slots):
                if minute is not None:
                    rows, counts = self._columns(minute)
                    self._warm[slot, rows] = counts
            self._warm.flags.writeable = False
        return self._warm

    def cool(self) -> None:
        """Let the dense ring go."""
        self._warm = None

    def restore(self, dense: NDArray[np.integer]) -> None:
        """Take over a dense ring."""
        for slot, counts in enumerate(dense):
            rows = np.flatnonzero(counts.any(axis=1))
            self._slots[slot] = _minute(rows.astype(np.int64), counts[rows].astype(np.int64))
        self._warm = None

    def keep(self, renumber: NDArray[np.int64]) -> None:
        """Drop rows: `renumber` [S] gives each row's new number, -1 if dropped."""
        for slot, minute in enumerate(self._slots):
            rows, counts = self._columns(minute)
            new = renumber[rows]
            self._slots[slot] = _minute(new[new >= 0], counts[new >= 0])
        self._warm = None


def of_rows(dense: NDArray[np.integer], rows: Sequence[int], minutes: NDArray[np.int64]) -> Counts:
    """[R, M, C] counts of some rows of a dense ring by minute."""
    counts: Counts = dense[(minutes % RING)[:, None], np.asarray(rows, np.int64)].transpose(1, 0, 2).astype(np.int64)
    return counts
