"""The sparse minutes against plain ones, where `test_windows` does not look: their integers, and what is handed out."""

from __future__ import annotations

import numpy as np
import pytest

from stream.core.deltas import CEILING
from stream.core.minutes import RING, Minutes

TICK = 29_000_000
SIZE = 300


def filled(*cells: tuple[int, int, int]) -> Minutes:
    """Two counters: of the first (row, minute, amount), of the second one each time."""
    minutes = Minutes(2, CEILING, np.int64)
    minutes.advance(TICK)
    for row, minute, amount in cells:
        minutes.add(np.array([row]), np.array([minute]), np.array([[amount, 1]]))
    return minutes


@pytest.mark.parametrize("large", [255, 256, 65_535, 65_536, 2**32 - 1, 2**32, CEILING])
def test_a_count_that_outgrows_its_integers_makes_them_wider(large: int) -> None:
    """Nothing wraps round or stops short, whether it comes at once, is added up, or comes beside small ones."""
    minutes = filled((1, TICK - 2, 1), (2, TICK - 1, large), (299, TICK - 1, large - 1), (299, TICK - 1, 1))
    found = minutes.last(2, SIZE)
    assert found[1, 0].tolist() == [1, 1]
    assert found[2, 1].tolist() == [large, 1]
    assert found[299, 1].tolist() == [large, 2]
    assert minutes.sums(2, 0, SIZE)[[1, 2, 299]].tolist() == [1, large, large]
    assert minutes.at(np.array([299, 1]), 2, SIZE)[:, :, 0].tolist() == [[0, large], [1, 0]]


def test_one_busy_minute_is_not_paid_for_for_ever() -> None:
    """Once it has left the ring, the integers become as narrow again as what is left of the counts allows."""
    minutes = filled((1, TICK - 1, 2**40))
    wide = minutes._columns[0].dtype
    for tick in range(TICK + 1, TICK + 3 * RING):
        minutes.advance(tick)
        minutes.add(np.array([1]), np.array([tick - 1]), np.array([[7, 1]]))
    assert (wide.name, minutes._columns[0].dtype.name) == ("int64", "uint8")
    assert minutes.sums(RING, 0, SIZE)[1] == 7 * RING


def test_the_dense_ring_follows_what_is_added() -> None:
    """What was handed out for one question is not what the next one gets after a count, a drop or a tick."""
    minutes = filled((1, TICK - 1, 5))
    assert minutes.of_rows([1], TICK - 1, TICK, SIZE)[0, 0].tolist() == [5, 1]
    minutes.add(np.array([1]), np.array([TICK - 1]), np.array([[2, 0]]))
    assert minutes.of_rows([1], TICK - 1, TICK, SIZE)[0, 0].tolist() == [7, 1]
    minutes.keep(np.arange(-1, SIZE - 1))
    assert minutes.of_rows([0], TICK - 1, TICK, SIZE)[0, 0].tolist() == [7, 1]
    minutes.advance(TICK + RING)
    assert not minutes.dense(SIZE).any()
