"""What is wrong with a file of history or labels, in words that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv


class BacktestError(ValueError):
    """A history, labels or settings that cannot be used: what, where and why, one line for each problem."""


_WANTED = {"time": "a time such as 2024-01-31T09:30:00Z"}


def explain_csv(path: Path, columns: list[str], types: dict[str, Any], error: Exception) -> str:
    """All columns whose values cannot be converted, each with its first bad row; `error` where none is found."""
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), include_columns=columns)
    problems: dict[str, str] = {}
    row = 0
    try:
        for batch in pa.csv.open_csv(path, convert_options=convert):
            for name in columns:
                bad = None if name in problems else _first_bad(batch.column(name), types[name])
                if bad is not None:
                    wanted = _WANTED.get(name, "a number")
                    problems[name] = f"column {name}, row {row + bad[0] + 1}: {bad[1]!r} is not {wanted}"
            row += batch.num_rows
    except pa.ArrowInvalid as broken:
        error = broken
    return f"{path}:\n" + "\n".join(f"  {text}" for text in problems.values() or [str(error)])


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
