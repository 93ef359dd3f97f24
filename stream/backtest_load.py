"""Reading histories and labels for a backtest: Parquet or CSV in, dense windows out.

A history has one row for each series and minute: `time`, `environment`, `system`, the detector's dimension and its
counters. Rows of the same series and minute add up; minutes without a row are zero. Files are read in batches, so that
twelve million rows need little more memory than their windows. Every problem that can be found is reported at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from detectors.arrays import ArrayView, HourView
from schemas.series import COUNTERS, DIMENSIONS, MICRO_USD, SCORE_UNIT, SeriesKey, SeriesKind
from schemas.words import DetectorName
from stream.backtest_problems import BacktestError, explain_csv

_MINUTE_US, _HOUR = 60_000_000, 60
_MOST_CELLS = 400_000_000
"""Most counters that are held in memory: 3.2 GB."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns a detector's history has. `counters` gives for each counter its column and unit."""

    kind: SeriesKind
    counters: tuple[tuple[str, int], ...]
    optional: frozenset[str]
    by_hour: bool

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of the identity's columns."""
        return ("environment", "system", *DIMENSIONS[self.kind])

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return ("time", *self.dimensions, *(name for name, _ in self.counters if name not in self.optional))


_FLOW = Layout(
    "flow", (("interactions", 1), ("escalations", 1), ("failures", 1)), frozenset({"failures"}), by_hour=False
)
LAYOUTS: Final[dict[DetectorName, Layout]] = {
    "escalation_rate": _FLOW,
    "silence": Layout("flow", _FLOW.counters, frozenset({"escalations", "failures"}), by_hour=False),
    "authorization_denials": Layout("agent", (("requests", 1), ("denials", 1)), frozenset(), by_hour=False),
    "burn_rate": Layout("budget", (("requests", 1), ("cost_usd", MICRO_USD)), frozenset({"requests"}), by_hour=True),
    "evaluation_drop": Layout(
        "score",
        (("scores", 1), ("score_sum", SCORE_UNIT), ("score_sumsq", SCORE_UNIT**2)),
        frozenset(),
        by_hour=False,
    ),
}


def load_counts(path: Path, detector: DetectorName) -> ArrayView:
    """The history in `path` as windows that slide. Raises BacktestError that lists what is wrong with the file."""
    layout = LAYOUTS[detector]
    rows = _Rows(layout)
    for batch in _batches(path, layout):
        rows.add(batch)
    rows.finish(path)
    return rows.view()


@dataclass
class _Rows:
    """Rows read so far: series code, minute, counters; and what was wrong with some of them."""

    layout: Layout
    codes: dict[tuple[str, ...], int] = field(default_factory=dict)
    series: list[NDArray[np.int32]] = field(default_factory=list)
    minutes: list[NDArray[np.int32]] = field(default_factory=list)
    values: list[NDArray[np.int64]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    seen: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch of columns of the right types."""
        time = batch.column("time")
        self._refuse(np.asarray(pc.is_null(time)), "time", "is empty")
        minutes = np.asarray(pc.fill_null(time, 0).cast(pa.int64())) // _MINUTE_US
        self._refuse((minutes < 0) | (minutes > 2**31 - 1), "time", "lies outside 1970 to 2100")
        self.minutes.append(np.clip(minutes, 0, 2**31 - 1).astype(np.int32))
        self.series.append(self._identify(batch))
        self.values.append(np.stack([self._counter(batch, *counter) for counter in self.layout.counters], axis=1))
        self._check_events()
        self.seen += batch.num_rows

    def finish(self, path: Path) -> None:
        """Raise what was wrong, all of it."""
        if not self.seen:
            self.problems["rows"] = "the file has no rows"
        if self.problems:
            raise BacktestError(f"{path}:\n" + "\n".join(f"  {text}" for text in self.problems.values()))

    def view(self) -> ArrayView:
        """The dense windows; frees the rows."""
        kind, names = self.layout.kind, list(self.codes)
        series, minutes = np.concatenate(self.series), np.concatenate(self.minutes)
        hourly = self.layout.by_hour or (kind == "score" and not (minutes % _HOUR).any())
        start = int(minutes.min()) // _HOUR * _HOUR
        column = (minutes - start) // (_HOUR if hourly else 1)
        length = int(column.max()) + 1
        width = len(COUNTERS[kind])
        if len(names) * length * width > _MOST_CELLS:
            raise BacktestError(
                f"{len(names)} series over {length:,} {'hours' if hourly else 'minutes'} do not fit in memory: "
                "split the history by series or by time"
            )
        counts = np.zeros((len(names), length, width), dtype=np.int64)
        flat = counts.reshape(-1, width)
        cell = series.astype(np.int64) * length + column
        values = self.values
        self.series, self.minutes, self.values = [], [], []
        offset = 0
        for block in values:
            np.add.at(flat, cell[offset : offset + len(block)], block)
            offset += len(block)
        keys = [SeriesKey(kind, name[0], name[1], name[2:]) for name in names]
        return (HourView if hourly else ArrayView)(kind, keys, counts, start)

    def _identify(self, batch: pa.RecordBatch) -> NDArray[np.int32]:
        """[N] the code of each row's series; codes are given in order of appearance."""
        combined = np.zeros(batch.num_rows, dtype=np.int64)
        words: list[list[str]] = []
        for name in self.layout.dimensions:
            column = batch.column(name)
            self._refuse(np.asarray(pc.is_null(column)), name, "is empty")
            encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            combined *= len(encoded.dictionary) + 1
            combined += np.asarray(pc.fill_null(encoded.indices, len(encoded.dictionary)).cast(pa.int64()))
            words.append([str(word) for word in encoded.dictionary.to_pylist()] + [""])
        present, where = np.unique(combined, return_inverse=True)
        codes = np.empty(len(present), dtype=np.int32)
        for index, code in enumerate(present.tolist()):
            rest, name_parts = code, list[str]()
            for names in reversed(words):
                rest, part = divmod(rest, len(names))
                name_parts.append(names[part])
            codes[index] = self.codes.setdefault(tuple(reversed(name_parts)), len(self.codes))
        return np.asarray(codes[where])

    def _counter(self, batch: pa.RecordBatch, name: str, unit: int) -> NDArray[np.int64]:
        if name not in batch.schema.names:
            return np.zeros(batch.num_rows, dtype=np.int64)
        column = batch.column(name)
        self._refuse(np.asarray(pc.is_null(column)), name, "is empty")
        values = np.asarray(pc.fill_null(column, 0).cast(pa.float64()))
        self._refuse(
            ~np.isfinite(values) | (np.abs(values) * unit > 2.0**53), name, "is not a number that can be counted"
        )
        values = np.where(np.isfinite(values), values, 0.0)
        self._refuse(values < 0, name, "is negative")
        if unit == 1:
            self._refuse(values != np.floor(values), name, "is not a whole number")
        return np.asarray(np.rint(np.clip(values * unit, 0, 2.0**53)), dtype=np.int64)

    def _check_events(self) -> None:
        """More escalations than interactions, or denials than requests, is no history of theirs."""
        if self.layout.kind in ("flow", "agent") and not self.layout.optional & {"escalations"}:
            names = [name for name, _ in self.layout.counters]
            block = self.values[-1]
            self._refuse(block[:, 1] > block[:, 0], names[1], f"is more than {names[0]}")

    def _refuse(self, bad: NDArray[np.bool_], column: str, problem: str) -> None:
        """Note the first row where `bad` holds; rows are counted from 1, without the heading."""
        if bad.any():
            row = self.seen + int(bad.argmax()) + 1
            self.problems.setdefault(f"{column} {problem}", f"column {column}, row {row}: {problem}")


def _batches(path: Path, layout: Layout) -> Iterator[pa.RecordBatch]:
    """The file's batches with the columns that the layout knows, typed."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            yield from _parquet(path, layout)
        elif suffix == ".csv":
            yield from _csv(path, layout)
        else:
            raise BacktestError(f"{path}: a history is a .parquet or a .csv file")
    except FileNotFoundError:
        raise BacktestError(f"{path}: there is no such file") from None
    except pa.ArrowInvalid as error:
        raise BacktestError(f"{path}: {error}") from error


def _require(path: Path, layout: Layout, names: list[str]) -> list[str]:
    """The columns to read; raises BacktestError with all that are missing."""
    missing = [name for name in layout.required if name not in names]
    if missing:
        raise BacktestError(
            f"{path}: there is no column {', '.join(missing)}; it has {', '.join(names) or 'none'}. "
            f"This detector reads {', '.join(layout.required)}"
        )
    return [name for name in names if name in layout.required or name in layout.optional]


def _parquet(path: Path, layout: Layout) -> Iterator[pa.RecordBatch]:
    file = pa.parquet.ParquetFile(path, read_dictionary=list(layout.dimensions))
    columns = _require(path, layout, file.schema_arrow.names)
    for batch in file.iter_batches(batch_size=1 << 20, columns=columns):
        yield pa.RecordBatch.from_pydict(
            {name: _as_time(batch.column(name)) if name == "time" else batch.column(name) for name in columns}
        )


def _as_time(column: Any) -> Any:
    """Microseconds in UTC; a time without a zone is taken as UTC."""
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        column = pc.assume_timezone(column, "UTC")
    return column.cast(pa.timestamp("us", "UTC"), safe=False)


def _csv(path: Path, layout: Layout) -> Iterator[pa.RecordBatch]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        names = [name.strip().strip('"') for name in file.readline().rstrip("\r\n").split(",")]
    columns = _require(path, layout, names if names != [""] else [])
    types: dict[str, Any] = dict.fromkeys(layout.dimensions, pa.dictionary(pa.int32(), pa.string()))
    types["time"] = pa.timestamp("us", "UTC")
    types |= {name: pa.float64() for name, _ in layout.counters}
    convert = pa.csv.ConvertOptions(column_types=types, include_columns=columns, strings_can_be_null=True)
    try:
        yield from pa.csv.open_csv(path, pa.csv.ReadOptions(block_size=1 << 24), convert_options=convert)
    except pa.ArrowInvalid as error:
        raise BacktestError(explain_csv(path, columns, types, error)) from error
