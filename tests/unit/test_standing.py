"""What speaks of the past, when a shard has reached the present, and what is said again then."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from stream.core.ticks import MINUTE_MS, time_of
from stream.standing import CatchUp, Staleness
from tests.support.sinks import verdict

NOW = 29_540_160
STALE_MS = 10 * MINUTE_MS


def at_now() -> Staleness:
    return Staleness(STALE_MS, lambda: NOW * MINUTE_MS)


def test_what_is_past_depends_on_the_wall_clock() -> None:
    """Older than the limit is past, the limit itself is not; without a wall clock nobody can tell."""
    staleness = at_now()
    assert staleness.of((NOW - 11) * MINUTE_MS) is True
    assert staleness.of((NOW - 10) * MINUTE_MS) is False
    assert staleness.behind_minutes(NOW - 3) == 3
    unknown = Staleness(STALE_MS, None)
    assert (unknown.of(0), unknown.behind_minutes(0)) == (None, 0)


def test_a_shard_arrives_once_and_again_after_it_fell_behind() -> None:
    """At the first tick of the present, not at the next; a worker that was frozen for long falls behind anew."""
    now = [NOW]
    catch_up = CatchUp(Staleness(STALE_MS, lambda: now[0] * MINUTE_MS))
    assert [catch_up.arrives(tick) for tick in (NOW - 60, NOW - 11, NOW - 10, NOW)] == [False, False, True, False]
    now[0] += 60
    assert [catch_up.arrives(tick) for tick in (NOW + 1, NOW + 55, NOW + 56)] == [False, True, False]


def test_what_stands_is_what_was_decided_in_the_past() -> None:
    """Of the open incidents those whose last verdict was marked when it was said; one of now was told already."""
    old = verdict("inc_old", decided_at=time_of(NOW - 200))
    new = verdict("inc_new", decided_at=time_of(NOW - 2))
    opened = {name: SimpleNamespace(last=last) for name, last in (("b", old), ("a", new), ("c", None))}
    incidents = cast("Any", SimpleNamespace(grouping=SimpleNamespace(open=opened)))
    assert list(CatchUp(at_now()).standing(incidents)) == [old]
    assert list(CatchUp(Staleness(STALE_MS, None)).standing(incidents)) == []
