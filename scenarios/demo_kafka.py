"""The demonstration's ends of Kafka: what plays the fleet's telemetry in, and what listens to Midwatch's answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from scenarios.demo_engine import PARTITIONS
from scenarios.fleet import encode
from scenarios.fleet_events import Emitted
from scenarios.fleet_model import MINUTE_MS
from schemas.outputs import DeadLetter, Firing, Heartbeat, Verdict
from schemas.words import DEAD_LETTERS_TOPIC, FIRINGS_TOPIC, HEARTBEATS_TOPIC, TOPIC_OF_TYPE, VERDICTS_TOPIC
from stream.settings_sections import KafkaSettings
from stream.topics import create_topics, plan_topics

FLUSH_RECORDS = 5_000
SLICE_MS = 10_000
"""Event time that is sent at once in the live phase."""

STRETCH_MS = 600_000
"""Event time that is judged at once in the history."""

Join = Callable[[list[Emitted]], Awaitable[list[Emitted]]]


async def make_topics(bootstrap: str) -> None:
    """Create every topic that Midwatch reads or writes. Raises RuntimeError where one cannot be made."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        settings = KafkaSettings(bootstrap_servers=bootstrap, partitions=PARTITIONS)
        reports = await create_topics(admin, plan_topics(settings), settings.replication_factor)
    finally:
        await admin.close()
    failed = [f"{report.plan.name}: {report.error}" for report in reports if report.status == "failed"]
    if failed:
        raise RuntimeError(f"topics could not be made: {'; '.join(failed)}")


class Player:
    """Plays events into their topics, without keys, over the partitions in turn.

    The turns are the same in every run, so that a run can be repeated. A record's timestamp is its event time.
    """

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._pending: list[asyncio.Future[Any]] = []
        self.sent = 0

    async def send(self, events: Iterable[Emitted]) -> None:
        """Send and wait for the broker's word. Raises what the broker answered."""
        for time_ms, event in events:
            future = await self._producer.send(
                TOPIC_OF_TYPE[event["type"]], encode(event), partition=self.sent % PARTITIONS, timestamp_ms=time_ms
            )
            self._pending.append(future)
            self.sent += 1
            if len(self._pending) >= FLUSH_RECORDS:
                await self.flush()
        await self.flush()

    async def flush(self) -> None:
        """Wait until everything sent is with the broker."""
        await self._producer.flush()
        pending, self._pending = self._pending, []
        for future in pending:
            await future

    async def play(self, events: Iterable[Emitted], start_ms: int, speed: float, join: Join) -> None:
        """Send events as their time comes, `speed` times faster than the clock, from `start_ms` on.

        What is sent at once goes through `join` first, which may add to it.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        async for due, until in _stretches(events, start_ms, SLICE_MS, join):
            await asyncio.sleep(max(0.0, began + (until - start_ms) / 1000 / speed - loop.time()))
            await self.send(due)

    async def play_at_once(self, events: Iterable[Emitted], start_ms: int, join: Join) -> None:
        """The same without waiting for their time."""
        async for due, _ in _stretches(events, start_ms, STRETCH_MS, join):
            await self.send(due)


async def _stretches(
    events: Iterable[Emitted], start_ms: int, length_ms: int, join: Join
) -> AsyncIterator[tuple[list[Emitted], int]]:
    """The events in stretches of event time, joined, each with its end; empty ones are left out."""
    for place, stretch in groupby(events, key=lambda emitted: (emitted.time_ms - start_ms) // length_ms):
        yield await join(list(stretch)), start_ms + (place + 1) * length_ms


@asynccontextmanager
async def player(bootstrap: str) -> AsyncIterator[Player]:
    """A player on its own producer."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", linger_ms=5, max_batch_size=262_144, compression_type="lz4"
    )
    await producer.start()
    try:
        yield Player(producer)
    finally:
        await producer.stop()


class Listener:
    """Reads Midwatch's output topics from their beginning: verdicts, firings, dead letters, and how far it has come.

    `on_verdict` is called for each verdict as it comes; a repeat (the same id) is left out.
    """

    TOPICS = (VERDICTS_TOPIC, FIRINGS_TOPIC, DEAD_LETTERS_TOPIC, HEARTBEATS_TOPIC)

    def __init__(self, consumer: AIOKafkaConsumer, on_verdict: Callable[[Verdict], None]) -> None:
        self._consumer = consumer
        self._on_verdict = on_verdict
        self._moved = asyncio.Condition()
        self._ticks: dict[int, int] = {}
        self._shards = 0
        self._verdict_ids: set[str] = set()
        self.verdicts: list[Verdict] = []
        self.firings: list[Firing] = []
        self.dead_letters: list[DeadLetter] = []

    @property
    def minute(self) -> int | None:
        """The minute since 1970 up to which every shard is evaluated, None while some shard gave no sign of life."""
        if not self._shards or len(self._ticks) < self._shards:
            return None
        return min(self._ticks.values())

    @property
    def ticks(self) -> int:
        """Ticks of all shards, summed up: it grows with every sign that the engine gets on."""
        return sum(self._ticks.values())

    async def run(self) -> None:
        """Read for ever."""
        async for record in self._consumer:
            self._take(record.topic, record.value)
            async with self._moved:
                self._moved.notify_all()

    async def reach(self, time_ms: int) -> None:
        """Wait until every shard is evaluated up to `time_ms`, and what was said by then is read."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.minute is not None and self.minute * MINUTE_MS >= time_ms)
        ends = await self._consumer.end_offsets(sorted(self._consumer.assignment()))
        async with self._moved:
            for partition, end in ends.items():
                while await self._consumer.position(partition) < end:
                    await self._moved.wait()

    def _take(self, topic: str, value: bytes | None) -> None:
        if value is None:
            return
        if topic == HEARTBEATS_TOPIC:
            beat = Heartbeat.model_validate_json(value)
            self._shards = beat.shards
            self._ticks[beat.shard] = round(beat.tick.timestamp() * 1000) // MINUTE_MS
        elif topic == FIRINGS_TOPIC:
            self.firings.append(Firing.model_validate_json(value))
        elif topic == DEAD_LETTERS_TOPIC:
            self.dead_letters.append(DeadLetter.model_validate_json(value))
        else:
            self._verdict(Verdict.model_validate_json(value))

    def _verdict(self, verdict: Verdict) -> None:
        if verdict.verdict_id not in self._verdict_ids:
            self._verdict_ids.add(verdict.verdict_id)
            self.verdicts.append(verdict)
            self._on_verdict(verdict)


@asynccontextmanager
async def listener(bootstrap: str, on_verdict: Callable[[Verdict], None]) -> AsyncIterator[Listener]:
    """A listener on its own consumer, in no group; the caller runs it."""
    consumer = AIOKafkaConsumer(
        *Listener.TOPICS, bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        yield Listener(consumer, on_verdict)
    finally:
        await consumer.stop()
