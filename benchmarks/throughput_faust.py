"""The Faust contenders of the throughput benchmark: agents as Faust's documentation writes them."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, Final

import faust
from redis.asyncio import Redis

from benchmarks.throughput_hand import counted_in, increment
from benchmarks.throughput_meter import Meter, Task, place_of, say, task_of_arguments

TAKE: Final = 1000
WINDOW_SECONDS: Final = 60.0


def app_of(task: Task) -> Any:
    """The application: JSON values, table state in memory with a changelog topic, no web server."""
    return faust.App(
        task.name,
        broker=f"kafka://{task.bootstrap}",
        store="memory://",
        value_serializer="json",
        topic_partitions=task.partitions,
        consumer_auto_offset_reset="earliest",
        datadir=task.directory,
        web_enabled=False,
        topic_disable_leader=True,
    )


def finish(meter: Meter, counted: int) -> None:
    """Say the result and end at once: Faust's own way down takes longer than the run."""
    say(meter.measured(counted))
    os._exit(0)


def with_take(task: Task) -> Any:
    """Batches of events, counted in Redis."""
    app = app_of(task)
    meter, redis = Meter(task.events), Redis.from_url(task.redis)

    @app.agent(app.topic(task.topic))  # type: ignore[untyped-decorator]
    async def count(stream: Any) -> None:
        async for events in stream.take(TAKE, within=1.0):
            await increment(redis, task.name, Counter(map(place_of, events)))
            if meter.note(meter.read + len(events)):
                finish(meter, await counted_in(redis, task.name))

    return app


def with_table(task: Task) -> Any:
    """One event at a time, counted in a windowed table."""
    app = app_of(task)
    meter = Meter(task.events)
    table = app.Table("counts", default=int, partitions=task.partitions).tumbling(WINDOW_SECONDS).relative_to_stream()

    @app.agent(app.topic(task.topic))  # type: ignore[untyped-decorator]
    async def count(stream: Any) -> None:
        read = 0
        async for event in stream:
            _, _, series = place_of(event).partition("|")
            table[series] += 1
            read += 1
            if read % TAKE == 0 and meter.note(read):
                finish(meter, sum(table.table.values()))

    return app


def main() -> None:
    """Run the contender that the first argument names on the task in the second."""
    name, task = task_of_arguments()
    app = {"faust-take": with_take, "faust-table": with_table}[name](task)
    faust.Worker(app, loglevel="error", quiet=True, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
