"""The labels of a history: what really happened, from a CSV file, checked against the series that there are."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from detectors.arrays import ArrayView
from detectors.words import at
from schemas.series import SeriesKey
from stream.backtest_layout import Layout, name_of
from stream.backtest_metrics import Label
from stream.backtest_problems import BacktestError, file_error

_MOST_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels that a history can be measured against, and what is worth knowing about their file."""

    labels: tuple[Label, ...]
    notes: tuple[str, ...]


def load_labels(path: Path, layout: Layout, view: ArrayView, since: int | None = None) -> Labels:
    """The labels of a CSV file: `start`, `end`, environment, system, the dimension, `kind`.

    `view` must stand at its end. Scores need no `criterion` where a flow has but one. Labels that end before the
    history, or before minute `since`, and those that begin after it are left out; those of series that the history does
    not have count as missed. Both are noted. Raises BacktestError with every problem of every row, and where no label
    fits the history at all.
    """
    labels = [_of_one_criterion(path, label, view.keys) for label in _read(path, layout)]
    first, last = max(view.start, since or 0), view.end
    within = [label for label in labels if label.end > first and label.start < last]
    if labels and not within:
        raise BacktestError(
            f"{path}: no label lies in what is measured, {at(first)} to {at(last)}; they run from "
            f"{at(min(label.start for label in labels))} to {at(max(label.end for label in labels))}"
        )
    notes = [] if labels else [f"{path} has no labels: nothing can be found, and every firing is a false alarm"]
    if len(within) < len(labels):
        notes.append(f"labels outside {at(first)} to {at(last)}: {len(labels) - len(within)}; they were left out")
    unique = tuple(dict.fromkeys(within))
    if len(unique) < len(within):
        notes.append(f"labels that repeat another: {len(within) - len(unique)}; they were counted once")
    known = set(view.keys)
    unknown = sorted({label.key for label in unique} - known)
    if unknown:
        problem = f"the history has no series {_shown(unknown, view.keys)}"
        if all(label.key not in known for label in unique):
            raise BacktestError(f"{path}: none of the labels fits: {problem}")
        notes.append(f"{problem}: their labels count as missed")
    return Labels(unique, tuple(notes))


def _of_one_criterion(path: Path, label: Label, keys: Sequence[SeriesKey]) -> Label:
    """The label with the criterion filled in, where it has none and its flow has one."""
    if "" not in label.key.dims:
        return label
    found = [key for key in keys if key[:3] == label.key[:3] and key.dims[0] == label.key.dims[0]]
    if len(found) > 1:
        raise BacktestError(
            f"{path}: labels need a column criterion: {name_of(label.key)[:-1]} has "
            f"{', '.join(key.dims[1] for key in found)}"
        )
    return replace(label, key=found[0]) if found else label


def _shown(unknown: Sequence[SeriesKey], known: Sequence[SeriesKey]) -> str:
    names = [name_of(key) for key in known]
    shown = []
    for key in unknown[:_MOST_SHOWN]:
        near = get_close_matches(name_of(key), names, 1)
        shown.append(name_of(key) + (f" (did you mean {near[0]}?)" if near else ""))
    more = f" and {len(unknown) - _MOST_SHOWN:,} more" if len(unknown) > _MOST_SHOWN else ""
    return ", ".join(shown) + more


def _read(path: Path, layout: Layout) -> list[Label]:
    wanted = ("start", "end", *layout.dimensions, "kind")
    if path.suffix.lower() == ".parquet":
        raise BacktestError(f"{path}: labels are a CSV file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            missing = [name for name in wanted if name not in names and name != "criterion"]
            if missing:
                raise BacktestError(
                    f"{path}: there is no column {', '.join(missing)}; it has {', '.join(names) or 'none'}. "
                    f"Labels have {', '.join(wanted)}"
                )
            rows = list(reader)
    except FileNotFoundError:
        raise BacktestError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise BacktestError(f"{path}: it is not UTF-8 text: {error}") from None
    except csv.Error as error:
        raise BacktestError(f"{path}: it is not CSV: {error}") from None
    labels, problems = [], []
    for number, row in enumerate(rows, 1):
        try:
            labels.append(_label(row, layout))
        except ValueError as error:
            problems.append(f"row {number}: {error}")
    if problems:
        raise file_error(path, problems)
    return labels


def _label(row: Mapping[str, str | None], layout: Layout) -> Label:
    problems: list[str] = []
    times = [_time(row["start"] or "", "start", problems), _time(row["end"] or "", "end", problems)]
    empty = [name for name in layout.dimensions if name in row and not (row[name] or "").strip()]
    if empty:
        problems.append(f"{', '.join(empty)} is empty")
    start, end = times
    if start and end and end < start:
        problems.append(f"it ends ({row['end']}) before it starts ({row['start']})")
    if problems or not start or not end:
        raise ValueError("; ".join(problems))
    environment, system, *dims = ((row.get(name) or "").strip() for name in layout.dimensions)
    minute = int(start.timestamp()) // 60
    # A label covers every minute that it touches.
    last = max(-(-int(end.timestamp()) // 60), minute + 1)
    return Label(SeriesKey(layout.kind, environment, system, tuple(dims)), minute, last, (row["kind"] or "").strip())


def _time(text: str, column: str, problems: list[str]) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        problems.append(f"{column} {text!r} is not a time such as 2024-01-31T09:30:00Z")
        return None
    if time.tzinfo is None:
        problems.append(f"{column} {text!r} has no zone; add Z for UTC, or the offset")
        return None
    return time
