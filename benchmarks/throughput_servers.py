"""The servers of the benchmarks: Kafka and Redis, those of the environment, else real ones, else embedded ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from redis.asyncio import Redis

from benchmarks.throughput_events import Sent
from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis
from tests.support.kafka_libs import LibsUnavailable, kafka_libs
from tests.support.real_kafka import RealKafkaCluster


@dataclass(frozen=True, slots=True)
class Servers:
    """Bootstrap address, Redis URL, and what kind of Kafka it is, in words."""

    kafka: str
    redis: str
    broker: str


@contextmanager
def servers(*, embedded: bool = False) -> Iterator[Servers]:
    """Servers for a benchmark, ended with it; with `embedded` the broker is so even where a real one is to be had."""
    with ExitStack() as stack:
        kafka, broker = _kafka(stack, embedded)
        redis = os.environ.get("MIDWATCH_REDIS") or stack.enter_context(EmbeddedRedis()).url
        yield Servers(kafka, redis, broker)


def _kafka(stack: ExitStack, embedded: bool) -> tuple[str, str]:
    named = os.environ.get("MIDWATCH_KAFKA")
    if named:
        return named, "the Kafka of MIDWATCH_KAFKA"
    if not embedded and shutil.which("java"):
        try:
            cluster = RealKafkaCluster(1, kafka_libs())
        except LibsUnavailable as why:
            return stack.enter_context(EmbeddedKafkaProcess()).bootstrap, f"the embedded broker ({why})"
        return stack.enter_context(cluster).bootstrap, "a real Kafka, one broker"
    reason = "asked for" if embedded else "no Java for a real Kafka"
    return stack.enter_context(EmbeddedKafkaProcess()).bootstrap, f"the embedded broker ({reason})"


def fill(bootstrap: str, topic: str, partitions: int, events: Iterable[Sent]) -> None:
    """Make the topic and write the events to it, each to the partition of its place."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    # The events are of a past day: a broker would delete them at once.
    new = NewTopic(topic, partitions, 1, config={"retention.ms": "-1"})
    admin.create_topics([new])[topic].result()
    producer = Producer(
        {"bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 20, "batch.size": 262_144}
    )
    for sent in events:
        while True:
            try:
                producer.produce(
                    topic, sent.value, sent.key, partition=sent.place % partitions, timestamp=sent.time_ms
                )
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(60):
        raise RuntimeError(f"the events of {topic} could not be written within a minute")


async def forget(redis_url: str, prefix: str) -> None:
    """Remove what a run left in Redis."""
    async with Redis.from_url(redis_url) as redis:
        for pattern in (f"{prefix}:*", f"{{{prefix}*"):
            keys = [key async for key in redis.scan_iter(match=pattern, count=1000)]
            for start in range(0, len(keys), 1000):
                await redis.unlink(*keys[start : start + 1000])
