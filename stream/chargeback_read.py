"""Reading usage events from files: Midwatch's JSON lines (or CloudEvents, or OTLP), Parquet, or CSV.

A row of a Parquet or CSV file has the fields of a usage event as columns; `tags` is a JSON object or a map, or there is
one column `tags.NAME` for each tag. Rows go through the same decoder as lines, so the same rules hold for both, and
the same words explain what breaks them.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from schemas.words import DeadLetterReason
from stream.adapters import Decoded, Decoder, Limits, Usage
from stream.adapters.otlp import OtlpReader

BATCH: Final = 10_000
BAD_KEPT: Final = 1_000
ANY_TIME: Final = Limits(max_future_ms=None, max_age_ms=None)

_WHOLE: Final = frozenset({"input_tokens", "cached_input_tokens", "output_tokens"})
_FIELDS: Final = frozenset(name for name in Usage.__struct_fields__ if name != "tags")
_TAG: Final = "tags."


class UsageFileError(ValueError):
    """A file that holds no usage that can be read: which, and why."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that is no event: where it stands, and why."""

    where: str
    reason: DeadLetterReason
    detail: str


@dataclass(slots=True)
class UsageRead:
    """What was read. `bad` holds the first records that are no event; `rejected` counts all.

    `place` says what the numbers of bad records count; `cut`: of how many partitions Kafka has only a part.
    """

    usage: int = 0
    others: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    bad: list[BadRecord] = field(default_factory=list)
    place: str = "line"
    cut: int = 0

    def take(self, decoded: Decoded, numbers: Sequence[int], source: object, take: Callable[[Usage], None]) -> None:
        """Hand on the usage of a batch of a `source` whose records have these numbers, and count the rest."""
        for position, rejection in decoded.rejections:
            self.rejected += 1
            if len(self.bad) < BAD_KEPT:
                self.bad.append(
                    BadRecord(f"{source}, {self.place} {numbers[position]}", rejection.reason, rejection.detail)
                )
        for event in decoded.events:
            if isinstance(event, Usage):
                self.usage += 1
                take(event)
            else:
                self.others[type(event).__name__] += 1

    def add(self, other: UsageRead) -> None:
        """Add what was read elsewhere."""
        self.usage += other.usage
        self.others.update(other.others)
        self.rejected += other.rejected
        self.bad = (self.bad + other.bad)[:BAD_KEPT]
        self.cut += other.cut


def read_usage(files: Sequence[Path], take: Callable[[Usage], None]) -> UsageRead:
    """Hand every usage event of the files to `take`, in their order; other events are counted and passed over.

    Raises UsageFileError, OSError.
    """
    decoder, found = Decoder(ANY_TIME, otlp=OtlpReader()), UsageRead()
    for path in files:
        numbered = enumerate(_records(path), 1)
        while piece := list(islice(numbered, BATCH)):
            kept = [(number, record) for number, record in piece if not record.isspace()]
            decoded = decoder.decode_batch([(record, (), 0) for _, record in kept])
            found.take(decoded, [number for number, _ in kept], path, take)
    return found


def _records(path: Path) -> Iterator[bytes]:
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            yield from _rows(path, pa.parquet.ParquetFile(path).iter_batches(batch_size=BATCH))
        elif suffix == ".csv":
            yield from _rows(path, _csv(path))
        else:
            with path.open("rb") as lines:
                yield from lines
    except UnicodeDecodeError:
        raise UsageFileError(f"{path}: the file is not UTF-8 text; is it a CSV file?") from None
    except pa.ArrowInvalid as error:
        raise UsageFileError(f"{path}: {str(error)[:300]}") from error


def _csv(path: Path) -> Iterator[pa.RecordBatch]:
    with path.open("rb") as file:
        if not file.read(1):
            raise UsageFileError(f"{path}: the file is empty")
    reader = pa.csv.open_csv(path)
    names = reader.schema.names
    reader.close()
    # By default "nan" is null, too, and a cost that is not a number would be none.
    text = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=["", "NULL", "null"]
    )
    yield from pa.csv.open_csv(path, parse_options=pa.csv.ParseOptions(newlines_in_values=True), convert_options=text)


def _rows(path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """Each row as the JSON of an event."""
    for batch in batches:
        names = batch.schema.names
        if missing := {"id", "time", "environment", "system", "model", "input_tokens", "output_tokens"} - set(names):
            raise UsageFileError(
                f"{path}: there is no column {', '.join(sorted(missing))}; it has {', '.join(names)}. A usage file has "
                "the fields of a usage event as columns"
            )
        columns = {name: _in_microseconds(batch.column(name)) for name in names if _is_read(name)}
        for row in pa.RecordBatch.from_pydict(columns).to_pylist():
            yield json.dumps(_event(row), default=str).encode()


def _in_microseconds(column: Any) -> Any:
    """Times as Python can hold them; other columns as they are."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column


def _is_read(name: str) -> bool:
    return name in _FIELDS or name == "tags" or name.startswith(_TAG)


def _event(row: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {"type": "usage"}
    tags: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        if name == "tags":
            tags.update(_tags(value))
        elif name.startswith(_TAG):
            tags[name.removeprefix(_TAG)] = value
        else:
            event[name] = _value(name, value)
    return {**event, "tags": tags} if tags else event


def _tags(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            read = json.loads(value)
        except ValueError:
            read = None
        # What is no object is handed on as a tag that no event may have, so that the decoder refuses the row.
        return read if isinstance(read, dict) else {"tags": [value]}
    return dict(value)


def _value(name: str, value: Any) -> Any:
    """The value as JSON has it; what does not fit stays text, for the decoder to refuse in words."""
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo else f"{value.isoformat()}Z"
    if name not in _WHOLE and name != "cost_usd":
        return value
    try:
        number = float(value) if name == "cost_usd" else int(value)
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return number if math.isfinite(number) and number == float(value) else str(value)
