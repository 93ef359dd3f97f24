"""How ingest unpacks what it takes, and packs what it tells the shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from stream import ingest as ingest_module
from stream.core.deltas import TagsRecord, merge, unpack
from stream.ingest import Resync
from stream.store import PartitionState
from tests.simulation.tiny import LogRecord
from tests.support.memory_store import SHARDS, START_MS, MemoryStore, log, make

A = "agent.interactions/0"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class Packed:
    """Records that are unpacked as they are needed, in pieces of two."""

    def __init__(self, records: Sequence[LogRecord]) -> None:
        self._records = records

    def pieces(self, _most: int) -> Iterator[Sequence[LogRecord]]:
        for start in range(0, len(self._records), 2):
            yield self._records[start : start + 2]


@pytest.mark.parametrize("position", [0, 1, 3])
@pytest.mark.parametrize("uneven", [False, True])
async def test_packed_records_are_taken_as_unpacked_ones(position: int, uneven: bool) -> None:
    """Deltas, letters, offsets and tallies are the same, from any position, and where the shards differ."""
    records = log("resolve", "escalate", "resolve", "resolve", "resolve")
    records[3] = LogRecord(3, START_MS, b"{")
    found = []
    for packed in (False, True):
        store = MemoryStore()
        ingest, letters = make(store)
        await ingest.resume({A: position})
        if uneven:
            store.parts_of[1][A] = PartitionState(4, START_MS)
            await ingest.resume({A: position})
        await ingest.process({A: Packed(records) if packed else records})
        inboxes = [merge(unpack(blob) for _, blob in inbox) for inbox in store.inbox]
        found.append((inboxes, letters.sent, store.offsets(A), ingest.partitions, ingest.tallies, ingest.newest_ms))
    assert found[0] == found[1]
    assert found[0][2] == [5, 5]


async def test_tags_of_a_batch_that_was_not_committed_are_told_again(store: MemoryStore) -> None:
    """What a partition has told is what was committed: after a resync it begins anew; until then it tells once."""

    def told() -> int:
        blobs = [blob for inbox in store.inbox for _, blob in inbox]
        return sum(type(record) is TagsRecord for blob in blobs for record in unpack(blob).records)

    ingest, _ = make(store)
    await ingest.resume({A: 0})
    store.fail = {shard: ConnectionError("lost") for shard in range(SHARDS)}
    with pytest.raises(Resync):
        await ingest.process({A: log(*["resolve"] * 4)})
    assert told() == 0
    await ingest.resume({A: 0})
    await ingest.process({A: log(*["resolve"] * 4)})
    assert told() == SHARDS
    await ingest.process({A: log(*["resolve"] * 4, first=4)})
    assert told() == SHARDS


async def test_counts_of_a_wide_fleet_are_packed_piece_by_piece(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a batch had nearly as many cells as events; of a narrow one they are put together first."""
    monkeypatch.setattr("stream.core.sparse.ENOUGH", 4)
    monkeypatch.setattr(ingest_module, "PIECE", 2)

    async def counts_of_a_second_batch(first: Sequence[str]) -> int:
        fresh = MemoryStore()
        ingest, _ = make(fresh)
        await ingest.resume({A: 0})
        await ingest.process({A: log(*first)})
        for inbox in fresh.inbox:
            inbox.clear()
        await ingest.process({A: log(*["resolve"] * 8, first=len(first))})
        assert fresh.interactions() == 8
        return sum(len(unpack(blob).counts) for inbox in fresh.inbox for _, blob in inbox)

    narrow = await counts_of_a_second_batch(["resolve"] * 8)
    assert await counts_of_a_second_batch(["resolve", "resolve", "deny", "deny"]) == 4 * narrow
