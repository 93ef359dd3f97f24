"""What is wrong with a file of history or labels, in words that help."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv


class BacktestError(ValueError):
    """A history, labels or settings that cannot be used: what, where and why, one line for each problem."""


class UnknownDetectorError(BacktestError):
    """A detector that there is no history for."""


def file_error(path: Path, problems: Iterable[str]) -> BacktestError:
    """All problems of one file."""
    return BacktestError(f"{path} (rows count from 1, without the heading):\n" + "\n".join(f"  {p}" for p in problems))


def explain_csv(
    path: Path,
    read: Any,
    types: dict[str, Any],
    error: Exception,
    parse: Any = None,
    nulls: Sequence[str] = (),
) -> BacktestError:
    """All columns whose values cannot be converted to `types`, each with its first bad row; else `error` itself.

    `read` and `parse` are the options that the file was read with, `nulls` the words that may stand for nothing.
    """
    columns = list(types)
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        include_columns=columns,
        null_values=list(nulls),
        strings_can_be_null=bool(nulls),
    )
    problems: dict[str, str] = {}
    row = 0
    try:
        for batch in pa.csv.open_csv(str(path), read, parse, convert):
            for name in columns:
                problems = explain_column(name, batch.column(name), types[name], row) | problems
            row += batch.num_rows
    except pa.ArrowInvalid as broken:
        error = broken
    return file_error(path, [problems[name] for name in sorted(problems)] or [_plain(str(error))])


def explain_column(name: str, column: Any, wanted: Any, row: int = 0) -> dict[str, str]:
    """What is wrong, by a key of its own, where a column of text that begins at `row` holds what is no `wanted`."""
    problems = {}
    empty = pc.index(column, pa.scalar("", column.type)).as_py()
    if empty >= 0:
        problems[f"{name} empty"] = f"column {name}, row {row + empty + 1}: is empty"
        column = pc.if_else(pc.equal(column, ""), None, column)
    bad = _first_bad(column, wanted)
    if bad is not None:
        problems[name] = f"column {name}, row {row + bad[0] + 1}: {bad[1]!r} {_why(name, bad[1])}"
    return problems


def _why(name: str, text: str) -> str:
    if name != "time":
        return "is not a number"
    try:
        naive = datetime.fromisoformat(text.strip()).tzinfo is None
    except ValueError:
        naive = False
    return "has no zone; add Z for UTC, or the offset" if naive else "is not a time such as 2024-01-31T09:30:00Z"


def _plain(text: str) -> str:
    """A reader's message without its own jargon."""
    if "invalid UTF8" in text:
        return f"it is not UTF-8 text: {text}"
    return text


def _first_bad(column: Any, wanted: Any) -> tuple[int, str] | None:
    """The first value that is no `wanted`, by halving: a cast tells only whether all are well."""
    if pa.types.is_dictionary(wanted) or _casts(column, wanted):
        return None
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _casts(column.slice(low, middle - low), wanted) else (low, middle)
    return low, str(column[low].as_py())


def _casts(column: Any, wanted: Any) -> bool:
    try:
        pc.cast(column, wanted)
    except pa.ArrowInvalid:
        return False
    return True
