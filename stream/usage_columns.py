"""Usage in columns: CSV and Parquet, read piece by piece, so that a file of any length takes the same memory.

Two layouts are known by their columns: that of Azure's inference traces (`TIMESTAMP`, `ContextTokens`,
`GeneratedTokens`), which name no model; and Midwatch's own, the fields of a usage event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from costs.traffic import MINUTES_A_DAY
from stream.chargeback_read import UsageFileError

BATCH: Final = 50_000
TRACE: Final = {"TIMESTAMP": "time", "ContextTokens": "input_tokens", "GeneratedTokens": "output_tokens"}
OWN: Final = ("time", "input_tokens", "output_tokens")
OPTIONAL: Final = ("id", "model", "provider", "deployment", "service_tier", "cached_input_tokens", "cost_usd")
COUNTS: Final = ("input_tokens", "output_tokens", "cached_input_tokens")


class Call(NamedTuple):
    """One call of a model; `minute` counts from 1970 UTC, what the file does not say is None."""

    minute: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    model: str | None = None
    provider: str | None = None
    deployment: str | None = None
    service_tier: str | None = None
    id: str | None = None
    cost_usd: float | None = None

    @property
    def day(self) -> int:
        """The day since 1970."""
        return self.minute // MINUTES_A_DAY


def column_calls(path: Path) -> Iterator[Call]:
    """The calls of a CSV or Parquet file, in its order. Raises UsageFileError, OSError."""
    batches = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    try:
        row = 1
        for batch in batches:
            yield from _calls(path, batch, row)
            row += batch.num_rows
    except pa.ArrowInvalid as error:
        raise UsageFileError(f"{path}: {error}") from error


def _parquet(path: Path) -> Iterable[pa.RecordBatch]:
    file = pa.parquet.ParquetFile(path)
    names = _layout(path, file.schema_arrow.names)
    for batch in file.iter_batches(batch_size=BATCH, columns=list(names)):
        yield _renamed(batch, names)


def _csv(path: Path) -> Iterable[pa.RecordBatch]:
    with path.open("rb") as file:
        if not file.readline().strip():
            raise UsageFileError(f"{path} is empty: a header of column names and rows of usage are expected")
    with pa.csv.open_csv(path) as reader:
        names = _layout(path, reader.schema.names)
    kinds = {name: _kind(names[name]) for name in names}
    convert = pa.csv.ConvertOptions(column_types=kinds, include_columns=list(names), strings_can_be_null=True)
    with pa.csv.open_csv(path, read_options=pa.csv.ReadOptions(use_threads=False), convert_options=convert) as reader:
        for batch in reader:
            yield _renamed(batch, names)


def _layout(path: Path, found: list[str]) -> dict[str, str]:
    """The columns to read, with the names that they have here."""
    if TRACE.keys() <= set(found):
        return TRACE
    missing = [name for name in OWN if name not in found]
    if missing:
        raise UsageFileError(
            f"{path} has no column {', '.join(missing)} (it has {', '.join(found[:20])}): expected are "
            f"{', '.join(TRACE)}, or the fields of a usage event: {', '.join((*OWN, *OPTIONAL))}"
        )
    return {name: name for name in (*OWN, *OPTIONAL) if name in found}


def _kind(name: str) -> pa.DataType:
    if name in COUNTS:
        return pa.int64()
    return pa.float64() if name == "cost_usd" else pa.string()


def _renamed(batch: pa.RecordBatch, names: dict[str, str]) -> pa.RecordBatch:
    return batch.rename_columns([names[name] for name in batch.schema.names])


def _calls(path: Path, batch: pa.RecordBatch, first: int) -> Iterator[Call]:
    columns: dict[str, list[Any]] = {}
    for name in batch.schema.names:
        column = batch.column(name)
        if name == "time":
            columns["minute"] = _minutes(path, column, first)
        else:
            columns[name] = _checked(path, name, column, first)
    none: list[Any] = [None] * batch.num_rows
    cached = columns.get("cached_input_tokens", none)
    rest = [columns.get(name, none) for name in ("model", "provider", "deployment", "service_tier", "id", "cost_usd")]
    tokens = (columns["minute"], columns["input_tokens"], cached, columns["output_tokens"])
    for minute, read, kept, written, *words in zip(*tokens, *rest, strict=True):
        yield Call(minute, read, kept or 0, written, *words)


def _minutes(path: Path, column: pa.Array, first: int) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        moments = column.cast(pa.timestamp("s"), safe=False)
    else:
        # Whole minutes are enough; what stands behind them may have seven digits, which no parser here takes.
        text = pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(column.cast(pa.string())), 0, 16)
        try:
            moments = pc.replace_substring(text, "T", " ").cast(pa.timestamp("s"))
        except pa.ArrowInvalid as error:
            raise UsageFileError(f"{path}, near row {first}: {error}; a time is written 2026-03-01 02:15:00") from error
    if moments.null_count:
        raise UsageFileError(f"{path}, row {first + _first(pc.is_null(moments))}: there is no time")
    minutes: list[Any] = pc.divide(moments.cast(pa.int64()), 60).to_pylist()
    return minutes


def _checked(path: Path, name: str, column: pa.Array, first: int) -> list[Any]:
    if name in COUNTS:
        if name != "cached_input_tokens" and column.null_count:
            raise UsageFileError(f"{path}, row {first + _first(pc.is_null(column))}: {name} is missing")
        negative = pc.fill_null(pc.less(column, 0), fill_value=False)
        if pc.any(negative).as_py():
            row = _first(negative)
            raise UsageFileError(
                f"{path}, row {first + row}: {name} is {column[row].as_py()}; tokens cannot be negative"
            )
    values: list[Any] = column.to_pylist()
    return values


def _first(mask: pa.Array) -> int:
    return int(pc.index(mask, value=True).as_py())
