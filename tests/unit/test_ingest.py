"""Ingest against shards in memory that keep the scripts' rules: what is committed where, and in which order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.outputs import DeadLetter
from schemas.words import EventType
from stream import ingest as ingest_module
from stream.adapters import Decoder, Limits
from stream.core.deltas import merge, unpack
from stream.core.ticks import MINUTE_MS, NEVER
from stream.ingest import Ingest, Resync
from stream.store import PartitionMissing, PartitionState, Progress, ShardMissing
from tests.simulation.tiny import START_MINUTE, LogRecord, event_value
from tests.support.memory_store import ANY_TIME, SHARDS, START_MS, MemoryStore, log, make

A, B = "agent.interactions/0", "agent.interactions/1"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_a_batch_moves_every_shard_and_counts_once(store: MemoryStore) -> None:
    """All shards take the offset, even those that gain nothing; a second reading of the same records adds nothing."""
    ingest, _ = make(store)
    assert await ingest.resume({A: 0, B: 5}) == {A: 0, B: 5}
    batch = {A: log(*["resolve"] * 4), B: log("resolve", first=5)}
    await ingest.process(batch)
    await ingest.process(batch)
    assert (store.offsets(A), store.offsets(B)) == ([4, 4], [6, 6])
    assert store.interactions() == 5
    assert ingest.partitions == {A: 4, B: 6}
    assert ingest.tallies.read == 5
    assert ingest.tallies.by_topic == {"agent.interactions": 5}


async def test_reading_gives_way_before_a_batch_and_within_a_long_one(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For what was counted since the last time; all of it, so that small batches add up as a large one does."""
    monkeypatch.setattr("stream.ingest.PIECE", 1)
    seconds = [0.0]
    given: list[float] = []

    async def give_way(read: float) -> None:
        given.append(round(read, 3))

    ingest, _ = make(store, give_way=give_way)
    real = Ingest._fold

    def fold(*args: Any) -> Any:
        seconds[0] += 0.008
        return real(*args)

    monkeypatch.setattr(Ingest, "_fold", fold)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: seconds[0])
    await ingest.resume({A: 0})
    records = log(*["resolve"] * 6)
    await ingest.process({A: records[:1]})
    await ingest.process({A: records[1:]})
    assert given == [0.0, 0.008, 0.024]
    await ingest.process({})
    assert given[3:] == [0.016]


async def test_records_that_overlap_the_position_are_cut(store: MemoryStore) -> None:
    """Of a batch that begins before the position only the rest counts."""
    ingest, _ = make(store)
    await ingest.resume({A: 0})
    records = log(*["resolve"] * 6)
    await ingest.process({A: records[:4]})
    await ingest.process({A: records[2:]})
    assert store.offsets(A) == [6, 6]
    assert store.interactions() == 6


async def test_partitions_not_in_hand_are_left_out(store: MemoryStore) -> None:
    """Records of a partition that was released, or never taken over, change nothing."""
    ingest, _ = make(store)
    await ingest.resume({A: 0, B: 0})
    ingest.release([B, "unknown/0"])
    await ingest.process({B: log("resolve"), "agent.usage/3": log("resolve"), A: []})
    assert store.journal == []
    assert store.offsets(B) == [0, 0]


@pytest.mark.parametrize("gaps", [{1, 2}, {0}, {3, 4, 5}, {0, 2, 4}])
async def test_gaps_in_offsets_are_passed(store: MemoryStore, gaps: set[int]) -> None:
    """Offsets that compaction or control records took away are no obstacle: the next batch goes on behind them."""
    ingest, _ = make(store)
    await ingest.resume({A: 0})
    records = [record for record in log(*["resolve"] * 8) if record.offset not in gaps]
    for start in range(0, len(records), 3):
        await ingest.process({A: records[start : start + 3]})
    assert store.offsets(A) == [8, 8]
    assert store.interactions() == 8 - len(gaps)


@pytest.mark.parametrize("lead", [1, 3, 5, 9])
@pytest.mark.parametrize("size", [1, 2, 4, 20])
@pytest.mark.parametrize("gaps", [set(), {3}, {2, 3, 4}, {4, 5, 6, 7, 8}])
async def test_uneven_shards_take_what_they_have_not_seen(
    store: MemoryStore, lead: int, size: int, gaps: set[int]
) -> None:
    """After a crash between two shards' commits each shard counts every record once, wherever batches are cut."""
    records = [record for record in log(*["resolve"] * 10) if record.offset not in gaps]
    ahead, _ = make(store)
    await ahead.resume({A: 0})
    store.fail[1] = ConnectionError("died between the shards")
    with pytest.raises(Resync):
        await ahead.process({A: [record for record in records if record.offset < lead]})
    assert store.offsets(A) == [max(r.offset for r in records if r.offset < lead) + 1, 0]

    ingest, _ = make(store)
    assert await ingest.resume({A: 0}) == {A: 0}
    for start in range(0, len(records), size):
        await ingest.process({A: records[start : start + size]})
    assert store.offsets(A) == [10, 10]
    assert store.interactions() == len(records)


@pytest.mark.parametrize("lead", [0, 1, 2])
async def test_every_event_of_a_record_counts_once(store: MemoryStore, lead: int) -> None:
    """A record that holds events of several systems is one step in every shard, also after a crash between two."""
    decisions = [
        {"decision_id": f"d-{n}", "path": "a/allow", "result": n % 3 > 0, "timestamp": START_MS + 1000 * n,
         "labels": {"app": f"system-{n % 4}", "environment": "production"}, "input": {"agent": "a", "action": "pay"}}
        for n in range(12)
    ]  # fmt: skip
    value = json.dumps([*decisions, {"decision_id": "bad", "path": "a/allow", "result": True}]).encode()
    records = [LogRecord(offset, START_MS, value) for offset in range(3)]
    if lead:
        ahead, _ = make(store)
        await ahead.resume({A: 0})
        store.fail[1] = ConnectionError("died between the shards")
        with pytest.raises(Resync):
            await ahead.process({A: records[:lead]})
    ingest, letters = make(store)
    await ingest.resume({A: 0})
    await ingest.process({A: records})
    await ingest.process({A: records})
    assert store.offsets(A) == [3, 3]
    deltas = [unpack(blob) for inbox in store.inbox for _, blob in inbox]
    counted = sum(count.amounts[0] for count in merge(deltas).counts if count.key().kind == "agent")
    assert counted == 3 * len(decisions)
    assert all(store.inbox), "both shards have some of them"
    assert [letter.offset for letter in letters.sent] == [0, 1, 2]


async def test_a_restart_keeps_the_partitions_newest_time(store: MemoryStore) -> None:
    """What was late before a restart is late after it: the newest event time comes back from the store."""
    first, _ = make(store)
    await first.resume({A: 0})
    await first.process({A: [LogRecord(0, START_MS, event_value(0, 300, 0, "resolve"))]})
    second, _ = make(store)
    await second.resume({A: 0})
    await second.process({A: [LogRecord(1, START_MS, event_value(1, 0, 0, "resolve"))]})
    assert second.tallies.fold.late == {"interaction": 1}
    assert [tick for inbox in store.inbox for tick, _ in inbox] == [START_MINUTE + 6, START_MINUTE + 5]


async def test_dead_letters_are_sent_before_the_commit(store: MemoryStore) -> None:
    """A crash in between repeats a letter; the other way round would lose it."""
    ingest, letters = make(store, dead_letter_payloads=True)
    await ingest.resume({A: 0})
    await ingest.process({A: log("resolve", "poison", "resolve")})
    assert store.journal[0] == "letters 1"
    assert sorted(store.journal[1:]) == ["commit 0", "commit 1"]
    assert (letters.sent[0].topic, letters.sent[0].partition, letters.sent[0].offset) == ("agent.interactions", 0, 1)
    assert ingest.tallies.dead.total() == 1
    assert store.interactions() == 2


async def test_a_letter_that_cannot_be_sent_holds_the_commit_back(store: MemoryStore) -> None:
    """Nothing is committed past a record whose dead letter did not get out."""

    async def refuse(_letters: Sequence[DeadLetter]) -> None:
        raise RuntimeError("no broker")

    ingest = Ingest(store, Decoder(ANY_TIME), refuse, 20_000)  # type: ignore[arg-type]
    await ingest.resume({A: 0})
    with pytest.raises(RuntimeError, match="no broker"):
        await ingest.process({A: log("resolve", "poison")})
    assert store.offsets(A) == [0, 0]


async def test_another_stored_offset_ends_in_resync_with_nothing_half_applied(store: MemoryStore) -> None:
    """Somebody else has committed: nothing is written, and no partition stays in hand until the next resume."""
    zombie, _ = make(store)
    await zombie.resume({A: 0})
    heir, _ = make(store)
    await heir.resume({A: 0})
    await heir.process({A: log(*["resolve"] * 3)})
    before = [list(inbox) for inbox in store.inbox]
    with pytest.raises(Resync, match="OffsetMismatch"):
        await zombie.process({A: log(*["resolve"] * 5)})
    assert store.inbox == before
    assert store.offsets(A) == [3, 3]
    assert zombie.partitions == {}
    assert zombie.tallies.commits == {"stale": 1}
    assert await zombie.resume({A: 0}) == {A: 3}
    await zombie.process({A: log(*["resolve"] * 5)})
    assert store.interactions() == 5


@pytest.mark.parametrize("error", [ConnectionError("lost"), ShardMissing("shard 0"), PartitionMissing("A")])
async def test_a_lost_store_ends_in_resync(store: MemoryStore, error: Exception) -> None:
    """A commit that may or may not have happened is never repeated: the offsets are read again."""
    ingest, _ = make(store)
    await ingest.resume({A: 0})
    store.fail[0] = error
    with pytest.raises(Resync, match=type(error).__name__):
        await ingest.process({A: log("resolve")})
    assert ingest.partitions == {}
    assert ingest.tallies.commits == {"failed": 1}


async def test_a_mistake_of_ours_is_not_hidden(store: MemoryStore) -> None:
    """An error that is none of the store's comes through as it is."""
    ingest, _ = make(store)
    await ingest.resume({A: 0})
    store.fail[1] = KeyError("a bug")
    with pytest.raises(KeyError):
        await ingest.process({A: log("resolve")})


async def test_a_new_partition_becomes_known_to_every_shard(store: MemoryStore) -> None:
    """A partition added to a topic at run time is registered in all shards when it is assigned; others keep theirs."""
    ingest, _ = make(store)
    await ingest.resume({A: 0})
    await ingest.process({A: log("resolve", "resolve")})
    assert await ingest.resume({A: 0, B: 9}) == {A: 2, B: 9}
    assert [parts[B] for parts in store.parts_of] == [PartitionState(9, NEVER)] * SHARDS
    await ingest.process({B: log("resolve", first=9)})
    assert store.offsets(B) == [10, 10]


async def test_a_touch_notes_only_even_partitions(store: MemoryStore) -> None:
    """A partition whose shards stand apart is not said to be empty; the answer is what waits in each shard."""
    for shard, offset in enumerate((3, 0)):
        await store.register(shard, {A: PartitionState(offset, NEVER), B: PartitionState(2, NEVER)})
    ingest, _ = make(store)
    await ingest.resume({A: 0, B: 0})
    await ingest.touch({A: 50, B: 60, "unknown/1": 70})
    assert store.notes == [[(B, 2, 60)]] * SHARDS
    assert (ingest.progress[0], ingest.newest_ms) == (Progress(7, 8), 8)


async def test_a_touch_that_fails_ends_in_resync(store: MemoryStore) -> None:
    """A shard that is gone is found by a touch too."""
    ingest, _ = make(store)
    await ingest.resume({A: 0})
    store.fail[1] = ShardMissing("shard 1 is not in Redis")
    with pytest.raises(Resync, match="ShardMissing"):
        await ingest.touch({})
    assert ingest.partitions == {}


@pytest.mark.parametrize("stamp", [START_MS + 40 * MINUTE_MS, -1, START_MS])
async def test_a_producers_clock_cannot_let_the_future_in(store: MemoryStore, stamp: int) -> None:
    """With a wall clock, an event far ahead of it is refused, though its record says that it was sent then."""
    ingest, letters = make(store, limits=Limits(max_future_ms=5 * MINUTE_MS), wall_ms=lambda: START_MS + MINUTE_MS)
    await ingest.resume({A: 0})
    ahead = event_value(1, 40 * 60, 0, "resolve")
    await ingest.process({A: [LogRecord(0, START_MS, event_value(0, 0, 0, "resolve")), LogRecord(1, stamp, ahead)]})
    assert len(letters.sent) == 1
    assert [parts[A].newest_ms for parts in store.parts_of] == [START_MS] * SHARDS
    assert store.interactions() == 1


async def test_who_holds_the_watermark_back(store: MemoryStore) -> None:
    """Of those with more to read, the partition with the oldest newest event; one that showed none is the oldest."""
    ingest, _ = make(store)
    assert ingest.furthest_behind({A, B}) is None
    await ingest.resume({A: 0, B: 0})
    await ingest.process({A: log("resolve")})
    assert ingest.furthest_behind({A, B}) == B
    assert ingest.furthest_behind({A}) == A
    await ingest.process({B: log("resolve", "resolve")})
    assert ingest.furthest_behind({A, B}) == A


async def test_events_are_tallied_by_type(store: MemoryStore) -> None:
    """What the metrics show is what was folded."""
    ingest, _ = make(store)
    await ingest.resume({A: 0})
    await ingest.process({A: log("resolve", "deny", "score", "deploy", "poison")})
    wanted: dict[EventType, int] = {"interaction": 1, "authorization": 1, "evaluation": 1, "deployment": 1}
    assert ingest.tallies.fold.events == wanted
    assert ingest.tallies.read == 5


async def test_others_get_their_turn_while_a_long_batch_is_counted(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that takes long lets the heartbeats through between its pieces, before anything of it is committed."""
    monkeypatch.setattr(ingest_module, "PIECE", 1)
    monkeypatch.setattr(ingest_module, "BREATH_SECONDS", -1.0)
    ingest, _ = make(store)
    await ingest.resume({A: 0})
    turns: list[list[int]] = []

    async def heartbeat() -> None:
        while True:
            turns.append(store.offsets(A))
            await asyncio.sleep(0)

    beating = asyncio.create_task(heartbeat())
    await ingest.process({A: log(*["resolve"] * 5)})
    beating.cancel()
    assert turns.count([0, 0]) >= 5
    assert store.interactions() == 5
