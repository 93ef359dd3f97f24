"""The page's memory: bounded, in order, and the same whatever comes twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from dashboard.memory import REVISIONS, Memory
from tests.support.dashboard_verdicts import AT, heartbeat, resolved, verdict


def test_revisions_stand_in_order_and_repeats_change_nothing() -> None:
    """Verdicts may come in any order, and again."""
    memory = Memory(10, "midwatch")
    for one in (resolved(), verdict(), resolved()):
        memory.verdict(one)
    assert [one.revision for one in memory.story("inc_refunds")] == [0, 1]
    assert memory.version == 2


def test_incidents_and_revisions_are_capped_and_open_ones_stay() -> None:
    """What is over goes before what is open; the first revision of a long story stays."""
    memory = Memory(10, "midwatch")
    memory.verdict(verdict(incident_id="open"))
    for number in range(30):
        memory.verdict(resolved(incident_id=f"inc_{number}"))
    known = {one.incident_id for one in memory.latest()}
    assert len(known) == 10
    assert {"open", "inc_29"} <= known
    for number in range(3 * REVISIONS):
        memory.verdict(verdict(incident_id="open", revision=number))
    story = memory.story("open")
    assert (len(story), story[0].revision, story[-1].revision) == (REVISIONS, 0, 3 * REVISIONS - 1)


def test_heartbeats_of_other_engines_and_older_ones_do_not_count() -> None:
    """Several engines may share one Kafka; a topic's partitions come in any order."""
    memory = Memory(10, "midwatch")
    memory.heartbeat(heartbeat(0), 1.0)
    memory.heartbeat(heartbeat(0, AT - timedelta(minutes=5)), 2.0)
    memory.heartbeat(heartbeat(1, namespace="other"), 3.0)
    assert {shard: beat.tick for shard, beat in memory.heartbeats.items()} == {0: AT}
    assert memory.heard_at == {0: 1.0}
    memory.heartbeat(heartbeat(0, shards=4), 4.0)
    assert memory.heartbeats[0].shards == 4


async def test_who_waits_is_woken_by_a_change() -> None:
    """A viewer's stream hears of a change, and of nothing when nothing changes."""
    memory = Memory(10, "midwatch")
    waiting = asyncio.create_task(memory.changed(0, 30))
    await asyncio.sleep(0)
    memory.verdict(verdict())
    await memory.wake()
    assert await waiting == 1
    assert await memory.changed(1, 0.01) == 1
