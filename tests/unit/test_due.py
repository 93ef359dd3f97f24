"""What is to be done and is not done: since when it is said of it, and when no longer."""

from __future__ import annotations

from contextlib import suppress

from stream.due import HOPELESS_TRIES, LEASES, Dues


class Bench:
    """Dues by a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.dues = Dues(lambda: self.now)

    def fail(self, what: int, times: int = 1, tick: int = 0) -> None:
        for _ in range(times):
            with suppress(OSError), self.dues.watched(what, tick):
                self.now += 1
                raise OSError("away")


def test_what_is_done_is_no_longer_due() -> None:
    """However often it failed before."""
    bench = Bench()
    bench.fail(1, HOPELESS_TRIES)
    with bench.dues.watched(1):
        pass
    assert bench.dues.stuck_since({}) is None


def test_what_is_at_work_counts_from_this_try_and_what_fails_from_the_first() -> None:
    """One that failed once may wait long for its turn; one that failed a few times does not get on."""
    bench = Bench()
    bench.fail(1)
    bench.now += 50
    assert bench.dues.stuck_since({}) is None
    with bench.dues.watched(LEASES):
        assert bench.dues.stuck_since({}) == bench.now
    bench.fail(1, HOPELESS_TRIES - 1)
    assert bench.dues.stuck_since({}) == 100.0


def test_a_tick_reached_for_the_first_time_is_getting_on() -> None:
    """A long chunk is no hang while its ticks go on; the same tick again is."""
    bench = Bench()
    with bench.dues.watched(1, 7):
        bench.now += 30
        assert bench.dues.hangs(1, 10.0)
        assert bench.dues.stuck_since({1: 8}) == bench.now
        assert not bench.dues.hangs(1, 10.0)
        bench.now += 30
        assert bench.dues.stuck_since({1: 8}) == bench.now - 30
        assert bench.dues.hangs(1, 10.0)
    assert not bench.dues.hangs(1, 10.0)


def test_a_shard_of_somebody_else_is_not_due_here() -> None:
    """It is forgotten; what is held, and the leases, are not."""
    bench = Bench()
    for what in (LEASES, 1, 2):
        bench.fail(what, HOPELESS_TRIES)
    bench.dues.keep([2])
    assert bench.dues.stuck_since({}) == 100.0, "the leases"
    with bench.dues.watched(LEASES):
        pass
    assert bench.dues.stuck_since({}) == 106.0, "the second shard"
    bench.dues.keep([])
    assert bench.dues.stuck_since({}) is None
