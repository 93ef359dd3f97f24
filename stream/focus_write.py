"""FOCUS rows to files: CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet

from costs.focus import FocusRow
from costs.focus_columns import COLUMNS, COST_SCALE, FOCUS_VERSION

BATCH: Final = 10_000

_TYPES: Final[dict[str, Any]] = {
    "text": pa.string(),
    "json": pa.string(),
    "decimal": pa.decimal128(38, COST_SCALE),
    "time": pa.timestamp("ms", "UTC"),
}


def write_focus_csv(rows: Iterable[FocusRow], out: IO[bytes]) -> int:
    """Write rows as CSV (UTF-8, empty for null, times as FOCUS asks for them); how many there were."""
    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([column.name for column in COLUMNS])
    count = 0
    for row in rows:
        lines.writerow([_text(row[column.name]) for column in COLUMNS])
        count += 1
    text.detach()
    return count


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Decimal):
        # With a point in every number, importers that guess the type guess right.
        text = f"{value.normalize():f}"
        return text if "." in text else f"{text}.0"
    return str(value)


def write_focus_parquet(rows: Iterable[FocusRow], out: IO[bytes]) -> int:
    """Write rows as Parquet, batch by batch; how many there were."""
    fields = [pa.field(column.name, _TYPES[column.kind], column.nullable) for column in COLUMNS]
    schema = pa.schema(fields, metadata={"FocusVersion": FOCUS_VERSION, "DataGenerator": "Midwatch"})
    count, source = 0, iter(rows)
    with pa.parquet.ParquetWriter(out, schema) as writer:
        while piece := list(islice(source, BATCH)):
            writer.write_table(pa.Table.from_pylist(piece, schema=schema))
            count += len(piece)
    return count
