"""The tags of each system, held against looking at one event after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.adapters.native import Interaction
from stream.core.first_tags import MINUTES, FirstTags

Found = dict[tuple[str, str], tuple[int, tuple[tuple[str, str], ...]]]

events = st.builds(
    Interaction,
    time=st.integers(0, 4) | st.integers(0, 1000),
    environment=st.sampled_from(["prod", "test"]),
    system=st.sampled_from(["claims", "refunds", "onboarding"]),
    id=st.just("e"),
    tags=st.sampled_from([None, {}, {"team": "a"}, {"team": "b"}, {"team": "a", "app": "x"}]),
    flow=st.just("f"),
    outcome=st.just("resolved"),
)
pieces = st.lists(st.lists(events, min_size=1, max_size=12), max_size=5)


def event(ms: int, tags: dict[str, str] | None, system: str = "claims") -> Interaction:
    return Interaction(id="e", time=ms, environment="prod", system=system, tags=tags, flow="f", outcome="resolved")


def naive(seen: list[Interaction]) -> Found:
    """By environment and system: the smallest (time, tags) of those with tags."""
    found: Found = {}
    for one in seen:
        if one.tags:
            where, said = (one.environment, one.system), (one.time, tuple(sorted(one.tags.items())))
            found[where] = min(found.get(where, said), said)
    return found


def note(
    first: FirstTags, piece: list[Any], minute: int = 0, tick: int | None = None, found: dict[str, Any] | None = None
) -> Found:
    """What a piece tells, environment by environment; `found` holds what is told in one place, in all of them."""
    told = Found()
    for environment in ("prod", "test"):
        here = [one for one in piece if one.environment == environment]
        tags = {} if found is None else found.setdefault(environment, {})
        place = (minute + 1 if tick is None else tick, minute)
        first.note(place, environment, tags, here, np.array([one.time for one in here], np.int64))
        told |= {(environment, system): (ms, tuple(sorted(said.items()))) for system, (ms, said) in tags.items()}
    return told


@given(pieces)
def test_the_first_by_time_and_tags_is_found(several: list[list[Interaction]]) -> None:
    """In any order, with ties, piece by piece into one place."""
    first, found, told = FirstTags(), dict[str, Any](), Found()
    for piece in several:
        told = note(first, piece, found=found)
    assert told == naive([one for piece in several for one in piece])


@given(pieces)
def test_what_is_told_in_several_places_comes_to_the_same(several: list[list[Interaction]]) -> None:
    """Told only where it is news: the smallest of all that was told is the smallest of all."""
    first, told = FirstTags(), Found()
    for piece in several:
        for where, said in note(first, piece).items():
            assert where not in told or said[0] <= told[where][0]
            told[where] = min(told.get(where, said), said)
    assert told == naive([one for piece in several for one in piece])


def test_what_was_told_is_not_told_again() -> None:
    """Until another minute begins, or another tick: what was told before may be forgotten there."""
    first = FirstTags()
    assert note(first, [event(5, {"team": "a"})])
    assert not note(first, [event(6, {"team": "b"}), event(7, None)])
    assert note(first, [event(8, {"team": "b"})], tick=2) == {("prod", "claims"): (8, (("team", "b"),))}
    assert note(first, [event(60_005, {"team": "b"})], minute=1)


def test_an_event_without_tags_does_not_stand_for_its_system() -> None:
    first = FirstTags()
    assert not note(first, [event(5, None), event(6, {})])
    assert note(first, [event(7, {"team": "a"})]) == {("prod", "claims"): (7, (("team", "a"),))}


def test_little_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few minutes, those told last, and so many names of each: whoever invents some fills no memory."""
    monkeypatch.setattr("stream.core.first_tags.NAMES", 40)
    first = FirstTags()
    for minute in (100, 0, 1, 2, 3, 2):
        note(first, [event(minute * 60_000, {"team": "a"})], minute)
    assert list(first._told) == [0, 1, 3, 2][-MINUTES:]
    for number in range(100):
        invented = event(5, {"team": "a"}, f"s{number}")
        first.note((9, 8), f"e{number // 2}", {}, [invented], np.array([5]))
        first.note((9, 8), f"untagged{number}", {}, [event(5, None)], np.array([5]))
        told = first._told[8]
        assert told.names == len(told.moments) + sum(map(len, told.moments.values())) <= 42
