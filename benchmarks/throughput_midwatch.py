"""Midwatch's contenders in the throughput benchmark: its ingest loop as a worker runs it, each in a process of its own.

The windows are exactly-once: every batch is committed to Redis together with its offsets, fenced by them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.throughput_meter import BATCH, Measured, Meter, Task, say, task_of_arguments
from stream.adapters import Decoder
from stream.assembly import record_limits
from stream.collector import calm_collector
from stream.core.deltas import ScoreRecord, unpack
from stream.ingest import Ingest, Records
from stream.ingest_loop import IngestLoop
from stream.restore import ensure_shards
from stream.settings import Settings, settings_model
from stream.settings_clients import kafka_options, redis_client
from stream.settings_redis import RedisSettings
from stream.settings_sections import EngineSettings, KafkaSettings
from stream.store import Store

BATCHES: Final = {"midwatch": BATCH, "midwatch-4k": 4000}


async def make_loop(task: Task, batch: int, ingest_class: type[Ingest] = Ingest) -> tuple[IngestLoop, Store]:
    """The ingest loop of a worker, not yet started, and the store that it commits to."""
    settings = _settings(task, batch)

    async def no_letters(letters: Sequence[object]) -> None:
        raise RuntimeError(f"an event of the benchmark was refused: {letters[0]}")

    store = Store(redis_client(settings.redis), task.name, settings.engine.shards)
    await ensure_shards(store, kafka_options(settings.kafka))
    ingest = ingest_class(store, Decoder(record_limits(settings)), no_letters, 5000)
    return IngestLoop(settings, store, ingest, lambda: time.time_ns() // 1_000_000, task.name), store


async def midwatch(task: Task, batch: int = BATCH) -> Measured:
    """Midwatch's ingest loop, as a worker runs it: checked, windowed by series, committed with a fence to Redis."""
    calm_collector()
    meter, stop = Meter(task.events), asyncio.Event()

    class Metered(Ingest):
        async def process(self, records: Mapping[str, Records]) -> None:
            await super().process(records)
            if self.tallies.read and meter.note(self.tallies.read):
                stop.set()

    loop, store = await make_loop(task, batch, Metered)
    await loop.start()
    await loop.run(stop)
    await loop.stop()
    counted = await _in_inboxes(store)
    await store.redis.aclose()
    return meter.measured(counted)


def _settings(task: Task, batch: int) -> Settings:
    kafka: dict[str, Any] = {"bootstrap_servers": task.bootstrap, "group_id": task.name, "max_batch_records": batch}
    kafka["fetch"] = os.environ.get("MIDWATCH_KAFKA__FETCH", "auto")
    sections: dict[str, Any] = {
        "kafka": KafkaSettings(**kafka, input_topics=(task.topic,)),
        "redis": RedisSettings(
            mode=task.redis_mode, url=task.redis, sentinel_master=task.redis_master, namespace=task.name
        ),
        "engine": EngineSettings(clock="stream"),
    }
    return settings_model()(**sections)


async def _in_inboxes(store: Store) -> int:
    """How many events the windows in Redis hold: each counts in one series of these kinds, or is a score."""
    found = 0
    for shard in range(store.shards):
        for blob in await store.inboxes(shard, 0, 2**40):
            delta = unpack(blob)
            found += sum(c.amounts[0] for c in delta.counts if c.key().kind in ("flow", "agent", "usage"))
            found += sum(isinstance(record, ScoreRecord) for record in delta.records)
    return found


def main() -> None:
    """Run the contender that the first argument names on the task in the second."""
    name, task = task_of_arguments()
    say(asyncio.run(midwatch(task, BATCHES[name])))


if __name__ == "__main__":
    main()
