"""The newest tags of each system, held against looking at one event after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.adapters.native import Interaction
from stream.core.newest_tags import LONGEST_TIE, Newest, identity_of, note_all
from stream.core.spans import Role, SpanFact, TracedSpan

events = st.builds(
    Interaction,
    time=st.integers(0, 4) | st.integers(0, 1000),
    environment=st.sampled_from(["prod", "test"]),
    system=st.sampled_from(["claims", "refunds", "onboarding"]),
    id=st.integers(0, 9).map(lambda number: f"e{number}"),
    tags=st.sampled_from([None, {}, {"team": "a"}, {"team": "b"}, {"team": "a", "app": "x"}]),
    flow=st.just("f"),
    outcome=st.just("resolved"),
)


def naive(seen: list[Interaction]) -> dict[Any, Any]:
    """By environment and system: the greatest (time, id, tags) of those with tags."""
    found: dict[Any, Any] = {}
    for event in seen:
        if event.tags:
            one = (event.time, event.id, tuple(sorted(event.tags.items())))
            where = (event.environment, event.system)
            found[where] = max(found.get(where, one), one)
    return found


def flat(newest: Newest) -> dict[Any, Any]:
    return {
        (environment, system): (ms, identity, tuple(sorted(tags.items())))
        for environment, systems in newest.items()
        for system, (ms, identity, tags) in systems.items()
    }


def offered(*pieces: list[Interaction]) -> dict[Any, Any]:
    newest: Newest = {}
    for piece in pieces:
        note_all(newest, piece, np.array([event.time for event in piece], np.int64))
    return flat(newest)


@given(st.lists(events, max_size=30), st.lists(events, max_size=30))
def test_the_newest_by_time_and_id_is_kept(first: list[Interaction], second: list[Interaction]) -> None:
    """In any order, with ties of time and of id, in several pieces."""
    assert offered(first, second) == naive(first + second)
    assert offered(sorted(first + second, key=lambda event: event.time)) == naive(first + second)


@pytest.mark.parametrize("number", [LONGEST_TIE, LONGEST_TIE + 1, 500])
@pytest.mark.parametrize("greatest", [0, 7, LONGEST_TIE - 1])
def test_many_of_one_moment(number: int, greatest: int) -> None:
    """Producers that send whole seconds: of all at the last moment the greatest id counts, wherever it stands."""
    tie = [
        Interaction(
            id="z" if place == greatest else f"e{place:03d}", time=5000, environment="prod",
            system="claims", tags={"place": str(place)}, flow="f", outcome="resolved",
        )
        for place in range(number)
    ]  # fmt: skip
    assert offered(tie) == {("prod", "claims"): (5000, "z", (("place", str(greatest)),))}


def test_a_span_is_named_by_its_ids() -> None:
    """A traced span has no id of an event; what tells it apart is its trace and its own id."""
    fact = SpanFact(b"s" * 8, b"", 0, 1, Role.TOOL)
    span = TracedSpan(1, "prod", "claims", None, b"t" * 16, "v1", fact)
    assert identity_of(span) == f"{(b't' * 16).hex()}-{(b's' * 8).hex()}"
