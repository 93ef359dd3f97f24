"""The ingest loop of a worker: the Kafka consumer around `Ingest`.

The group shares the partitions among workers; where each is read from is Redis's to say. After every resume the
consumer is set to the offsets that Redis holds, and what was fetched before it is dropped.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from schemas.words import CONTROLS_TOPIC
from stream.core.ticks import NEVER, tick_of
from stream.fetch import Fetched, RecordSource, Source, source_of
from stream.ingest import Ingest, Resync
from stream.passing import Passing
from stream.restore import ensure_shards, partitions_of
from stream.settings import Settings
from stream.settings_clients import kafka_options
from stream.store import PartitionState, ShardMissing, Store
from stream.stuck import Trouble
from stream.topics import source_topics
from stream.watermark import watermark_ms

TOUCH_SECONDS: Final = 0.2
COMMIT_SECONDS: Final = 5.0
BACK_OFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
REFERENCES_KEPT: Final = 200

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.ingest")


def name_of(tp: TopicPartition) -> str:
    """A source partition as the shards call it."""
    return f"{tp.topic}/{tp.partition}"


class TopicShrunk(RuntimeError):
    """A topic ends before the offset up to which it was read."""


class IngestLoop(ConsumerRebalanceListener):
    """Runs ingest until it is told to stop. One a worker."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        ingest: Ingest,
        wall_ms: Callable[[], int],
        client_id: str,
        noticed: Callable[[], None] = lambda: None,
    ) -> None:
        self.ingest = ingest
        self.paused = False
        self._settings = settings
        self._store = store
        self._wall_ms = wall_ms
        self.noticed = noticed
        """Called where what was noted lets a tick pass."""
        kafka = settings.kafka
        self._kafka = {**kafka_options(kafka), "client_id": client_id}
        self.consumer = AIOKafkaConsumer(
            **self._kafka,
            group_id=kafka.group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=kafka.fetch_max_wait_ms,
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_interval_ms=kafka.session_timeout_ms // 4,
            max_poll_interval_ms=600_000,
        )
        self._lock = asyncio.Lock()
        self._generation = 0
        self._stale = False
        self._passing = _passing(settings)
        self._touched = float("-inf")
        self._references: list[tuple[int, int]] = []
        self._stopping = asyncio.Event()
        self._read_to: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self.waiting = False
        self.trouble = Trouble()
        self.source: Source = RecordSource(self.consumer, kafka.max_batch_records, kafka.fetch_max_wait_ms)

    @property
    def unsettled(self) -> bool:
        """Whether the partitions wait to be resumed."""
        return self._stale

    async def start(self) -> None:
        """Make the shards that Redis lacks, and every partition of the input topics known to all; then join the group.

        Raises LayoutMismatch, RedisError, KafkaError.
        """
        kafka = self._settings.kafka
        await self.consumer.start()
        self.source = source_of(self.consumer, kafka, self._longest_wait_ms)
        await self._make_shards()
        await self._register_all()
        self.consumer.subscribe(list(source_topics(kafka)), listener=self)

    async def stop(self) -> None:
        """Leave the group."""
        await self.consumer.stop()

    async def _make_shards(self) -> None:
        made = await ensure_shards(self._store, self._kafka, self.every_start)
        if made:
            from_snapshots = [shard for shard, tick in made.items() if tick]
            log.info("shards_made", shards=list(made), from_snapshots=from_snapshots)

    async def _register_all(self) -> None:
        starts = await self.every_start()
        if starts:
            await asyncio.gather(*(self._store.register(shard, starts) for shard in range(self._store.shards)))

    async def every_start(self) -> dict[str, PartitionState]:
        """Where each partition of the input topics begins for a shard that does not know it."""
        every = await partitions_of(source_topics(self._settings.kafka), self._kafka)
        return {name: PartitionState(offset, NEVER) for name, offset in (await self._starts(every)).items()}

    async def _starts(self, partitions: Iterable[TopicPartition]) -> dict[str, int]:
        """Where a partition begins that no shard knows: as far back as the longest window, never at its end."""
        tps = list(partitions)
        if not tps:
            return {}
        ends = await self.consumer.end_offsets(tps)
        beginnings = await self.consumer.beginning_offsets(tps)
        if self._settings.engine.clock == "stream":
            return {name_of(tp): beginnings[tp] for tp in tps}
        since = self._wall_ms() - self._settings.engine.max_age_days * 86_400_000
        by_time = await self.consumer.offsets_for_times(dict.fromkeys(tps, since))
        starts = {}
        for tp in tps:
            if tp.topic == CONTROLS_TOPIC:
                # Compacted and small: whole, so that no silence that is in force is missed.
                starts[name_of(tp)] = beginnings[tp]
                continue
            # Where every record is older than the longest window, the end as of before the question is the start.
            found = by_time.get(tp)
            starts[name_of(tp)] = found.offset if found is not None else ends[tp]
        return starts

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let go; what is being committed is fenced by its offsets."""
        async with self._lock:
            self.ingest.release(name_of(tp) for tp in revoked)
            self._generation += 1

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Resume everything that is now ours from the offsets that Redis holds."""
        async with self._lock:
            # What goes wrong here the client's own routine would only log: the loop tries again, and raises it.
            self._stale = True
            await self._resume(list(assigned))

    async def _resume(self, partitions: list[TopicPartition]) -> None:
        self._generation += 1
        for delay in _back_off():
            try:
                await self._make_shards()
                positions = await self.ingest.resume(await self._starts(partitions))
                await self._check_ends(partitions, positions)
                break
            except (RedisError, OSError, KafkaError, ShardMissing) as error:
                self.trouble.note(error)
                log.warning("resume_failed", error=type(error).__name__, detail=str(error), retry_seconds=delay)
                if await stopped(self._stopping, delay):
                    return
        # Amid a rebalance the client may have got other partitions meanwhile: those are resumed when it says so.
        for tp in self.consumer.assignment() & set(partitions):
            self.consumer.seek(tp, positions[name_of(tp)])
        self._stale = False
        log.info("resumed", partitions=len(partitions))

    async def _check_ends(self, partitions: list[TopicPartition], positions: Mapping[str, int]) -> None:
        """Refuse a topic that is shorter than what Redis has seen of it; say what retention took before it was read."""
        ends = await self.consumer.end_offsets(partitions) if partitions else {}
        beginnings = await self.consumer.beginning_offsets(partitions) if partitions else {}
        for tp in partitions:
            position = positions[name_of(tp)]
            if position > ends[tp]:
                raise TopicShrunk(
                    f"{name_of(tp)} ends at offset {ends[tp]}, but was read up to {position}: the topic was made "
                    "anew or cut. Use another redis.namespace, so that the windows are rebuilt from what is there"
                )
            if position < beginnings[tp]:
                log.error("telemetry_lost_to_retention", partition=name_of(tp), records=beginnings[tp] - position)

    async def run(self, stop: asyncio.Event) -> None:
        """Read, fold, commit, until `stop` is set."""
        self._stopping = stop
        loop = asyncio.get_running_loop()
        committed = loop.time()
        while not stop.is_set():
            if self._stale:
                async with self._lock:
                    await self._resume(list(self.consumer.assignment()))
            await self._pace()
            generation = self._generation
            batch = await self._fetch()
            async with self._lock:
                if generation == self._generation:
                    await self._take(batch)
                elif batch:
                    # It may have been fetched before the last resume or after it: read it again from where Redis says.
                    self._stale = True
            if loop.time() - committed >= COMMIT_SECONDS:
                committed = loop.time()
                await self._show_offsets()
                await self._look_at_ends()

    async def _fetch(self) -> Fetched:
        try:
            return await self.source.fetch(self._longest_wait_ms())
        except KafkaError as error:
            self.trouble.note(error)
            log.warning("fetch_failed", error=type(error).__name__, detail=str(error))
            await stopped(self._stopping, BACK_OFF_SECONDS[-1])
            return {}

    def _longest_wait_ms(self) -> int:
        """How long a fetch may wait now."""
        if self._passing is None:
            return self._settings.kafka.fetch_max_wait_ms
        return self._passing.longest_wait_ms(self._wall_ms())

    async def _take(self, batch: Fetched) -> None:
        try:
            if batch:
                await self.ingest.process({name_of(tp): records for tp, records in batch.items()})
            if self.ingest.partitions:
                await self._touch()
        except (Resync, KafkaError) as error:
            # A KafkaError here is a dead letter that could not be stored: the batch is read again, nothing is skipped.
            self.trouble.note(error.__cause__ or error)
            log.warning("resync", detail=str(error))
            self._stale = True
            await stopped(self._stopping, BACK_OFF_SECONDS[0] if isinstance(error, Resync) else BACK_OFF_SECONDS[-1])

    async def _touch(self) -> None:
        """Note what is read to its end, now and then; and at once where that lets a tick pass, for someone may wait."""
        now, passing = self._wall_ms(), self._passing
        due = asyncio.get_running_loop().time() - self._touched >= TOUCH_SECONDS
        awaited = passing is not None and passing.is_due(now)
        if not due and not awaited:
            return
        empties = await self._empties()
        passes = passing is not None and awaited and passing.look(empties.values(), now)
        if due or passes:
            await self.ingest.touch(empties)
            self._touched = asyncio.get_running_loop().time()
        if passing is not None and passes:
            passing.noted(len(self.ingest.partitions))
            self.noticed()

    async def _empties(self) -> dict[str, int]:
        """Partitions that are read to their end, each with the event time up to which it is known to be empty."""
        now = self._wall_ms()
        self._references.append((now, self.ingest.newest_ms))
        del self._references[:-REFERENCES_KEPT]
        empties = {}
        for tp in self.consumer.assignment():
            name = name_of(tp)
            end = self.consumer.highwater(tp)
            ago = self.source.asked_ago_ms(tp)
            if name not in self.ingest.partitions or end is None or ago is None:
                continue
            # The consumer's own position steps over control records at the end; the last record's offset does not.
            self._read_to[tp] = await self.consumer.position(tp)
            if self._read_to[tp] < end:
                continue
            reference = self._reference(now - math.ceil(ago))
            if reference > 0:
                empties[name] = reference
        return empties

    def _reference(self, asked_ms: int) -> int:
        """Event time that was certainly known when the broker was asked whether a partition is empty."""
        if self._settings.engine.clock == "wall":
            return asked_ms
        return max((newest for wall, newest in self._references if wall < asked_ms), default=0)

    async def _pace(self) -> None:
        """Back-pressure: while a shard's inbox is over its limit, read only what holds the watermark back.

        Where that would still grow without bound, because evaluation is what is slow, nothing is read.
        """
        limit = self._settings.engine.pending_bytes_limit
        full = [shard for shard, progress in self.ingest.progress.items() if progress.pending > limit]
        assignment = self.consumer.assignment()
        self.waiting = False
        if full:
            behind = self.ingest.furthest_behind({name_of(tp) for tp in assignment if self._unread(tp)})
            over = [shard for shard in full if self.ingest.progress[shard].pending > 2 * limit]
            self.waiting = bool(over) and await self._evaluation_is_behind(over[0])
            assignment = self.consumer.assignment()  # It may have changed meanwhile.
            ahead = [tp for tp in assignment if self.waiting or name_of(tp) != behind]
            self.consumer.resume(*(assignment - set(ahead)))
            self.consumer.pause(*ahead)
        elif self.paused:
            self.consumer.resume(*assignment)
        self.paused = bool(full)

    def _unread(self, tp: TopicPartition) -> bool:
        end, position = self._end(tp), self._position(tp)
        return end is None or (position is not None and position < end)

    def _position(self, tp: TopicPartition) -> int | None:
        """The next record of a partition in hand; the consumer's own place steps over control records at the end."""
        position = self.ingest.partitions.get(name_of(tp))
        return None if position is None else max(position, 0 if self._stale else self._read_to.get(tp, 0))

    async def _evaluation_is_behind(self, shard: int) -> bool:
        """Whether a shard has ticks to evaluate: then its inbox shrinks without anything being read."""
        try:
            meta, parts = await self._store.meta(shard), await self._store.parts(shard)
        except RedisError:
            return False
        engine = self._settings.engine
        passed = watermark_ms(parts, round(engine.lateness_seconds * 1000), round(engine.idle_grace_seconds * 1000))
        return meta is not None and passed != NEVER and tick_of(passed) > meta.committed

    async def _show_offsets(self) -> None:
        """Commit to Kafka what Redis holds; for lag displays only."""
        assignment = {name_of(tp): tp for tp in self.consumer.assignment()}
        offsets = {assignment[n]: offset for n, offset in self.ingest.partitions.items() if n in assignment}
        if offsets:
            try:
                await self.consumer.commit(offsets)
            except KafkaError as error:
                log.debug("offsets_not_shown", detail=str(error))

    async def _look_at_ends(self) -> None:
        """Ask for the ends of partitions that are paused: nothing is fetched of them, which would tell."""
        paused = self.consumer.paused()
        try:
            self._ends = await self.consumer.end_offsets(paused) if paused else {}
        except KafkaError as error:
            log.debug("ends_not_known", detail=str(error))

    def _end(self, tp: TopicPartition) -> int | None:
        """Where a partition ends, as far as was heard."""
        heard = (self.consumer.highwater(tp), self._ends.get(tp))
        return max((end for end in heard if end is not None), default=None)

    def lag(self) -> dict[str, int]:
        """Records not yet read of the partitions in hand, by topic."""
        found: dict[str, int] = {}
        for tp in self.consumer.assignment():
            end, position = self._end(tp), self._position(tp)
            if end is not None and position is not None:
                found[tp.topic] = found.get(tp.topic, 0) + max(end - position, 0)
        return found


def _passing(settings: Settings) -> Passing | None:
    """On the telemetry's own clock no moment is known at which a tick may pass."""
    engine = settings.engine
    if engine.clock == "stream":
        return None
    return Passing(
        round((engine.lateness_seconds + engine.idle_grace_seconds) * 1000), settings.kafka.fetch_max_wait_ms
    )


async def stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Wait, but not longer than until the stop; whether it came."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _back_off() -> Iterable[float]:
    yield from BACK_OFF_SECONDS
    while True:
        yield BACK_OFF_SECONDS[-1]
