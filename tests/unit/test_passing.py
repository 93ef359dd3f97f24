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
    assert found.look([DUE - MINUTE_MS], DUE - MINUTE_MS + 1)
    found.noted(1)
    return found


def test_a_tick_is_looked_for_from_when_it_may_pass_until_it_does(passing: Passing) -> None:
    """For a while again and again, but not for ever: a broker may be away."""
    assert not passing.is_due(DUE - 1)
    assert passing.is_due(DUE)
    assert not passing.look([DUE - 1], DUE)
    assert passing.is_due(DUE + EAGER_MS)
    assert not passing.is_due(DUE + EAGER_MS + 1)
    assert passing.look([DUE], DUE + 5)
    assert passing.is_due(DUE + 6), "it is not noted yet, and that may fail"
    passing.noted(1)
    assert not passing.is_due(DUE + 6)
    assert passing.is_due(DUE + MINUTE_MS)


def test_whoever_comes_late_looks_once(passing: Passing) -> None:
    """A batch may take seconds: the tick must not be held back until the next."""
    late = DUE + 20_000
    assert passing.is_due(late)
    assert not passing.look([DUE - 1], late)
    assert not passing.is_due(late + 100)
    assert passing.longest_wait_ms(late) == LONGEST


def test_every_partition_that_lets_it_pass_is_news_once(passing: Passing) -> None:
    """It has passed when all that are in hand let it."""
    assert not passing.look([DUE - 1, DUE - 50], DUE + 1), "what came in the last moment is not known yet"
    assert passing.look([DUE, DUE - 50], DUE + 2)
    passing.noted(2)
    assert not passing.look([DUE + 1, DUE - 50], DUE + 3)
    passing.noted(2)
    assert passing.is_due(DUE + 3)
    assert passing.look([DUE + 1, DUE + 4], DUE + 5)
    passing.noted(3)
    assert passing.is_due(DUE + 5), "the third has something to read, or its broker is away"
    passing.noted(2)
    assert not passing.is_due(DUE + 5)


def test_what_another_tick_left_does_not_count(passing: Passing) -> None:
    """Two of three let a tick pass; that as many let the next one is news again."""
    assert passing.look([DUE, DUE], DUE + 1)
    passing.noted(3)
    next_tick = DUE + MINUTE_MS
    assert passing.look([next_tick, next_tick], next_tick + 1)
    passing.noted(2)
    assert not passing.is_due(next_tick + 2)


def test_without_partitions_nothing_is_news(passing: Passing) -> None:
    """Nothing is read to its end."""
    assert not passing.look([], DUE + 1)
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
