"""Ingest: records in; deltas and source offsets into every shard, each batch once.

Redis is the truth for offsets. On assignment a partition resumes from the lowest offset that any shard holds for it;
where shards differ (a crash came between their commits), batches are cut at the differing offsets and each shard takes
only what it has not seen. Any doubt (another offset stored, a lost connection) ends in `Resync`: read the offsets again
and seek. Nothing is repeated blindly.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from redis.exceptions import RedisError

from costs.budgets import BudgetRule
from costs.prices import LIST, PriceBook
from schemas.outputs import DeadLetter
from schemas.words import CONTROLS_TOPIC
from stream.adapters import Decoder, KafkaRecord, Rejection, dead_letter, decode_controls
from stream.core.fold import Batch, FoldTallies, PartitionFold
from stream.core.shards import ShardMap
from stream.core.sparse import Sparsity
from stream.core.ticks import NEVER
from stream.points import Point, nothing
from stream.store import (
    Advance,
    OffsetMismatch,
    PartitionMissing,
    PartitionState,
    Progress,
    ShardMissing,
    Store,
)


class Record(KafkaRecord, Protocol):
    """What ingest needs of a Kafka record. aiokafka's ConsumerRecord is one."""

    @property
    def offset(self) -> int:
        """Where it stands in its source partition."""
        ...


class PackedRecords(Protocol):
    """Records of one source partition, in the order of offsets, that are unpacked as they are needed. Read once."""

    def pieces(self, most: int) -> Iterator[Sequence[Record]]:
        """All of them, `most` at a time."""
        ...


Records = Sequence[Record] | PackedRecords

PIECE: Final = 1000
"""Records that are decoded and counted before the next are looked at, while they are in the processor's cache."""

BREATH_SECONDS: Final = 0.02
"""How long a batch is decoded and counted before others on the event loop get their turn."""


async def _give_way(_seconds: float) -> None:
    await asyncio.sleep(0)


class Resync(Exception):
    """The stored offsets are not what this worker thought: resume the partitions and seek."""


@dataclass(slots=True)
class Tallies:
    """Counts for metrics, since the start."""

    read: int = 0
    by_topic: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    commits: Counter[str] = field(default_factory=Counter)
    fold: FoldTallies = field(default_factory=FoldTallies)


@dataclass(slots=True)
class _Partition:
    """A source partition in this worker's hands: how far it is folded, and how far each shard has taken it."""

    fold: PartitionFold
    position: int
    shard_next: list[int]

    @property
    def even(self) -> bool:
        return all(n == self.position for n in self.shard_next)


DeadLetterSink = Callable[[Sequence[DeadLetter]], Awaitable[None]]


class Ingest:
    """The ingest side of one worker. Not concurrent: one call at a time.

    With `wall_ms`, no record counts as received later than that clock says: a record's own time is its producer's word,
    and one far in the future must not let an event as far in the future through, which would drag the watermark along.
    """

    def __init__(  # noqa: PLR0913  # what it stands on, each a part of its own
        self,
        store: Store,
        decoder: Decoder,
        send_dead_letters: DeadLetterSink,
        lateness_ms: int,
        budgets: Sequence[BudgetRule] = (),
        *,
        prices: PriceBook = LIST,
        dead_letter_payloads: bool = False,
        point: Point = nothing,
        wall_ms: Callable[[], int] | None = None,
        give_way: Callable[[float], Awaitable[None]] = _give_way,
    ) -> None:
        self.tallies = Tallies()
        self.progress: dict[int, Progress] = {}
        self._store = store
        self._decoder = decoder
        self._send_dead_letters = send_dead_letters
        self._lateness_ms = lateness_ms
        self._budgets = tuple(budgets)
        self._prices = prices
        self._payloads = dead_letter_payloads
        self._point = point
        self._wall_ms = wall_ms
        self._give_way = give_way
        self._busy = 0.0
        """Seconds of counting and packing since others had their turns."""
        self._shard = ShardMap(store.shards)
        self._sparsity = Sparsity()
        self._partitions: dict[str, _Partition] = {}

    @property
    def partitions(self) -> Mapping[str, int]:
        """The source partitions in hand and the next offset of each."""
        return {name: part.position for name, part in self._partitions.items()}

    @property
    def newest_ms(self) -> int:
        """The newest event time that any worker has committed, as far as this one knows."""
        return max((p.newest_ms for p in self.progress.values()), default=0)

    def furthest_behind(self, unread: Collection[str]) -> str | None:
        """Of the source partitions in hand that have more to read, the one whose newest event is the oldest."""
        return min(
            (name for name in self._partitions if name in unread),
            key=lambda name: (self._partitions[name].fold.newest_ms, name),
            default=None,
        )

    async def resume(self, starts: Mapping[str, int]) -> dict[str, int]:
        """Take over exactly these source partitions; the offsets to read them from.

        `starts` gives for each the offset to begin at where a shard does not know it yet.
        Raises ShardMissing if a shard is not in Redis, RedisError if Redis cannot be asked.
        """
        self._partitions = {}
        fresh = {name: PartitionState(offset, NEVER) for name, offset in starts.items()}
        shards = range(self._store.shards)
        if fresh:
            await asyncio.gather(*(self._store.register(shard, fresh) for shard in shards))
        known = await asyncio.gather(*(self._store.parts(shard) for shard in shards))
        for name in starts:
            states = [parts[name] for parts in known]
            lowest = min(states, key=lambda state: state.next_offset)
            fold = PartitionFold(
                self._lateness_ms, self._budgets, lowest.newest_ms, self.tallies.fold, self._prices
            )
            self._partitions[name] = _Partition(fold, lowest.next_offset, [s.next_offset for s in states])
        return dict(self.partitions)

    def release(self, names: Iterable[str]) -> None:
        """Let go of partitions."""
        for name in names:
            self._partitions.pop(name, None)

    async def process(self, records: Mapping[str, Records]) -> None:
        """Commit a batch of records, by source partition, each in the order of its offsets.

        Records of partitions that are not in hand, and those before the position, are left out. Raises Resync.
        """
        await self._rest()
        together: dict[str, Records] = {}
        for name, batch in records.items():
            part = self._partitions.get(name)
            if part is None:
                continue
            if part.even:
                together[name] = batch
                continue
            fresh = [record for piece in _pieces(batch, part.position) for record in piece]
            if fresh:
                await self._process_uneven(name, part, fresh)
        if together:
            await self._commit(together, range(self._store.shards))

    async def _process_uneven(self, name: str, part: _Partition, records: Sequence[Record]) -> None:
        """One partition whose shards stand at different offsets, cut where they do."""
        rest = list(records)
        while rest:
            cuts = [n for n in part.shard_next if n > part.position]
            end = min(cuts, default=rest[-1].offset + 1)
            piece = [r for r in rest if r.offset < end]
            rest = rest[len(piece) :]
            behind = [shard for shard, n in enumerate(part.shard_next) if n == part.position]
            if piece:
                upto = end if rest else piece[-1].offset + 1
                await self._commit({name: piece}, behind, {name: upto})
            elif rest:
                await self._commit({name: []}, behind, {name: end})

    async def _commit(
        self, records: Mapping[str, Records], shards: Iterable[int], ends: Mapping[str, int] | None = None
    ) -> None:
        batch = Batch()
        letters: list[DeadLetter] = []
        advances = []
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for name, those in records.items():
            part = self._partitions[name]
            end, read = part.position, 0
            for piece in _pieces(those, part.position):
                letters += self._fold(name, piece, part.fold, batch)
                self._sparsity.after_piece(batch, self._shard)
                end = piece[-1].offset + 1
                read += len(piece)
                del piece  # before the next is unpacked: it takes the same memory, which is in the cache
                self._busy += loop.time() - begun
                if self._busy > BREATH_SECONDS:
                    await self._rest()
                begun = loop.time()
            end = ends[name] if ends else end
            if end == part.position:
                continue
            advances.append(Advance(name, part.position, end, part.fold.newest_ms))
            part.position = end
            self.tallies.read += read
            self.tallies.by_topic[name.rpartition("/")[0]] += read
        if not advances:
            return
        begun = loop.time()
        self._sparsity.after_batch(batch)
        deltas = batch.packed(self._shard)
        self._busy += loop.time() - begun
        for kind, number in batch.events.items():
            self.tallies.fold.events[kind] += number
        if letters:
            await self._send_dead_letters(letters)
        self._point("folded")
        await self._commit_shards(list(shards), advances, deltas)
        self._point("committed")

    async def _rest(self) -> None:
        """Give way for what was taken since the last time."""
        busy, self._busy = self._busy, 0.0
        await self._give_way(busy)

    async def _commit_shards(
        self, shards: Sequence[int], advances: Sequence[Advance], deltas: Mapping[int, Mapping[int, bytes]]
    ) -> None:
        outcomes = await asyncio.gather(
            *(self._commit_shard(shard, advances, deltas.get(shard, {})) for shard in shards), return_exceptions=True
        )
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failed:
            self._partitions = {}
            for error in failed:
                if not isinstance(error, OffsetMismatch | PartitionMissing | ShardMissing | RedisError | OSError):
                    raise error
            worst = failed[0]
            self.tallies.commits["stale" if isinstance(worst, OffsetMismatch) else "failed"] += 1
            raise Resync(f"{type(worst).__name__}: {worst}") from worst
        self.tallies.commits["applied"] += 1
        for advance in advances:
            part = self._partitions.get(advance.partition)
            if part is not None:
                for shard in shards:
                    part.shard_next[shard] = advance.next_offset

    async def _commit_shard(self, shard: int, advances: Sequence[Advance], deltas: Mapping[int, bytes]) -> None:
        self._point(f"before_shard_{shard}")
        self.progress[shard] = await self._store.ingest(shard, advances, list(deltas.items()))
        self._point(f"after_shard_{shard}")

    def _fold(
        self, name: str, records: Sequence[Record], fold: PartitionFold, batch: Batch
    ) -> list[DeadLetter]:
        """Decode and fold the records of a partition; letters for those that cannot be read.

        Controls are taken from their own topic alone: no forged telemetry silences a pager.
        """
        now = None if self._wall_ms is None else self._wall_ms()
        if name.rpartition("/")[0] == CONTROLS_TOPIC:
            received = [(r.value, r.headers, _received_ms(r.timestamp, now)) for r in records]
            controls = decode_controls(received, self._decoder.limits, self._decoder.counters)
            fold.add_controls(controls.controls, batch)
            rejections = controls.rejections
        else:
            decoded = self._decoder.decode_columns(records, now)
            fold.add_columns(decoded.events, decoded.times, batch)
            rejections = decoded.rejections
        return [self._dead_letter(name, records[position], why) for position, why in rejections]

    def _dead_letter(self, name: str, record: Record, rejection: Rejection) -> DeadLetter:
        self.tallies.dead[rejection.reason] += 1
        topic, _, partition = name.rpartition("/")
        place = (topic, int(partition), record.offset, record.timestamp)
        return dead_letter(rejection, *place, record.value or b"", self._payloads)

    async def touch(self, empties: Mapping[str, int]) -> None:
        """Note partitions that were found read to their end; `empties` gives the reference time of each, in ms.

        With nothing to note, still learns how many bytes wait in each shard. Raises Resync, also where a shard stands
        at another offset: a partition that brings nothing new would not learn otherwise that it was born anew.
        """
        notes = [
            (name, part.position, empties[name])
            for name, part in self._partitions.items()
            if name in empties and part.even
        ]
        try:
            found = await asyncio.gather(*(self._store.touch(shard, notes) for shard in range(self._store.shards)))
        except (OffsetMismatch, PartitionMissing, ShardMissing, RedisError, OSError) as error:
            # A mismatch: this worker is a zombie, or Redis fell back to an older copy of itself while all was quiet.
            self._partitions = {}
            raise Resync(f"{type(error).__name__}: {error}") from error
        self.progress = dict(enumerate(found))


def _received_ms(timestamp: int, now_ms: int | None) -> int:
    return timestamp if now_ms is None or 0 <= timestamp < now_ms else now_ms


def _pieces(records: Records, position: int) -> Iterator[Sequence[Record]]:
    """The records from an offset on, a piece at a time; none is empty."""
    if isinstance(records, Sequence):
        pieces: Iterator[Sequence[Record]] = (records[at : at + PIECE] for at in range(0, len(records), PIECE))
    else:
        pieces = records.pieces(PIECE)
    for piece in pieces:
        if piece[0].offset < position:
            piece = [one for one in piece if one.offset >= position]  # noqa: PLW2901  # nothing holds the others
        if piece:
            yield piece
        del piece
