"""What heartbeats say about takeovers and zombies."""

from __future__ import annotations

import pytest

from benchmarks.chaos.pulse import Beat, takeover_seconds, zombie_beats


def beat(at: float, shard: int, tick: int, pid: int, epoch: int) -> Beat:
    return Beat(at, shard, tick, f"some-host-{pid}-abcd", epoch)


BEFORE = [beat(1, 0, 10, 100, 1), beat(1, 1, 10, 200, 1)]
HOLDERS = {one.shard: one for one in BEFORE}


def test_a_takeover_is_the_first_tick_of_a_new_epoch() -> None:
    """Counted from the death, over the slowest of the victim's shards; the victim's last words do not count."""
    beats = [*BEFORE, beat(2.1, 0, 11, 100, 1), beat(12, 0, 30, 200, 2), beat(14, 0, 33, 200, 2)]
    assert takeover_seconds(beats, HOLDERS, (100,), 2.0) == 10
    both = [*beats, beat(9, 1, 30, 100, 2)]
    assert takeover_seconds(both, HOLDERS, (100, 200), 2.0) == 10


def test_a_victim_without_shards_leaves_nothing_to_take_over() -> None:
    """No number, rather than a zero that would better the median."""
    assert takeover_seconds(BEFORE, HOLDERS, (300,), 2.0) is None


def test_a_shard_that_nobody_takes_over_is_said() -> None:
    """Silence is not a short takeover."""
    with pytest.raises(ValueError, match="shard 0 was never taken over"):
        takeover_seconds(BEFORE, HOLDERS, (100,), 2.0)


def test_a_zombie_that_moves_a_shard_on_is_found() -> None:
    """A tick of an old epoch behind the new owner's first one; what it had committed before may still arrive."""
    taken = [*BEFORE, beat(12, 0, 11, 200, 2)]
    late = beat(18, 0, 10, 100, 1)
    assert zombie_beats([*taken, late], (100,), 2, 30) == []
    evil = beat(18, 0, 12, 100, 1)
    assert zombie_beats([*taken, evil], (100,), 2, 30) == [evil]


def test_a_zombie_that_lawfully_takes_a_shard_again_is_none() -> None:
    """With an epoch of its own it is an owner like any other."""
    assert zombie_beats([*BEFORE, beat(12, 0, 11, 200, 2), beat(18, 0, 12, 100, 3)], (100,), 2, 30) == []
