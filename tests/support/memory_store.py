"""Shards in memory that keep the scripts' rules, logs of telemetry for them, and an ingest between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.outputs import DeadLetter
from stream.adapters import Decoder, Limits
from stream.core.deltas import merge, unpack
from stream.core.ticks import MINUTE_MS
from stream.ingest import Ingest
from stream.store import Advance, OffsetMismatch, PartitionMissing, PartitionState, Progress
from tests.simulation.tiny import START_MINUTE, LogRecord, event_value

SHARDS: Final = 2
START_MS: Final = START_MINUTE * MINUTE_MS
ANY_TIME: Final = Limits(max_future_ms=None, max_age_ms=None)


class MemoryStore:
    """Shards as dictionaries. `fail` makes the next commit of a shard raise; `journal` is what happened, in order."""

    shards = SHARDS

    def __init__(self) -> None:
        self.parts_of: list[dict[str, PartitionState]] = [{} for _ in range(SHARDS)]
        self.inbox: list[list[tuple[int, bytes]]] = [[] for _ in range(SHARDS)]
        self.notes: list[Sequence[tuple[str, int, int]]] = []
        self.fail: dict[int, Exception] = {}
        self.journal: list[str] = []

    async def register(self, shard: int, starts: Mapping[str, PartitionState]) -> None:
        self.parts_of[shard] = {**starts, **self.parts_of[shard]}

    async def parts(self, shard: int) -> dict[str, PartitionState]:
        return dict(self.parts_of[shard])

    async def ingest(self, shard: int, advances: Sequence[Advance], deltas: Sequence[tuple[int, bytes]]) -> Progress:
        if shard in self.fail:
            raise self.fail.pop(shard)
        known = self.parts_of[shard]
        for advance in advances:
            if advance.partition not in known:
                raise PartitionMissing(advance.partition)
            state = known[advance.partition]
            if state.next_offset != advance.expected:
                raise OffsetMismatch(advance.partition, state.next_offset, state.newest_ms)
        for advance in advances:
            known[advance.partition] = PartitionState(advance.next_offset, advance.newest_ms)
        self.inbox[shard] += deltas
        self.journal.append(f"commit {shard}")
        return Progress(sum(len(blob) for _, blob in self.inbox[shard]), max(s.newest_ms for s in known.values()))

    async def touch(self, shard: int, empties: Sequence[tuple[str, int, int]]) -> Progress:
        if shard in self.fail:
            raise self.fail.pop(shard)
        self.notes.append(list(empties))
        for name, expected, _ in empties:
            known = self.parts_of[shard][name]
            if known.next_offset != expected:
                raise OffsetMismatch(name, known.next_offset, known.newest_ms)
        return Progress(7, 8)

    def offsets(self, name: str) -> list[int]:
        return [parts[name].next_offset for parts in self.parts_of]

    def interactions(self) -> int:
        """Interactions in all inboxes."""
        deltas = [unpack(blob) for inbox in self.inbox for _, blob in inbox]
        return sum(count.amounts[0] for count in merge(deltas).counts if count.key().kind == "flow")


def log(*kinds: str, first: int = 0) -> list[LogRecord]:
    """Records, one a second, of both systems in turn, so that both shards get some."""
    return [
        LogRecord(number, START_MS, event_value(number, number, number % 2, kind))
        for number, kind in enumerate(kinds, first)
    ]


class Letters:
    """Takes dead letters and writes them into the store's journal."""

    def __init__(self, store: MemoryStore) -> None:
        self.sent: list[DeadLetter] = []
        self._store = store

    async def __call__(self, letters: Sequence[DeadLetter]) -> None:
        self.sent += letters
        self._store.journal.append(f"letters {len(letters)}")


def make(store: MemoryStore, **options: Any) -> tuple[Ingest, Letters]:
    """An ingest that commits to `store`, of events of any time; and its dead letters."""
    letters = Letters(store)
    limits = options.pop("limits", ANY_TIME)
    return Ingest(store, Decoder(limits), letters, 20_000, **options), letters  # type: ignore[arg-type]
