"""The same job by hand: consume, decode, check, count by series and minute, add to Redis. No guarantees.

Two on aiokafka and one on confluent-kafka. A crash makes them count events twice or not at all, a bad record stops
them, and nothing keeps a zombie from adding what another has added.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import redis as blocking_redis
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Consumer
from redis.asyncio import Redis

from benchmarks.throughput_meter import Measured, Meter, Task, place_of, say, task_of_arguments
from benchmarks.throughput_words import ADD, Minutes

BATCH: Final = 5000

CONFLUENT: Final[dict[str, str | int | float | bool]] = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "queued.min.messages": 200_000,
    "fetch.queue.backoff.ms": 2,
}


def _consumer(task: Task) -> Any:
    return AIOKafkaConsumer(
        task.topic,
        bootstrap_servers=task.bootstrap,
        group_id=task.name,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )


async def _aiokafka_json(task: Task) -> Measured:
    """As a first version would be: json, and a pipeline of HINCRBY a batch."""
    meter, redis = Meter(task.events), Redis.from_url(task.redis)
    async with _consumer(task) as consumer:
        while not meter.full:
            batches = await consumer.getmany(timeout_ms=100, max_records=BATCH)
            counts = Counter(place_of(json.loads(r.value)) for records in batches.values() for r in records)
            await increment(redis, task.name, counts)
            if counts:
                meter.note(meter.read + counts.total())
    return meter.measured(await counted_in(redis, task.name))


async def _aiokafka(task: Task) -> Measured:
    """As somebody would write it who has measured: msgspec, counts of a batch in one script."""
    meter, redis = Meter(task.events), Redis.from_url(task.redis)
    add = redis.register_script(ADD)
    async with _consumer(task) as consumer:
        while not meter.full:
            batches, minutes = await consumer.getmany(timeout_ms=100, max_records=BATCH), Minutes()
            for records in batches.values():
                for record in records:
                    minutes.add(record.value)
            if minutes.total:
                await add(args=minutes.arguments(task.name))
                meter.note(meter.read + minutes.total)
    return meter.measured(await counted_in(redis, task.name))


async def _fetch_only(task: Task) -> Measured:
    """Plain aiokafka, and nothing done with what it brings: the limit of the client library."""
    meter = Meter(task.events)
    async with _consumer(task) as consumer:
        while not meter.full:
            batches = await consumer.getmany(timeout_ms=100, max_records=BATCH)
            read = sum(map(len, batches.values()))
            if read:
                meter.note(meter.read + read)
    return meter.measured(meter.read)


def _confluent(task: Task) -> Measured:
    """The same with librdkafka underneath: batches by `consume`, its queue filled ahead."""
    meter, redis = Meter(task.events), blocking_redis.Redis.from_url(task.redis)
    add = redis.register_script(ADD)
    consumer = Consumer({**CONFLUENT, "bootstrap.servers": task.bootstrap, "group.id": task.name})
    consumer.subscribe([task.topic])
    while not meter.full:
        minutes = Minutes()
        for message in consumer.consume(BATCH, 0.1):
            value = message.value()
            if message.error() or value is None:
                raise RuntimeError(f"the consumer says: {message.error()}")
            minutes.add(value)
        if minutes.total:
            add(args=minutes.arguments(task.name))
            meter.note(meter.read + minutes.total)
    consumer.close()
    return meter.measured(asyncio.run(counted_in(Redis.from_url(task.redis), task.name)))


async def increment(redis: Redis, name: str, counts: Mapping[str, int]) -> None:
    """Add a batch's counts, a hash a minute."""
    async with redis.pipeline(transaction=False) as pipeline:
        for place, number in counts.items():
            minute, _, series = place.partition("|")
            pipeline.hincrby(f"{name}:{minute}", series, number)
        await pipeline.execute()


async def counted_in(redis: Redis, name: str) -> int:
    """The sum of all that was added."""
    found = 0
    async for key in redis.scan_iter(match=f"{name}:*"):
        found += sum(map(int, await redis.hvals(key)))
    await redis.aclose()
    return found


CONTENDERS: Final[dict[str, Callable[[Task], Measured]]] = {
    "fetch-only": lambda task: asyncio.run(_fetch_only(task)),
    "hand-json": lambda task: asyncio.run(_aiokafka_json(task)),
    "hand-aiokafka": lambda task: asyncio.run(_aiokafka(task)),
    "hand-confluent": _confluent,
}


def main() -> None:
    """Run the contender that the first argument names on the task in the second."""
    name, task = task_of_arguments()
    say(CONTENDERS[name](task))


if __name__ == "__main__":
    main()
