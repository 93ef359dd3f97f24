"""How the baselines of rates catch up with time: late, in steps of five minutes, each minute once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import MINUTES, Counts, Floats, State

LAG: Final = 30
"""Minutes by which a baseline trails, so that an incident does not raise the bar for itself."""

STEP: Final = 5
"""Minutes that are learned at a time."""

REACH: Final = 90
"""Most minutes that are caught up after a gap: a window view holds 120, and the last 30 wait."""

Rows = NDArray[np.intp] | slice
Mask = NDArray[np.bool_]


def fade(half_life_minutes: float, minutes: float = STEP) -> float:
    """What remains of a decayed sum after `minutes`."""
    return float(0.5 ** (minutes / half_life_minutes))


def due_until(tick: int) -> int:
    """The minute up to which a baseline may have learned at `tick`."""
    return (tick - LAG) // STEP * STEP


def as_rows(mask: Mask) -> Rows:
    """Row numbers of the mask; a full slice where that is all, which spares a copy."""
    return slice(None) if mask.all() else np.flatnonzero(mask)


def reach(tick: int, takes: Mask, learned: NDArray[np.int32], least: int = 0) -> int:
    """How many minutes up to `tick - 1` `steps` looks at, to learn what the rows `takes` have not; `least` at least."""
    upto = due_until(tick)
    first = max(upto - REACH, int(learned[takes].min(initial=upto)))
    return min(max(tick - first // STEP * STEP, least), MINUTES)


def steps(minutes: Counts, tick: int, takes: Mask, learned: NDArray[np.int32]) -> Iterator[tuple[int, Rows, Counts]]:
    """The steps that the rows `takes` have not learned yet, oldest first: (first minute, rows, [R, 2] counts).

    `minutes` [S, >= `reach`, >= 2] ends at minute `tick - 1`; `learned` [S] is the minute up to which each row has
    learned.
    """
    if not takes.any():
        return
    upto = due_until(tick)
    first = max(upto - REACH, int(learned[takes].min()))
    for start in range(first - first % STEP, upto, STEP):
        mask = takes & (learned <= start)
        if not mask.any():
            continue
        rows = as_rows(mask)
        begin = start - (tick - minutes.shape[1])
        yield start, rows, minutes[rows, begin : begin + STEP, :2].sum(axis=1)


def clump_moments(count: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """What counts say of how events clump: squared deviations and expected counts, of where few are expected.

    Their ratio, summed over time, is the variance over the mean: 1 for events that come one by one. Blocks in which
    many are expected say nothing here (their scatter is the business of other moments), and each deviation is capped.
    """
    rare = np.maximum(1.0 - expected / 2.0, 0.0)
    deviation = np.minimum(count - expected, 5.0 + 0.8 * expected + 2.5 * np.sqrt(expected))
    return rare * deviation**2, rare * expected


def clump_factor(spread: Floats, total: Floats, known: Floats | float, weight: float) -> Floats:
    """The clump factor K >= 1 of sums of `clump_moments`, drawn to `known` by `weight` expected events.

    A quarter of the excess is added: clumps of unequal size have a longer tail than their factor alone says.
    """
    return np.asarray(np.maximum(1.0 + 1.25 * ((spread + weight * known) / (total + weight) - 1.0), 1.0))


def fade_unseen(state: State, tick: int, takes: Mask, half_lives: dict[str, float]) -> None:
    """Let the minutes pass that lie before the reach of the window: nothing is known of them, so sums only age.

    `half_lives` gives the half-life in minutes of each array of `state` that ages.
    """
    beyond = due_until(tick) - REACH - state["learned"].astype(np.int64)
    rows = np.flatnonzero(takes & (state["learned"] > 0) & (beyond > 0))
    if rows.size == 0:
        return
    for name, half_life in half_lives.items():
        state[name][rows] *= 0.5 ** (beyond[rows] / half_life)
