"""Back-pressure: what is read while inboxes are full, and that it goes on."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from stream import ingest_loop
from stream.ingest_loop import name_of
from stream.store import Progress
from tests.support.ingest_loops import LIMIT, TP0, TP1, make, store_without_servers
from tests.support.memory_store import START_MS, MemoryStore, log


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    return store_without_servers(monkeypatch)


@pytest.mark.parametrize(
    ("pending", "slow", "paused"),
    [(LIMIT, False, set()), (LIMIT + 1, True, {TP0}), (2 * LIMIT + 1, False, {TP0}), (2 * LIMIT + 1, True, {TP0, TP1})],
)
async def test_back_pressure_spares_what_holds_the_watermark_back(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, pending: int, slow: bool, paused: set[TopicPartition]
) -> None:
    """Over the limit only the partition that is furthest behind is read; none if evaluation is what is slow."""
    loop, consumer, _ = make(store, {TP0: log(*["resolve"] * 8), TP1: log(*["resolve"] * 3)})

    async def evaluation_is_behind(_shard: int) -> bool:
        return slow

    monkeypatch.setattr(loop, "_evaluation_is_behind", evaluation_is_behind)
    await loop.on_partitions_assigned([TP0, TP1])
    await loop.ingest.process({name_of(TP0): consumer.logs[TP0][:6], name_of(TP1): consumer.logs[TP1][:1]})
    loop.ingest.progress = {0: Progress(0, 0), 1: Progress(pending, 0)}
    await loop._pace()
    assert consumer.paused_now == paused
    assert loop.paused == bool(paused)
    assert loop.waiting == (len(paused) == 2)
    loop.ingest.progress = {0: Progress(0, 0), 1: Progress(0, 0)}
    await loop._pace()
    assert consumer.paused_now == set()


async def test_a_partition_without_more_to_read_does_not_hold_the_others(store: MemoryStore) -> None:
    """A rarely used topic is the furthest behind for ever: what can be read is what must go on."""
    loop, consumer, _ = make(store, {TP0: log(*["resolve"] * 8), TP1: log("resolve")})
    await loop.on_partitions_assigned([TP0, TP1])
    await loop.ingest.process({name_of(TP0): consumer.logs[TP0][:6], name_of(TP1): consumer.logs[TP1]})
    loop.ingest.progress = {0: Progress(LIMIT + 1, 0)}
    await loop._pace()
    assert TP0 not in consumer.paused_now


async def test_control_records_at_the_end_are_nothing_to_read(store: MemoryStore) -> None:
    """The marker of a transaction ends a rarely used topic: the consumer has stepped over it, no record covers it."""
    loop, consumer, _ = make(store, {TP0: log(*["resolve"] * 8), TP1: log("resolve", "resolve")})
    await loop.on_partitions_assigned([TP0, TP1])
    await loop.ingest.process({name_of(TP0): consumer.logs[TP0][:6], name_of(TP1): consumer.logs[TP1][:1]})
    consumer.positions, consumer.asked_ms = {TP0: 6, TP1: 2}, START_MS
    await loop._empties()
    loop.ingest.progress = {0: Progress(LIMIT + 1, 0)}
    await loop._pace()
    assert consumer.paused_now == {TP1}
    assert loop.lag() == {"agent.interactions": 2}


async def test_what_comes_for_a_paused_partition_is_lag(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched of it, so no response tells its end: the broker is asked. Away, it leaves what was known."""
    loop, consumer, _ = make(store, {TP0: log(*["resolve"] * 3), TP1: log("resolve")})
    await loop.on_partitions_assigned([TP0, TP1])
    await loop.ingest.process({name_of(TP0): consumer.logs[TP0], name_of(TP1): consumer.logs[TP1]})
    monkeypatch.setattr(consumer, "highwater", {TP0: 3, TP1: 1}.get)
    consumer.pause(TP0)
    consumer.logs[TP0] = log(*["resolve"] * 9)
    assert loop.lag() == {"agent.interactions": 0}
    await loop._look_at_ends()
    assert loop.lag() == {"agent.interactions": 6}
    monkeypatch.setattr(consumer, "end_offsets", AsyncMock(side_effect=KafkaConnectionError("away")))
    await loop._look_at_ends()
    assert loop.lag() == {"agent.interactions": 6}


async def test_the_pause_follows_the_partition_that_is_behind(store: MemoryStore) -> None:
    """Once another partition is the last one, it is read again, and the one that overtook it waits."""
    loop, consumer, _ = make(store, {TP0: log(*["resolve"] * 8), TP1: log(*["resolve"] * 12)})
    await loop.on_partitions_assigned([TP0, TP1])
    await loop.ingest.process({name_of(TP0): consumer.logs[TP0][:6], name_of(TP1): consumer.logs[TP1][:1]})
    loop.ingest.progress = {0: Progress(LIMIT + 1, 0)}
    await loop._pace()
    assert consumer.paused_now == {TP0}
    await loop.ingest.process({name_of(TP1): consumer.logs[TP1][:10]})
    loop.ingest.progress = {0: Progress(LIMIT + 1, 0)}
    await loop._pace()
    assert consumer.paused_now == {TP1}


async def test_what_comes_while_all_is_paused_is_read(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read to the ends that are known, everything is paused; the broker is asked, tells of more, and that is read."""
    loop, consumer, stop = make(store, {TP0: log(*["resolve"] * 3), TP1: log("resolve")})
    await loop.on_partitions_assigned([TP0, TP1])
    await loop.ingest.process({name_of(TP0): consumer.logs[TP0], name_of(TP1): consumer.logs[TP1]})
    monkeypatch.setattr(consumer, "highwater", {TP0: 3, TP1: 1}.get)
    loop.ingest.progress = {0: Progress(LIMIT + 1, 0)}
    await loop._pace()
    assert consumer.paused_now == {TP0, TP1}
    consumer.logs = {TP0: log(*["resolve"] * 9), TP1: log(*["resolve"] * 9)}
    monkeypatch.setattr(ingest_loop, "COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(ingest_loop, "TOUCH_SECONDS", 3600.0)  # It would say that the inboxes have been emptied.
    consumer.on_empty = lambda: stop.set() if store.interactions() == 18 else None
    await asyncio.wait_for(loop.run(stop), 10)
    assert store.interactions() == 18
