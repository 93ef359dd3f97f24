"""A file of history, Parquet or CSV, as typed batches; every way in which it is no such file has its message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from stream.backtest_layout import Layout
from stream.backtest_problems import BacktestError, explain_column, explain_csv, file_error

UTC_TIME: Final = pa.timestamp("us", "UTC")
_FINE_TIME: Final = pa.timestamp("ns", "UTC")
"""For text, which may have more digits than counts."""

_PARQUET_MAGIC: Final = b"PAR1"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_BATCH_ROWS: Final = 1 << 20
_CSV_BLOCK: Final = 1 << 24


def batches(path: Path, layout: Layout, notes: list[str]) -> Iterator[pa.RecordBatch]:
    """The file's batches with the columns that the layout knows: `time` in UTC, names as dictionaries, counters.

    Raises BacktestError; adds to `notes` what was taken for granted.
    """
    suffix = path.suffix.lower()
    try:
        if suffix not in (".parquet", ".csv"):
            raise BacktestError(f"{path}: a history is a .parquet or a .csv file")
        if path.is_dir():
            raise BacktestError(f"{path}: it is a directory, not a file")
        _same_as_named(path, suffix)
        yield from _parquet(path, layout, notes) if suffix == ".parquet" else _csv(path, layout)
    except FileNotFoundError:
        raise BacktestError(f"{path}: there is no such file") from None
    except pa.ArrowInvalid as error:
        raise BacktestError(f"{path}: {error}") from error


def _same_as_named(path: Path, suffix: str) -> None:
    with path.open("rb") as file:
        head = file.read(len(_PARQUET_MAGIC))
    is_parquet = head == _PARQUET_MAGIC
    if suffix == ".csv" and head[:2] in _UTF16_MARKS:
        raise BacktestError(f"{path}: it is UTF-16 text; save it as UTF-8")
    if is_parquet and suffix == ".csv":
        raise BacktestError(f"{path}: it holds Parquet; name it .parquet")
    if not is_parquet and suffix == ".parquet":
        raise BacktestError(f"{path}: it is no Parquet file; if it is CSV, name it .csv")


def _columns(path: Path, layout: Layout, names: list[str]) -> list[str]:
    """The columns to read. Raises BacktestError with all that are missing or there twice."""
    wanted = {*layout.required, *layout.optional}
    missing = [name for name in layout.required if name not in names]
    problems = []
    if missing:
        hint = ""
        if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
            hint = "; its columns must be separated by commas"
        problems.append(
            f"there is no column {', '.join(missing)}; it has {', '.join(names) or 'none'}{hint}. "
            f"This detector reads {', '.join(layout.required)}"
        )
    twice = sorted(name for name, times in Counter(names).items() if times > 1 and name in wanted)
    if twice:
        problems.append(f"there is more than one column {', '.join(twice)}")
    if problems:
        raise BacktestError(f"{path}: " + "; ".join(problems))
    return [name for name in names if name in wanted]


def _parquet(path: Path, layout: Layout, notes: list[str]) -> Iterator[pa.RecordBatch]:
    file = pa.parquet.ParquetFile(path, read_dictionary=list(layout.dimensions))
    columns = _columns(path, layout, file.schema_arrow.names)
    _check_types(path, layout, file.schema_arrow, columns)
    time = file.schema_arrow.field("time").type
    if pa.types.is_timestamp(time) and time.tz is None:
        notes.append("column time has no zone in the file: it was taken as UTC")
    row = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
        typed = {name: batch.column(name) for name in columns}
        yield pa.RecordBatch.from_pydict(typed | {"time": _as_time(path, typed["time"], row)})
        row += batch.num_rows


def _check_types(path: Path, layout: Layout, schema: Any, columns: list[str]) -> None:
    """Refuse columns whose type cannot mean what they should: all of them at once."""
    problems = []
    for name in columns:
        kind = schema.field(name).type
        if name == "time":
            if not (pa.types.is_timestamp(kind) or _is_text(kind)):
                problems.append(f"column time holds {kind}, not timestamps or text such as 2024-01-31T09:30:00Z")
        elif name in layout.dimensions:
            if not (_is_text(kind) or pa.types.is_integer(kind)):
                problems.append(f"column {name} holds {kind}, not names")
        elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            problems.append(f"column {name} holds {kind}, not numbers")
    if problems:
        raise file_error(path, problems)


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _as_time(path: Path, column: Any, row: int) -> Any:
    """Microseconds in UTC; a time without a zone is taken as UTC."""
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            column = pc.assume_timezone(column, "UTC")
        return column.cast(UTC_TIME, safe=False)
    text = column.cast(pa.string())
    try:
        return text.cast(_FINE_TIME).cast(UTC_TIME, safe=False)
    except pa.ArrowInvalid as error:
        problems = explain_column("time", text, _FINE_TIME, row)
        raise file_error(path, problems.values() or [str(error)]) from error


def _csv(path: Path, layout: Layout) -> Iterator[pa.RecordBatch]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        names = [name.strip().strip('"') for name in file.readline().rstrip("\r\n").split(",")]
    columns = _columns(path, layout, names if names != [""] else [])
    types: dict[str, Any] = dict.fromkeys(columns, pa.float64())
    types |= dict.fromkeys(layout.dimensions, pa.dictionary(pa.int32(), pa.string()))
    types["time"] = _FINE_TIME
    convert = pa.csv.ConvertOptions(
        column_types=types, include_columns=columns, strings_can_be_null=True, null_values=[""]
    )
    options = pa.csv.ReadOptions(block_size=_CSV_BLOCK, column_names=names, skip_rows=1, use_threads=False)
    try:
        for batch in pa.csv.open_csv(path, options, convert_options=convert):
            place = batch.schema.get_field_index("time")
            yield batch.set_column(place, "time", batch.column(place).cast(UTC_TIME, safe=False))
    except pa.ArrowInvalid as error:
        if "Could not skip" in str(error):
            # There is a heading and nothing below it, not even the end of its line.
            return
        raise explain_csv(path, options, types, error) from error
