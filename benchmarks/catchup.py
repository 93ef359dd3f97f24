"""How fast an engine that was off catches up.

`python -m benchmarks.catchup [--hours H] [--series S] [--per-minute N] [--json]`. The telemetry of the last H hours
waits in Kafka, N events a minute over S flows, when a worker starts with an empty Redis; it is done when its `/readyz`
says that it has caught up: lag and ticks. Kafka and Redis are embedded, or those of `MIDWATCH_KAFKA` and
`MIDWATCH_REDIS`. CPU time is that of the worker alone, and holds up on a noisy machine; the wall clock does less so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiokafka import AIOKafkaProducer

from benchmarks.soak import PARTITIONS, PATIENCE_SECONDS, Worker, make_topics, settings_at
from benchmarks.soak_load import Load, series_of
from benchmarks.throughput_servers import servers
from stream.core.ticks import MINUTE_MS
from stream.embedded import free_port

POLL_SECONDS: Final = 0.2


async def fill(kafka: str, hours: float, load: Load, per_minute: int) -> int:
    """Write the telemetry, minute by minute, over all partitions; how many events that are."""
    first = time.time_ns() // 1_000_000 - round(hours * 60) * MINUTE_MS
    sent = 0
    async with AIOKafkaProducer(bootstrap_servers=kafka, compression_type="lz4", max_batch_size=800_000) as producer:
        for minute in range(round(hours * 60)):
            now, stored = first + minute * MINUTE_MS, []
            for partition in range(PARTITIONS):
                batch = producer.create_batch()
                for value in load.events(per_minute // PARTITIONS, now):
                    if batch.append(key=None, value=value, timestamp=now) is None:
                        raise RuntimeError("too many events a minute for one batch of a partition")
                    sent += 1
                stored.append(await producer.send_batch(batch, "agent.interactions", partition=partition))
            await asyncio.gather(*stored)
    return sent


async def until_ready(url: str) -> None:
    """Wait until the worker says that it has caught up."""
    limit = aiohttp.ClientTimeout(30)
    async with aiohttp.ClientSession(timeout=limit) as session, asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(POLL_SECONDS)


async def measure(hours: float, series: int, per_minute: int, kafka: str, redis: str, folder: Path) -> dict[str, Any]:
    """One run."""
    port = free_port()
    config, settings = settings_at(folder, kafka, redis, port)
    await make_topics(settings)
    events = await fill(kafka, hours, Load(series), per_minute)
    worker = Worker(config, port)
    began = time.monotonic()
    await worker.start()
    await until_ready(f"http://127.0.0.1:{port}/readyz")
    wall, cpu = time.monotonic() - began, worker.cpu_seconds()
    await worker.stop()
    return {
        "hours": hours,
        "series": series,
        "events": events,
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "events_per_second": round(events / wall),
        "events_per_cpu_second": round(events / cpu),
        "hours_per_minute": round(hours / wall * 60, 1),
        "hours_per_cpu_minute": round(hours / cpu * 60, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0, help="how long the engine was off, 24 if not given")
    parser.add_argument("--series", type=series_of, default=1000, help="flows: a number, or 10x for ten times 1,000")
    parser.add_argument("--per-minute", type=int, default=1000, help="events a minute, 1,000 if not given")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    if chosen.hours <= 0 or chosen.per_minute < PARTITIONS:
        parser.error(f"--hours must be above 0, --per-minute {PARTITIONS} or more")
    with servers(embedded=True) as at, tempfile.TemporaryDirectory(prefix=f"midwatch-{os.getpid()}-") as folder:
        sizes = (chosen.hours, chosen.series, chosen.per_minute)
        figures = asyncio.run(measure(*sizes, at.kafka, at.redis, Path(folder)))
    if chosen.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' '):24}{value:>14,}")


if __name__ == "__main__":
    main()
