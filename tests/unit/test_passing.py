"""When a tick may pass as far as partitions go that are read to their end."""

from __future__ import annotations

import pytest

from stream.core.ticks import MINUTE_MS
from stream.passing import EAGER_MS, SHORT_MS, Passing

WAITS = 7000
LONGEST = 100
DUE = 100 * MINUTE_MS + WAITS
"""When a tick may pass."""


@pytest.fixture
def passing() -> Passing:
    """One that has seen the tick before pass."""
    found = Passing(WAITS, LONGEST)
    assert found.found([DUE - MINUTE_MS + 1], DUE - MINUTE_MS + 1)
    return found


def test_a_tick_is_awaited_from_when_it_may_pass_until_it_does(passing: Passing) -> None:
    """And not for ever: a broker may be away."""
    assert not passing.is_due(DUE - 1)
    assert passing.is_due(DUE)
    assert passing.is_due(DUE + EAGER_MS)
    assert not passing.is_due(DUE + EAGER_MS + 1)
    assert passing.found([DUE], DUE + 5)
    assert not passing.is_due(DUE + 6)
    assert passing.is_due(DUE + MINUTE_MS)


def test_every_partition_that_lets_it_pass_is_news_once(passing: Passing) -> None:
    """It has passed when all that are known let it."""
    assert not passing.found([DUE - 1, DUE - 50], DUE + 1), "what came in the last moment is not known yet"
    assert passing.found([DUE, DUE - 50], DUE + 2)
    assert not passing.found([DUE + 1, DUE - 50], DUE + 3)
    assert passing.is_due(DUE + 3)
    assert passing.found([DUE + 1, DUE + 4], DUE + 5)
    assert not passing.is_due(DUE + 5)
    assert not passing.found([DUE + 6, DUE + 6], DUE + 7)


def test_without_partitions_nothing_passes(passing: Passing) -> None:
    """Nothing is read: that lets no tick pass."""
    assert not passing.found([], DUE + 1)
    assert passing.is_due(DUE + 1)


@pytest.mark.parametrize(
    ("at", "wait"),
    [(DUE - 5000, LONGEST), (DUE - 40, 40), (DUE - 1, 1), (DUE, SHORT_MS), (DUE + EAGER_MS + 1, LONGEST)],
)
def test_a_fetch_ends_when_a_tick_may_pass(passing: Passing, at: int, wait: int) -> None:
    """From then on it is short."""
    assert passing.longest_wait_ms(at) == wait


def test_a_fetch_is_never_longer_than_it_may_be() -> None:
    """Somebody may want it shorter than what is short here."""
    assert Passing(WAITS, 3).longest_wait_ms(DUE) == 3
