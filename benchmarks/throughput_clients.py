"""The contenders of the throughput benchmark, each run alone in a process of its own.

All count the same events of the same topic by series and minute. The clock starts when the first batch is counted, so
that no start-up is measured, and stops when the last one is where the contender keeps it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer
from redis.asyncio import Redis

from stream.adapters import Decoder
from stream.assembly import record_limits
from stream.collector import calm_collector
from stream.core.deltas import ScoreRecord, unpack
from stream.ingest import Ingest, Records
from stream.ingest_loop import IngestLoop
from stream.restore import ensure_shards
from stream.settings import Settings, settings_model
from stream.settings_clients import kafka_options, redis_client
from stream.settings_sections import EngineSettings, KafkaSettings, RedisSettings
from stream.store import Store

BATCH: Final = 4000
MINUTE_CHARACTERS: Final = 16


class Task(msgspec.Struct):
    """What a contender is given. `name` is this run's own: consumer group, prefix of every Redis key."""

    bootstrap: str
    redis: str
    topic: str
    events: int
    name: str


class Measured(msgspec.Struct):
    """What a run took; `counted` is what the contender's own store holds at the end, `read` what it should hold."""

    events: int
    cpu_seconds: float
    wall_seconds: float
    read: int
    counted: int


class Meter:
    """Times a run from the end of its first batch to the end of its last."""

    def __init__(self, events: int) -> None:
        self.read = 0
        self._wanted = events
        self._begin: tuple[int, float, float] | None = None
        self._end: tuple[int, float, float] | None = None

    def note(self, read: int) -> bool:
        """Say that `read` events are counted by now; whether that is enough."""
        self.read = read
        now = (read, time.process_time(), time.perf_counter())
        if self._begin is None:
            self._begin = now
        if read >= self._wanted and self._end is None:
            self._end = now
        return self._end is not None

    def measured(self, counted: int) -> Measured:
        """The result. Raises RuntimeError if the run was not finished."""
        if self._begin is None or self._end is None:
            raise RuntimeError("the run ended before all events were counted")
        events, cpu, wall = (b - a for a, b in zip(self._begin, self._end, strict=True))
        return Measured(int(events), cpu, wall, self.read, counted)


def place_of(event: Mapping[str, Any]) -> str:
    """Minute, type and series of an event as one key, as somebody would write it by hand."""
    dimension = event.get("flow") or event.get("agent")
    return f"{event['time'][:MINUTE_CHARACTERS]}|{event['type']}|{event['environment']}|{event['system']}|{dimension}"


async def midwatch(task: Task, batch: int = BATCH) -> Measured:
    """Midwatch's ingest loop, as a worker runs it: checked, windowed by series, committed with a fence to Redis."""
    calm_collector()
    settings = _settings(task, batch)
    meter, stop = Meter(task.events), asyncio.Event()

    class Metered(Ingest):
        async def process(self, records: Mapping[str, Records]) -> None:
            await super().process(records)
            if self.tallies.read and meter.note(self.tallies.read):
                stop.set()

    async def no_letters(letters: Sequence[object]) -> None:
        raise RuntimeError(f"an event of the benchmark was refused: {letters[0]}")

    redis = redis_client(settings.redis)
    store = Store(redis, task.name, settings.engine.shards)
    await ensure_shards(store, kafka_options(settings.kafka))
    ingest = Metered(store, Decoder(record_limits(settings)), no_letters, 5000)
    loop = IngestLoop(settings, store, ingest, lambda: time.time_ns() // 1_000_000, task.name)
    await loop.start()
    await loop.run(stop)
    await loop.stop()
    counted = await _in_inboxes(store)
    await redis.aclose()
    return meter.measured(counted)


def _settings(task: Task, batch: int) -> Settings:
    kafka: dict[str, Any] = {"bootstrap_servers": task.bootstrap, "group_id": task.name, "max_batch_records": batch}
    sections: dict[str, Any] = {
        "kafka": KafkaSettings(**kafka, input_topics=(task.topic,)),
        "redis": RedisSettings(url=task.redis, namespace=task.name),
        "engine": EngineSettings(clock="stream"),
    }
    return settings_model()(**sections)


async def _in_inboxes(store: Store) -> int:
    """How many events the windows in Redis hold: each counts in one series of these kinds, or is a score."""
    found = 0
    for shard in range(store.shards):
        async for key in store.redis.scan_iter(match=store.key(shard, "in:") + "*", count=1000):
            blobs: list[Any] = await store.redis.lrange(key, 0, -1)
            for blob in blobs:
                delta = unpack(blob)
                found += sum(c.amounts[0] for c in delta.counts if c.key().kind in ("flow", "agent", "usage"))
                found += sum(isinstance(record, ScoreRecord) for record in delta.records)
    return found


async def by_hand(task: Task) -> Measured:
    """Plain aiokafka, json and a pipeline of HINCRBY a batch. A crash counts events twice or not at all."""
    meter, redis = Meter(task.events), Redis.from_url(task.redis)
    async with _consumer(task) as consumer:
        while True:
            batches = await consumer.getmany(timeout_ms=100, max_records=BATCH)
            counts = Counter(place_of(json.loads(r.value)) for records in batches.values() for r in records)
            await increment(redis, task.name, counts)
            read = meter.read + counts.total()
            if read and meter.note(read):
                break
    return meter.measured(await counted_in(redis, task.name))


async def fetch_only(task: Task) -> Measured:
    """Plain aiokafka, and nothing done with what it brings: the limit of the client library."""
    meter = Meter(task.events)
    async with _consumer(task) as consumer:
        while True:
            batches = await consumer.getmany(timeout_ms=100, max_records=BATCH)
            read = meter.read + sum(map(len, batches.values()))
            if read and meter.note(read):
                return meter.measured(read)


def _consumer(task: Task) -> Any:
    return AIOKafkaConsumer(
        task.topic,
        bootstrap_servers=task.bootstrap,
        group_id=task.name,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )


async def increment(redis: Redis, name: str, counts: Mapping[str, int]) -> None:
    """Add a batch's counts, a hash a minute."""
    async with redis.pipeline(transaction=False) as pipeline:
        for place, number in counts.items():
            minute, _, series = place.partition("|")
            pipeline.hincrby(f"{name}:{minute}", series, number)
        await pipeline.execute()


async def counted_in(redis: Redis, name: str) -> int:
    """The sum of all that `increment` added."""
    found = 0
    async for key in redis.scan_iter(match=f"{name}:*"):
        found += sum(map(int, await redis.hvals(key)))
    await redis.aclose()
    return found


CONTENDERS: Final[dict[str, tuple[str, Callable[[Task], Coroutine[Any, Any, Measured]]]]] = {
    "midwatch": (f"Midwatch, batches of {BATCH:,}", midwatch),
    "midwatch-20k": ("Midwatch, batches of 20,000", lambda task: midwatch(task, 20_000)),
    "fetch-only": ("aiokafka, fetched and thrown away", fetch_only),
    "by-hand": ("aiokafka, json, HINCRBY pipeline", by_hand),
}


def main() -> None:
    """Run the contender that the first argument names on the task in the second; the result goes to stdout as JSON."""
    task = msgspec.json.decode(sys.argv[2], type=Task)
    found = asyncio.run(CONTENDERS[sys.argv[1]][1](task))
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main()
