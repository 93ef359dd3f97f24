"""What was understood of records, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.base import JsonObject
from stream.inspect_records import Insight, Seen
from stream.verdicts_text import printable


def record_lines(one: Insight) -> Iterator[str]:
    """One line for the record, and one for each thing in it."""
    size = "no value" if one.size is None else f"{one.size:,} bytes"
    yield printable(f"{one.partition}/{one.offset}  {one.time or 'no time'}  {one.format}, {size}")
    for seen in one.events:
        yield printable(f"    {_event(seen)}")
    for why in one.refused:
        yield printable(f"    refused, {why.reason}: {why.detail}")
    if one.passed_over:
        yield f"    {one.passed_over} passed over: understood, and nothing that Midwatch keeps"
    if one.unknown_fields:
        yield printable(f"    ignored: {', '.join(one.unknown_fields)}")


def _event(seen: Seen) -> str:
    said = " ".join(f"{name}={_value(value)}" for name, value in seen.says.items())
    return f"{seen.type}  {seen.series}  {said}  ({seen.id})"


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def summary_lines(found: JsonObject) -> Iterator[str]:
    """A table by format, and the unknown fields."""
    rows = [("format", "records", "events", "refused", "passed over")]
    for name, row in found["formats"].items():
        rows.append(
            (name, str(row["records"]), _counts(row["events"]), _counts(row["refused"]), str(row["passed_over"]))
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if found["unknown_fields"]:
        yield printable(f"fields that were ignored: {_counts(found['unknown_fields'])}")


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items()) or "-"


def lines(insights: Iterable[Insight], found: JsonObject) -> Iterator[str]:
    """All of it."""
    for one in insights:
        yield from record_lines(one)
    yield ""
    yield from summary_lines(found)
