"""States that older versions wrote come into today's layout whole; newer ones are told from damaged ones."""

from __future__ import annotations

import zlib

import msgspec
import pytest

from stream.core import layouts
from stream.core.checkpoint import LayoutError, NewerLayout, hours_in, load, readable, save
from stream.core.layouts import LAYOUT, OLDEST, STEPS, Step, hour_of, opened, sealed, tree_of
from tests.support.checkpoints import as_layout_1, frozen, windows_of
from tests.unit.core.builders import START, machine
from tests.unit.core.test_checkpoint import advance

FROZEN = frozen()


def test_every_older_layout_has_a_step_and_a_frozen_state() -> None:
    """Who raises the layout adds the step from the one before, and keeps a state that the older version wrote."""
    assert set(STEPS) == set(range(OLDEST, LAYOUT))
    assert {one.layout for one in FROZEN.values()} == set(STEPS)


@pytest.mark.parametrize("name", FROZEN)
def test_a_frozen_state_is_read_whole(name: str) -> None:
    """Every window holds what it held when the older version stored it; all of it is due to be stored anew."""
    stored = FROZEN[name]
    shard = machine()
    load(shard, stored.state, stored.hours)
    assert shard.tick == stored.tick
    assert windows_of(shard) == stored.windows
    assert len(shard.evidence.score_ids) > 0
    assert save(shard).hours.keys() == stored.hours.keys()


@pytest.mark.parametrize("name", FROZEN)
def test_a_state_that_was_brought_on_is_one_of_today(name: str) -> None:
    """Stored in today's layout and loaded again it goes on like the one that was brought on, to the byte."""
    shard, again = machine(), machine()
    load(shard, FROZEN[name].state, FROZEN[name].hours)
    stored = save(shard)
    assert opened(stored.state)[0] == LAYOUT
    load(again, stored.state, stored.hours)
    first = shard.tick + 1
    assert advance(again, first, first + 5) == advance(shard, first, first + 5)
    assert save(again, all_hours=True) == save(shard, all_hours=True)


def test_today_s_state_in_the_old_layout_is_the_same_state() -> None:
    """What the tests write as an older version would have is what that version wrote: it comes back equal."""
    shard, again = machine(), machine()
    advance(shard, START, START + 30)
    stored = save(shard, all_hours=True)
    load(again, as_layout_1(stored.state), stored.hours)
    assert save(again, all_hours=True) == stored


def test_a_newer_layout_is_no_damage() -> None:
    """It says which layout it is, and which this version reads, whatever its body looks like: nothing is made anew."""
    newer = sealed(b"whatever", LAYOUT + 1)
    for read in (opened, hours_in, lambda state: load(machine(), state, {})):
        with pytest.raises(NewerLayout, match=f"has layout {LAYOUT + 1}, this version reads up to {LAYOUT}"):
            read(newer)
    assert not readable(newer)


@pytest.mark.parametrize("stored", [b"", b"MW", sealed(b""), sealed(b"hello"), sealed(b"hello", 0), b"hello"])
def test_damage_is_damage(stored: bytes) -> None:
    """It is no newer layout, so it may be made anew."""
    with pytest.raises(LayoutError) as caught:
        hours_in(stored)
    assert not isinstance(caught.value, NewerLayout)
    assert not readable(stored)


def test_steps_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state goes through every step from its own layout on, in order; so does an hour."""
    steps = {
        1: Step(lambda tree: {**tree, "way": [1]}, lambda hour: hour + b"1"),
        2: Step(lambda tree: {**tree, "way": [*tree["way"], 2]}, lambda hour: hour + b"2"),
    }
    monkeypatch.setattr(layouts, "STEPS", steps)
    monkeypatch.setattr(layouts, "LAYOUT", 3)
    assert tree_of(_packed({"tick": 7})) == {"tick": 7, "way": [1, 2]}
    assert tree_of(sealed(_packed({"way": ["x"]}), 2)) == {"way": ["x", 2]}
    assert (hour_of(b"h", 1), hour_of(b"h", 2), hour_of(b"h", 3)) == (b"h12", b"h2", b"h")


def _packed(tree: dict[str, object]) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(tree))
