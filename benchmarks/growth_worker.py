"""One of several workers of the growth benchmark: Midwatch's ingest loop for its share of the partitions.

Arguments: how many workers there are, and the task. It waits until the group has shared the partitions, counts its
share of the events, and stops. That what is in Redis is right is the throughput benchmark's to check.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from benchmarks.throughput_meter import BATCH, Measured, Meter, Task, say
from benchmarks.throughput_midwatch import make_loop
from stream.collector import calm_collector
from stream.ingest_loop import IngestLoop

SETTLE_SECONDS = 0.02


async def work(task: Task, workers: int) -> Measured:
    """Count this worker's share of the events, from when it holds its share of the partitions."""
    calm_collector()
    meter, stop = Meter(task.events // workers), asyncio.Event()
    loop, store = await make_loop(task, BATCH)
    await loop.start()
    await _settled(loop, task.topic, task.partitions // workers)
    running = asyncio.create_task(loop.run(stop))
    while not meter.full:
        if running.done():
            running.result()
        if loop.ingest.tallies.read:
            meter.note(loop.ingest.tallies.read)
        await asyncio.sleep(0.01)
    stop.set()
    await running
    await loop.stop()
    await store.redis.aclose()
    return meter.measured(meter.read)


async def _settled(loop: IngestLoop, topic: str, share: int) -> None:
    """Wait until the group has given this worker its share; the first to come would read everything before that."""
    while sum(name.startswith(f"{topic}/") for name in loop.ingest.partitions) != share:  # noqa: ASYNC110  # the loop has no event for it
        await asyncio.sleep(SETTLE_SECONDS)


def main() -> None:
    """Run the worker."""
    workers, task = int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Task)
    say(asyncio.run(work(task, workers)))


if __name__ == "__main__":
    main()
