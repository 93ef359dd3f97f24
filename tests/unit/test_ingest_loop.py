"""The ingest loop around a consumer double: what is read again, what is paused, what counts as empty."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from stream import ingest_loop
from stream.core.ticks import MINUTE_MS, NEVER
from stream.ingest_loop import TopicShrunk, name_of
from stream.restore import Starts
from stream.store import PartitionState, Progress
from tests.support.ingest_loops import LIMIT, TP0, TP1, make, store_without_servers, two_logs
from tests.support.memory_store import SHARDS, START_MS, MemoryStore, log


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    return store_without_servers(monkeypatch)


async def test_everything_assigned_is_read_once(store: MemoryStore) -> None:
    """From the assignment on, every record is committed once."""
    loop, consumer, stop = make(store, two_logs())
    await loop.on_partitions_assigned([TP0, TP1])
    await asyncio.wait_for(loop.run(stop), 10)
    assert store.interactions() == 9
    assert store.offsets(name_of(TP0)) == [6, 6]
    assert loop.lag() == {"agent.interactions": 0}
    assert consumer.positions == {TP0: 6, TP1: 3}


async def test_what_was_fetched_around_a_resume_is_read_again(store: MemoryStore) -> None:
    """A batch on its way while a resume goes further back is dropped: taken, it would skip what lies before it."""
    loop, consumer, stop = make(store, {TP0: log(*["resolve"] * 3)})
    await loop.on_partitions_assigned([TP0])

    async def lose_all() -> None:
        store.parts_of = [{}, {}]
        store.inbox = [[], []]
        await loop.on_partitions_assigned([TP0])

    consumer.before_return = [lambda: consumer.logs.update({TP0: log(*["resolve"] * 6)}), lose_all]
    await asyncio.wait_for(loop.run(stop), 10)
    assert [batch[TP0][0].offset for batch in consumer.fetched if batch] == [0, 3, 0]
    assert store.interactions() == 6


async def test_a_partition_taken_away_during_a_fetch_is_not_committed(store: MemoryStore) -> None:
    """What is revoked while a batch is on its way is left to its new owner."""
    loop, consumer, stop = make(store, two_logs())
    await loop.on_partitions_assigned([TP0, TP1])

    async def revoke() -> None:
        await loop.on_partitions_revoked([TP1])
        del consumer.logs[TP1]

    consumer.before_return = [revoke]
    await asyncio.wait_for(loop.run(stop), 10)
    assert (store.offsets(name_of(TP0)), store.offsets(name_of(TP1))) == ([6, 6], [0, 0])


async def test_a_broken_commit_is_read_again_from_the_stored_offsets(store: MemoryStore) -> None:
    """After a connection broke between two shards the loop seeks back, and every record counts once."""
    loop, consumer, stop = make(store, two_logs())
    await loop.on_partitions_assigned([TP0, TP1])
    store.fail[1] = ConnectionError("lost")
    await asyncio.wait_for(loop.run(stop), 10)
    assert store.interactions() == 9
    assert len([batch for batch in consumer.fetched if batch]) == 2
    assert not loop.unsettled


async def test_a_partition_added_later_is_registered_in_every_shard(store: MemoryStore) -> None:
    """When the topic grows, the new partition is known to all shards before its first record is read."""
    loop, consumer, stop = make(store, {TP0: log("resolve")})
    await loop.on_partitions_assigned([TP0])
    consumer.logs[TP1] = log("resolve", "resolve")
    await loop.on_partitions_revoked([TP0])
    await loop.on_partitions_assigned([TP0, TP1])
    assert store.offsets(name_of(TP1)) == [0, 0]
    await asyncio.wait_for(loop.run(stop), 10)
    assert store.interactions() == 3


async def test_shards_are_made_with_all_partitions_before_the_group_is_joined(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may take a shard the moment it is there: then it knows every partition that it has to wait for."""
    loop, consumer, _ = make(store, two_logs())
    seen: list[object] = []

    async def ensure(_store: object, _kafka: object, starts: Starts) -> dict[int, int]:
        seen.append(await starts())
        return {0: 0}

    async def partitions(_topics: object, _kafka: object) -> list[TopicPartition]:
        return [TP0, TP1]

    monkeypatch.setattr(ingest_loop, "ensure_shards", ensure)
    monkeypatch.setattr(ingest_loop, "partitions_of", partitions)
    monkeypatch.setattr(ingest_loop, "source_of", lambda *_any: None)
    monkeypatch.setattr(consumer, "start", AsyncMock(side_effect=lambda: seen.append("consumer")), raising=False)
    monkeypatch.setattr(consumer, "subscribe", lambda *_any, **_more: seen.append("group"), raising=False)
    monkeypatch.setattr(store, "register", AsyncMock(side_effect=lambda *_any: seen.append("known")))
    await loop.start()
    starts = {name_of(tp): PartitionState(0, NEVER) for tp in (TP0, TP1)}
    assert seen == ["consumer", starts, "known", "known", "group"]


async def test_a_topic_that_was_made_anew_is_refused(store: MemoryStore) -> None:
    """Redis has seen more of a partition than there is: reading on would skip what comes, so the engine says so."""
    loop, consumer, _ = make(store, {TP0: log(*["resolve"] * 5)})
    await loop.on_partitions_assigned([TP0])
    await loop.ingest.process({name_of(TP0): consumer.logs[TP0]})
    consumer.logs[TP0] = consumer.logs[TP0][:2]
    with pytest.raises(TopicShrunk, match="ends at offset 2, but was read up to 5"):
        await loop.on_partitions_assigned([TP0])


async def test_a_shard_that_was_born_anew_is_filled_again_although_nothing_new_comes(store: MemoryStore) -> None:
    """Idle partitions are read again, too: what they said long ago, a deployment perhaps, is in no other place."""
    loop, consumer, stop = make(store, two_logs(), clock="wall", wall_ms=START_MS + 90_000)
    consumer.offsets_for_times = _nothing_that_new  # type: ignore[attr-defined]
    consumer.asked_ms = START_MS + 80_000
    await loop.ingest.resume(dict.fromkeys((name_of(TP0), name_of(TP1)), 0))
    consumer.positions = {TP0: 6, TP1: 3}
    await loop.ingest.process({name_of(tp): records for tp, records in consumer.logs.items()})
    assert store.interactions() == 9
    # Another worker found a shard missing, and made it; this one has nothing to commit.
    store.parts_of[1] = dict.fromkeys(store.parts_of[1], PartitionState(0, NEVER))
    store.inbox[1] = []
    kept = store.interactions()
    assert kept < 9
    await loop._take({})
    assert loop.unsettled
    consumer.fetched.clear()
    await asyncio.wait_for(loop.run(stop), 10)
    assert store.interactions() == 9


async def test_a_broker_that_goes_away_during_a_resume_is_waited_for(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of its questions the broker does not answer: the worker asks again, and does not end."""
    monkeypatch.setattr(ingest_loop, "BACK_OFF_SECONDS", (0.0,))
    loop, consumer, stop = make(store, two_logs())
    for question in ("end_offsets", "beginning_offsets"):
        asked = getattr(consumer, question)
        # Asked twice in a resume: for where a partition starts, and whether it is shorter than what was read of it.
        failures = [None, KafkaConnectionError("away")]

        async def answer(tps: Iterable[TopicPartition], asked: Any = asked, failures: Any = failures) -> Any:
            error = failures.pop(0) if failures else None
            if error is not None:
                raise error
            return await asked(tps)

        setattr(consumer, question, answer)
        await loop.on_partitions_assigned([TP0, TP1])
        assert failures == []
    await asyncio.wait_for(loop.run(stop), 10)
    assert store.interactions() == 9


async def test_only_a_partition_read_to_its_end_counts_as_empty(store: MemoryStore) -> None:
    """A partition with records left is not empty; by the wall clock, one without is so as of when it was asked for."""
    loop, consumer, _ = make(store, two_logs(), clock="wall", wall_ms=START_MS + 90_000)
    consumer.offsets_for_times = _nothing_that_new  # type: ignore[attr-defined]

    await loop.ingest.resume({name_of(TP0): 0, name_of(TP1): 0})
    await loop.ingest.process({name_of(TP0): consumer.logs[TP0], name_of(TP1): consumer.logs[TP1][:2]})
    consumer.positions = {TP0: 6, TP1: 2}
    assert await loop._empties() == {}
    consumer.asked_ms = START_MS + 80_000
    assert await loop._empties() == {name_of(TP0): START_MS + 80_000}


async def _nothing_that_new(tps: Mapping[TopicPartition, int]) -> dict[TopicPartition, None]:
    return dict.fromkeys(tps)


async def test_a_partition_with_only_old_records_starts_at_its_end(store: MemoryStore) -> None:
    """By the wall clock a new partition begins at the longest window's start, at its end if all of it is older."""
    loop, consumer, _ = make(store, two_logs(), clock="wall")
    consumer.offsets_for_times = _nothing_that_new  # type: ignore[attr-defined]
    await loop.on_partitions_assigned([TP0, TP1])
    assert consumer.positions == {TP0: 6, TP1: 3}


@pytest.mark.parametrize(("clock", "notes"), [("wall", 2), ("stream", 0)])
async def test_what_lets_a_tick_pass_is_noted_at_once(monkeypatch: pytest.MonkeyPatch, clock: str, notes: int) -> None:
    """Somebody waits for its verdicts; between ticks there is time. On the telemetry's own clock no moment is known."""
    store = store_without_servers(monkeypatch)
    now = [START_MS + 70 * MINUTE_MS + 30_000]
    loop, consumer, _ = make(store, two_logs(), clock)
    monkeypatch.setattr(loop, "_wall_ms", lambda: now[0])
    woken: list[int] = []
    loop.noticed = lambda: woken.append(now[0])
    await loop.ingest.resume({name_of(TP0): 0, name_of(TP1): 0})
    await loop.ingest.process({name_of(tp): records for tp, records in consumer.logs.items()})
    consumer.positions = {TP0: 6, TP1: 3}
    consumer.asked_ms = now[0]

    async def after(seconds: float, asked_ago: float = 0.0) -> int:
        """How often it was noted by then, where it is not time to note it anyway."""
        now[0] = START_MS + 71 * MINUTE_MS + round(seconds * 1000)
        consumer.asked_ms = now[0] - round(asked_ago * 1000)
        loop._touched = math.inf
        await loop._touch()
        return len(store.notes) // SHARDS - began

    await loop._touch()
    began = len(store.notes) // SHARDS
    assert began == 1, "it is time to"
    await loop._touch()
    assert len(store.notes) // SHARDS == 1, "a moment later it is not"
    assert await after(6.99) == 0, "lateness and grace are not over"
    assert await after(7.01, asked_ago=0.02) == 0, "what came in the last moment is not known yet"
    assert await after(7.02) == min(notes, 1)
    assert await after(7.2) == min(notes, 1), "once is enough"
    assert await after(66.9) == min(notes, 1)
    assert await after(67.9, asked_ago=1.0) == min(notes, 1), "the broker has not said so yet"
    assert await after(67.95) == notes
    assert len(woken) - 1 == notes if notes else not woken, "whoever evaluates is woken"


async def test_a_slow_loop_notes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches may take seconds each, and the next be there at once: what is read to its end is noted nevertheless."""
    store = store_without_servers(monkeypatch)
    now = [START_MS + 71 * MINUTE_MS + 20_000]
    loop, consumer, stop = make(store, two_logs(), "wall")
    monkeypatch.setattr(loop, "_wall_ms", lambda: now[0])
    consumer.offsets_for_times = _nothing_that_new  # type: ignore[attr-defined]
    await loop.ingest.resume({name_of(TP0): 0, name_of(TP1): 0})
    await loop.ingest.process({name_of(tp): records for tp, records in consumer.logs.items()})
    consumer.positions = {TP0: 6, TP1: 3}
    loop._stale = False
    rounds = 0
    real = asyncio.get_running_loop().time

    async def slow(_records: object) -> None:
        """Takes three seconds by both clocks."""
        nonlocal rounds
        rounds += 1
        now[0] += 3000
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: real() + 3 * rounds)
        consumer.asked_ms = now[0]
        if rounds == 10:
            stop.set()

    async def fetched() -> dict[TopicPartition, list[object]]:
        return {TP0: [object()]}

    monkeypatch.setattr(loop.ingest, "process", slow)
    monkeypatch.setattr(loop, "_fetch", fetched)
    monkeypatch.setattr(loop, "_pace", _nothing)
    monkeypatch.setattr(loop, "_show_offsets", _nothing)
    monkeypatch.setattr(loop, "_look_at_ends", _nothing)
    before = len(store.notes) // SHARDS
    await loop.run(stop)
    assert len(store.notes) // SHARDS - before == rounds


async def _nothing() -> None:
    return


async def test_a_fetch_is_back_when_a_tick_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits no longer than until then, and only shortly until the tick passes; else as long as is configured."""
    store = store_without_servers(monkeypatch)
    now = [START_MS + 70 * MINUTE_MS + 30_000]
    loop, _, _ = make(store, two_logs(), "wall")
    monkeypatch.setattr(loop, "_wall_ms", lambda: now[0])
    found = []
    for seconds in (6.0, 6.95, 6.9999, 7.0, 7.5, 8.2):
        now[0] = START_MS + 71 * MINUTE_MS + round(seconds * 1000)
        found.append(loop._longest_wait_ms())
    assert found == [100, 50, 10, 10, 10, 100]


async def test_a_partition_that_goes_amid_a_resume_is_left_alone(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebalance that was under way has given it to another: that is no reason to end."""
    loop, consumer, _ = make(store, two_logs())

    async def rebalanced(*_any: object) -> None:
        consumer.logs.pop(TP1, None)

    monkeypatch.setattr(loop, "_check_ends", rebalanced)
    await loop._resume([TP0, TP1])
    assert consumer.positions == {TP0: 0}


async def test_a_partition_that_goes_while_the_shards_are_asked_is_left_alone(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same under back-pressure, where what is in hand is paused after a question to Redis."""
    loop, consumer, _ = make(store, two_logs())
    await loop.ingest.resume({name_of(TP0): 0, name_of(TP1): 0})
    loop.ingest.progress = {0: Progress(10 * LIMIT, START_MS)}

    async def rebalanced(_shard: int) -> bool:
        consumer.logs.pop(TP1, None)
        return True

    monkeypatch.setattr(loop, "_evaluation_is_behind", rebalanced)
    await loop._pace()
    assert consumer.paused_now == {TP0}
