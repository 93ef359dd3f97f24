"""From a file of history to windows that slide over it.

A history has one row for each series and minute: `time`, `environment`, `system`, the detector's dimension and its
counters. Rows may come in any order; rows of the same series and minute add up; minutes without a row are zero. Files
are read in batches, so that twelve million rows need little more memory than their windows. Every problem that can be
found is reported at once; what is no problem but may be a surprise is a note.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from detectors.arrays import ArrayView, HourView
from detectors.base import Counts
from detectors.words import at
from schemas.series import SeriesKey
from schemas.words import DetectorName
from stream.backtest_checks import impossible_counts, uncovered
from stream.backtest_files import batches
from stream.backtest_layout import LAYOUTS, Layout
from stream.backtest_problems import BacktestError, file_error

_MINUTE_US, _HOUR = 60_000_000, 60
_LAST_MINUTE: Final = 2**26
"""In 2097; a time in seconds or milliseconds that was taken for microseconds does not lie between 1970 and then."""

_MOST_CELLS: Final = 400_000_000
"""Most counters that are held in memory: 3.2 GB."""

_MOST_TICKS: Final = 3 * 366 * 1440
"""Most columns of a history: three years of minutes. What is longer has a time of another year in it."""


@dataclass(frozen=True, slots=True)
class History:
    """A history in memory, and what is worth knowing about its file."""

    view: ArrayView
    rows: int
    notes: tuple[str, ...]


def load_history(path: Path, detector: DetectorName) -> History:
    """The history in `path`. Raises BacktestError that lists what is wrong with the file."""
    notes: list[str] = []
    rows = _Rows(LAYOUTS[detector], notes)
    for batch in batches(path, LAYOUTS[detector], notes):
        rows.add(batch)
    return History(rows.view(path), rows.seen, tuple(notes))


@dataclass
class _Problem:
    """Where a column is wrong for the first time, and how often it is."""

    text: str
    times: int

    def __str__(self) -> str:
        return self.text + (f"; {self.times:,} rows in all" if self.times > 1 else "")


@dataclass
class _Rows:
    """Rows read so far: series code, minute, counters; and what was wrong with some of them.

    Rows that count nothing only say that the history covers their minute.
    """

    layout: Layout
    notes: list[str]
    codes: dict[tuple[str, ...], int] = field(default_factory=dict)
    series: list[NDArray[np.int32]] = field(default_factory=list)
    minutes: list[NDArray[np.int32]] = field(default_factory=list)
    values: list[NDArray[np.integer[Any]]] = field(default_factory=list)
    covered: list[NDArray[np.int32]] = field(default_factory=list)
    problems: dict[str, _Problem] = field(default_factory=dict)
    seen: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch of columns of the right types."""
        if not batch.num_rows:
            return
        good = np.ones(batch.num_rows, dtype=np.bool_)
        minutes = self._minutes(batch.column("time"), good)
        series = self._identify(batch, good)
        counters = [self._counter(batch, name, unit, good) for name, unit in self.layout.counters]
        self.covered.append(np.unique(minutes[good]))
        spoke = np.zeros(batch.num_rows, dtype=np.bool_)
        for counter in counters:
            spoke |= counter != 0
        keep = good & spoke
        self.minutes.append(minutes[keep])
        self.series.append(series[keep])
        kept = np.stack([counter[keep] for counter in counters], axis=1)
        small = kept.max(initial=0) < 2**31
        self.values.append(kept.astype(np.int32) if small else kept)
        self.seen += batch.num_rows

    def view(self, path: Path) -> ArrayView:
        """The dense windows; frees the rows. Raises BacktestError with all that was wrong."""
        if not self.seen:
            raise BacktestError(f"{path}: the file has no rows")
        covered = np.unique(np.concatenate(self.covered))
        if not covered.size:
            raise file_error(path, map(str, self.problems.values()))
        hourly = self.layout.by_hour or (self.layout.kind == "score" and not (covered % _HOUR).any())
        start, end = int(covered[0]) // _HOUR * _HOUR, int(covered[-1]) + 1
        step = _HOUR if hourly else 1
        order = self._order()
        counts = self._counts(path, order, start, -(-(end - start) // step), step)
        keys = [SeriesKey(self.layout.kind, name[0], name[1], name[2:]) for name in order]
        problems = [*map(str, self.problems.values()), *impossible_counts(self.layout, counts, keys, start, step)]
        if problems:
            raise file_error(path, problems)
        if not order:
            raise BacktestError(f"{path}: every count is zero, there is nothing to look at")
        self.notes += uncovered(covered, step)
        silent = len(self.codes) - len(order)
        if silent:
            self.notes.append(f"series that count nothing in the whole history: {silent}; they are left out")
        return (HourView if hourly else ArrayView)(self.layout.kind, keys, counts, start)

    def _order(self) -> list[tuple[str, ...]]:
        """The names of the series that speak, by (first minute, name), as a view wants them: that spares a copy."""
        first = np.full(len(self.codes), _LAST_MINUTE + 1, dtype=np.int32)
        for series, minutes in zip(self.series, self.minutes, strict=True):
            np.minimum.at(first, series, minutes)
        speaking = [name for name, code in self.codes.items() if first[code] <= _LAST_MINUTE]
        return sorted(speaking, key=lambda name: (int(first[self.codes[name]]), name))

    def _counts(self, path: Path, order: list[tuple[str, ...]], start: int, length: int, step: int) -> Counts:
        """[S, length, C] the sums of the rows, which are freed one batch at a time."""
        if len(order) * length * self.layout.width > _MOST_CELLS or length > _MOST_TICKS:
            raise BacktestError(
                f"{path}: {len(order)} series over {length:,} {'hours' if step > 1 else 'minutes'} are too much "
                f"({at(start)} to {at(start + length * step)}): split the history by series or by time, or "
                "look for a row with a time of another year"
            )
        row_of = np.zeros(len(self.codes), dtype=np.int64)
        for row, name in enumerate(order):
            row_of[self.codes[name]] = row
        counts = np.zeros((len(order), length, self.layout.width), dtype=np.int64)
        flat = counts.reshape(-1)
        taken = np.zeros(len(order) * length if step == 1 else 0, dtype=np.bool_)
        rows = 0
        for rows_read in (self.series, self.minutes, self.values):
            rows_read.reverse()
        while self.series:
            minutes, block = self.minutes.pop(), self.values.pop()
            cell = row_of[self.series.pop()] * length + (minutes - start) // step
            for counter in range(block.shape[1]):
                np.add.at(flat, cell * self.layout.width + counter, block[:, counter].astype(np.int64))
            if step == 1:
                taken[cell] = True
                rows += len(cell)
        again = rows - int(np.count_nonzero(taken))
        if again:
            self.notes.append(f"rows that repeat the series and minute of another: {again:,}; their counts were added")
        return counts

    def _minutes(self, time: Any, good: NDArray[np.bool_]) -> NDArray[np.int32]:
        self._refuse(np.asarray(pc.is_null(time)), good, "time", "is empty")
        minutes = np.asarray(pc.fill_null(time, 0).cast(pa.int64())) // _MINUTE_US
        self._refuse((minutes < 0) | (minutes > _LAST_MINUTE), good, "time", "lies outside 1970 to 2097")
        return np.asarray(np.clip(minutes, 0, _LAST_MINUTE), dtype=np.int32)

    def _identify(self, batch: pa.RecordBatch, good: NDArray[np.bool_]) -> NDArray[np.int32]:
        """[N] the code of each row's series; codes are given in order of appearance."""
        combined = np.zeros(batch.num_rows, dtype=np.int64)
        words_of: list[list[str]] = []
        for name in self.layout.dimensions:
            column = batch.column(name)
            encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            names = ["" if word is None else str(word) for word in encoded.dictionary.to_pylist()] + [""]
            index = np.asarray(pc.fill_null(encoded.indices.cast(pa.int64()), len(names) - 1))
            empty = np.array([not word for word in names])
            self._refuse(empty[index], good, name, "is empty")
            combined *= len(names)
            combined += index
            words_of.append(names)
        present, where = np.unique(combined, return_inverse=True)
        codes = np.empty(len(present), dtype=np.int32)
        for place, code in enumerate(present.tolist()):
            rest, parts = code, list[str]()
            for names in reversed(words_of):
                rest, part = divmod(rest, len(names))
                parts.append(names[part])
            codes[place] = self.codes.setdefault(tuple(reversed(parts)), len(self.codes)) if all(parts) else 0
        return np.asarray(codes[where])

    def _counter(self, batch: pa.RecordBatch, name: str, unit: int, good: NDArray[np.bool_]) -> NDArray[np.int64]:
        if name not in batch.schema.names:
            return np.zeros(batch.num_rows, dtype=np.int64)
        column = batch.column(name)
        self._refuse(np.asarray(pc.is_null(column)), good, name, "is empty")
        values = np.asarray(pc.fill_null(column, 0).cast(pa.float64(), safe=False))
        wild = ~np.isfinite(values) | (np.abs(values) * unit > 2.0**53)
        self._refuse(wild, good, name, "is not a number that can be counted", values)
        values = np.where(wild, 0.0, values)
        self._refuse(values < 0, good, name, "is negative", values)
        if unit == 1:
            self._refuse(values != np.floor(values), good, name, "is not a whole number", values)
        return np.asarray(np.rint(np.maximum(values, 0) * unit), dtype=np.int64)

    def _refuse(
        self,
        bad: NDArray[np.bool_],
        good: NDArray[np.bool_],
        column: str,
        problem: str,
        values: NDArray[np.float64] | None = None,
    ) -> None:
        """Note the first row where `bad` holds, and how many there are; takes them out of `good`."""
        times = int(np.count_nonzero(bad))
        if not times:
            return
        good &= ~bad
        known = self.problems.get(f"{column} {problem}")
        if known:
            known.times += times
            return
        first = int(bad.argmax())
        value = "" if values is None else f" ({values[first]:g})"
        text = f"column {column}, row {self.seen + first + 1}: {problem}{value}"
        self.problems[f"{column} {problem}"] = _Problem(text, times)
