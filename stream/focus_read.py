"""FOCUS files of any version from 1.0 to 1.4, batch by batch: CSV (also compressed) or Parquet.

What differs between versions and providers is levelled here: the order and the letter case of columns, columns that
were renamed (1.3 has `ServiceProviderName` for `ProviderName`), times as text or as timestamps, tags as JSON text or as
a map, costs as numbers of any width. Texts come dictionary-encoded, costs as float64; all other columns as they are,
so that rows can be told from one another by all that they say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stream.backtest_problems import explain_csv
from stream.focus_problems import FocusError

BLOCK_BYTES: Final = 1 << 22
PARQUET_ROWS: Final = 1 << 15
COLUMN_BYTES: Final = 1 << 18
"""What is read at once of each column of a Parquet file."""

_NULLS: Final = ("", "NULL", "null")

COSTS: Final = ("BilledCost", "EffectiveCost", "x_BilledCostInUsd", "x_EffectiveCostInUsd")

KNOWN: Final = (
    *COSTS,
    "BillingCurrency", "BillingPeriodStart", "ChargePeriodStart", "ChargeCategory", "ChargeClass",
    "CommitmentDiscountId", "CommitmentDiscountStatus", "ProviderName", "ResourceId", "ServiceCategory", "Tags",
    "ServiceProviderName", "HostProviderName", "InvoiceId", "CapacityReservationId", "ContractApplied",
)  # fmt: skip
_BY_FOLDED: Final = {name.casefold(): name for name in KNOWN}


def focus_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a file, with FOCUS's own names for the columns it knows. Raises FocusError."""
    try:
        if path.suffix.lower() == ".parquet":
            yield from _parquet(path)
        else:
            yield from _csv(path)
    except FileNotFoundError:
        raise FocusError(f"{path}: there is no such file") from None
    except UnicodeDecodeError:
        raise FocusError(f"{path}: the file is not UTF-8 text; is it a CSV file?") from None
    except pa.ArrowInvalid as error:
        raise FocusError(f"{path}: {str(error)[:300]}. A bill is a FOCUS file, .csv or .parquet") from error


def version_of(names: list[str]) -> str:
    """The version of FOCUS that a set of columns is of, as far as columns tell."""
    if "ServiceProviderName" in names or "HostProviderName" in names or "ContractApplied" in names:
        return "1.3" if "ProviderName" in names else "1.4"
    if "InvoiceId" in names:
        return "1.2"
    return "1.1" if "CapacityReservationId" in names else "1.0"


def _named(path: Path, names: list[str]) -> list[str]:
    found = [_BY_FOLDED.get(name.strip().casefold(), name.strip()) for name in names]
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise FocusError(f"{path}: there are two columns {', '.join(twice)}")
    return found


def _parquet(path: Path) -> Iterator[pa.RecordBatch]:
    file = pa.parquet.ParquetFile(path, pre_buffer=False, buffer_size=COLUMN_BYTES)
    names = _named(path, file.schema_arrow.names)
    for batch in file.iter_batches(batch_size=PARQUET_ROWS):
        columns = [_levelled(name, column) for name, column in zip(names, batch.columns, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, names)


def _levelled(name: str, column: Any) -> Any:
    kind = column.type
    if name in COSTS:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            column = column.cast(pa.string())
        return column.cast(pa.float64())
    if pa.types.is_map(kind) or pa.types.is_struct(kind) or pa.types.is_list(kind):
        column = pa.array([_json(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.cast(pa.string()).dictionary_encode()
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("ms", kind.tz), safe=False)
    return column


def _json(value: Any) -> str | None:
    """A nested value as JSON: a map comes as pairs."""
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        value = dict(value)
    return json.dumps(value, default=str, sort_keys=True)


def _csv(path: Path) -> Iterator[pa.RecordBatch]:
    with path.open("rb") as file:
        if not file.read(1):
            raise FocusError(f"{path}: the file is empty")
    reader = pa.csv.open_csv(str(path))
    given = reader.schema.names
    reader.close()
    names = _named(path, given)
    text = pa.dictionary(pa.int32(), pa.string())
    types = {old: pa.float64() if new in COSTS else text for old, new in zip(given, names, strict=True)}
    convert = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=_NULLS)
    # A description may hold a line break. One thread: the blocks that are read ahead count against the memory.
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    read = pa.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False)
    try:
        for batch in pa.csv.open_csv(str(path), read, parse, convert):
            yield pa.RecordBatch.from_arrays(batch.columns, names)
    except pa.ArrowInvalid as error:
        costs = {old: types[old] for old, new in zip(given, names, strict=True) if new in COSTS}
        raise FocusError(explain_csv(path, read, costs, error, parse, _NULLS)) from error
