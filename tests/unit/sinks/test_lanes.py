"""What waits: order within an incident, no waiting across incidents, no commit past what is undone."""

from hypothesis import given
from hypothesis import strategies as st

from stream.sinks.lanes import Lanes, Waiting
from stream.sinks.pacing import LONGEST_SECONDS, Bucket, Health, back_off
from tests.support.sinks import verdict

PLACE = ("midwatch.verdicts", 0)


def waiting(offset: int, incident: str, status: str = "firing") -> Waiting:
    return Waiting(PLACE, offset, b"", offset, verdict(incident, offset, status))


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=20),
    st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=60),
)
def test_order_holds_within_an_incident_and_commits_pass_nothing(
    incidents: list[str], moves: list[tuple[bool, int]]
) -> None:
    """However tries succeed and fail: an incident's verdicts are done in order, and offsets wait for the slowest."""
    lanes, now = Lanes(), 0.0
    lanes.begin(PLACE, 5)
    for index, incident in enumerate(incidents):
        assert lanes.add(waiting(5 + index, incident))
    done: list[int] = []
    for well, pause in [*moves, *[(True, 1)] * len(incidents)]:
        now += 1
        item = lanes.next(now)
        if item is None:
            continue
        if well:
            lanes.done(item)
            done.append(item.offset)
        else:
            item.ready_at = now + pause
        assert all(offset in done for offset in range(5, lanes.committable()[PLACE]))
    for incident in "abc":
        own = [offset for offset in done if incidents[offset - 5] == incident]
        assert own == sorted(own)


def test_one_incident_does_not_hold_up_another() -> None:
    """While one waits for its next try, the next incident's turn comes, and the offset stays."""
    lanes = Lanes()
    lanes.begin(PLACE, 0)
    for offset, incident in enumerate("aab"):
        lanes.add(waiting(offset, incident))
    first = lanes.next(0)
    assert first is not None
    first.ready_at = 10
    other = lanes.next(1)
    assert other is not None
    assert other.offset == 2
    lanes.done(other)
    assert lanes.next(1) is None
    assert lanes.ready_at() == 10
    assert lanes.committable() == {PLACE: 0}


def test_a_record_that_is_read_again_is_no_second_one() -> None:
    """After a rebalance the client reads again what was not committed."""
    lanes = Lanes()
    lanes.begin(PLACE, 0)
    assert lanes.add(waiting(0, "a"))
    assert not lanes.add(waiting(0, "a"))
    assert len(lanes) == 1


def test_an_end_that_waits_is_seen() -> None:
    """An opening knows whether its incident's end waits behind it; another incident's end does not count."""
    lanes = Lanes()
    lanes.begin(PLACE, 0)
    first, other = waiting(0, "a"), waiting(1, "b")
    for item in (first, other, waiting(2, "a", "resolved")):
        lanes.add(item)
    assert lanes.ends_later(first)
    assert not lanes.ends_later(other)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=80), st.integers(1, 5), st.floats(6, 600))
def test_no_window_gets_more_than_burst_and_rate(gaps: list[float], burst: int, per_minute: float) -> None:
    """Whenever tokens are asked for, and waited for: any stretch of time has no more than the burst and its rate."""
    now = 0.0
    bucket = Bucket(per_minute, burst, lambda: now)
    times = []
    for gap in gaps:
        now += gap
        now += bucket.take()
        times.append(now)
    for start in range(len(times)):
        for end in range(start, len(times)):
            allowed = burst + (times[end] - times[start]) * per_minute / 60
            assert end - start + 1 <= allowed + 1e-6


@given(st.integers(1, 1000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_and_are_bounded(tries: int, chance: float) -> None:
    """A pause is never nothing, never above the bound, and its least grows with the tries."""
    assert 0 < back_off(tries, chance) <= LONGEST_SECONDS
    assert back_off(tries, 0) <= back_off(tries + 1, 0)


def test_a_destination_is_left_alone_for_as_long_as_it_asks() -> None:
    """Retry-After is a lower bound; the first failure is news, the second is not, and neither is a success in a row."""
    health = Health()
    assert health.ill("429", 100.0, 30.0, 0.5)
    assert health.quiet_until == 130.0
    assert not health.ill("429", 130.0, None, 0.5)
    assert health.quiet_until > 130.0
    assert health.well()
    assert not health.well()
