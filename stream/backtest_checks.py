"""What is found wrong or surprising with a history only once all of it is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Counts
from detectors.words import at, span
from schemas.series import SCORE_UNIT, SeriesKey
from stream.backtest_layout import Layout, name_of

_MOST_SHOWN: Final = 5
"""Places that a problem or a note names; all are counted."""

_LONG_GAP: Final = 60
"""Minutes without a row of any series from which on a gap is worth a note."""


def impossible_counts(
    layout: Layout, counts: Counts, keys: Sequence[SeriesKey], start: int, step: int
) -> Iterator[str]:
    """Counts [S, M, C] that nothing can have produced: more events than trials, scores beyond their scale.

    A column of `counts` stands for `step` minutes.
    """
    table = _Table(counts, keys, start, step)
    names = [name for name, _ in layout.counters]
    if layout.kind in ("flow", "agent"):
        for column, name in enumerate(names[1:], 1):
            yield from table.problem(
                counts[:, :, column] > counts[:, :, 0],
                f"column {name} is more than {names[0]}",
                lambda cell, column=column: f"{cell[column]} of {cell[0]}",  # type: ignore[misc]
                f"Count each of the {name} in the minute of its {names[0][:-1]}, as Midwatch does live",
            )
    if layout.kind == "score":
        yield from _impossible_scores(table)


def _impossible_scores(table: _Table) -> Iterator[str]:
    n, total, squares = (table.counts[:, :, column] for column in range(3))
    yield from table.problem(
        (total < n * SCORE_UNIT) | (total > n * 5 * SCORE_UNIT),
        "column score_sum is not 1 to 5 for each of the scores",
        lambda cell: f"{cell[1] / SCORE_UNIT:g} for {cell[0]} scores",
        "Scores run from 1 to 5",
    )
    # In doubles, with room for a sum that was rounded to the unit: half a thousandth of a score of at least one point.
    least = total.astype(np.float64) ** 2 / np.maximum(n, 1)
    yield from table.problem(
        squares < least * (1 - 0.0011) - 1,
        "column score_sumsq is less than any scores with this score_sum have",
        lambda cell: f"{cell[2] / SCORE_UNIT**2:g} where score_sum is {cell[1] / SCORE_UNIT:g}",
        "It is the sum of the squared scores",
    )


@dataclass(frozen=True, slots=True)
class _Table:
    counts: Counts
    keys: Sequence[SeriesKey]
    start: int
    step: int

    def problem(
        self, bad: NDArray[np.bool_], what: str, said: Callable[[Sequence[int]], str], advice: str
    ) -> Iterator[str]:
        """One line where `bad` [S, M] holds anywhere, with the first places."""
        rows, columns = np.nonzero(bad)
        if not rows.size:
            return
        first = zip(rows[:_MOST_SHOWN].tolist(), columns[:_MOST_SHOWN].tolist(), strict=True)
        places = (
            f"{at(self.start + column * self.step)} {name_of(self.keys[row])} "
            f"({said(self.counts[row, column].tolist())})"
            for row, column in first
        )
        unit = "minutes" if self.step == 1 else "hours"
        yield f"{what}; {unit}: {rows.size:,}, at {', '.join(places)}{_more(rows.size)}. {advice}"


def uncovered(covered: NDArray[np.integer[Any]], step: int) -> Iterator[str]:
    """The stretches in which no series has a row; `covered` are the minutes that have one, `step` minutes a row."""
    missing = np.diff(covered) - step
    long = np.flatnonzero(missing >= _LONG_GAP)
    if long.size:
        longest = sorted(long.tolist(), key=lambda index: -int(missing[index]))[:_MOST_SHOWN]
        shown = ", ".join(f"{at(int(covered[i]) + step)} for {span(int(missing[i]))}" for i in sorted(longest))
        yield f"no series has a row from {shown}{_more(long.size)}: these minutes were taken as zero"


def _more(found: int) -> str:
    return f" and {found - _MOST_SHOWN:,} more" if found > _MOST_SHOWN else ""
