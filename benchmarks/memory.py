"""What a series costs: bytes in Redis at two hours of minutes and 28 days of hours, and bytes in the worker.

`python -m benchmarks.memory [SERIES...] [--json] [--plot FILE.png]`; 10,000 and 100,000 flows if none are given. They
are spread over 16 shards as by default, and over more where a shard would have more than 6,250. One shard of flows with
heavy-tailed volumes (median 20 interactions an hour, the busiest thousands) and a day's and a week's season is run
through the machine with all detectors: hour by hour for 28 days, minute by minute for the last two hours. Its
checkpoint stands for that of every shard: it goes into a real server as often as there are shards, with what ten more
ticks leave in the inboxes, and the server says the size of each key and what it holds in all. A machine that loads the
checkpoint is taken apart, and each part asked what it held; and a process loads all the shards, evaluates some ticks,
and is asked what it takes of the machine's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.memory_fleet import END, Fleet, run
from benchmarks.memory_worker import PARTS, held_by_part, resident
from benchmarks.pictures import lines
from stream.assembly import machine_factory
from stream.core.checkpoint import Checkpoint, save
from stream.embedded import EmbeddedRedis
from stream.settings import load_settings
from stream.store import Birth, PartitionState, Store

SIZES: Final = (10_000, 100_000)
SHARDS: Final = 16
IN_A_SHARD: Final = 6_250
KEYS: Final = ("state", "hour", "in")
TICKS: Final = 3
"""Ticks that the process evaluates before it is asked what it takes."""


async def in_redis(checkpoint: Checkpoint, inboxes: list[tuple[int, bytes]], shards: int, url: str) -> Counter[str]:
    """Bytes in Redis of so many shards: by what they are, of the keys of the first, and of the server, `all`."""
    client = Redis.from_url(url, socket_timeout=60)
    try:
        await client.flushall()
        store = Store(client, "memory", shards)
        before = await _used(client)
        parts = {f"agent.interactions/{number}": PartitionState(10**9, END * 60_000) for number in range(12)}
        for shard in range(shards):
            await store.birth(shard, Birth(END, END, checkpoint.state, checkpoint.hours, parts, inboxes))
        found: Counter[str] = Counter(all=await _used(client) - before)
        async for key in client.scan_iter(f"{store.key(0, '')}*", count=10_000):
            found[key.decode().split(":")[2]] += await client.memory_usage(key, samples=0) or 0
        return found
    finally:
        await client.aclose()


async def _used(client: Redis) -> int:
    info: Any = await client.info("memory")
    return int(info["used_memory_dataset"]) + int(info["used_memory_overhead"]) - int(info["mem_clients_normal"])


def rows(sizes: list[int], url: str) -> Iterator[dict[str, Any]]:
    """For each size, bytes a series in Redis by what they are, and in the worker by part."""
    settings = load_settings(None, {})
    made: dict[int, tuple[Checkpoint, list[tuple[int, bytes]]]] = {}
    for size in sizes:
        shards = max(SHARDS, -(-size // IN_A_SHARD))
        own = size // shards
        if own not in made:
            machine = machine_factory(settings)()
            inboxes = run(machine, Fleet.of(own))
            made[own] = save(machine, all_hours=True), inboxes
            del machine
        checkpoint, inboxes = made[own]
        redis = asyncio.run(in_redis(checkpoint, inboxes, shards, url))
        worker = held_by_part(settings, checkpoint)
        process = resident(checkpoint, inboxes, shards, TICKS)
        named = {key: redis[key] for key in KEYS}
        yield {
            "series": size,
            "shards": shards,
            "redis": round(redis["all"] / (own * shards)),
            "worker": round(sum(worker.values()) / own),
            "resident": round(process["resident"] / (own * shards)),
            "peak": round(process["peak"] / (own * shards)),
            "redis_parts": {name: round(value / own) for name, value in named.items()},
            "worker_parts": {name: round(value / own) for name, value in worker.items()},
        }


def show(found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Print each row as it comes, and hand it on."""
    print("Bytes a series")
    heads = ["shards", "Redis", *KEYS, "worker", *PARTS, "process", "peak"]
    print(f"{'flows':>9}" + "".join(f"{head:>10}" for head in heads))
    for row in found:
        values = [row["shards"], row["redis"], *row["redis_parts"].values(), row["worker"]]
        values += [*row["worker_parts"].values(), row["resident"], row["peak"]]
        print(f"{row['series']:9,}" + "".join(f"{value:10,}" for value in values), flush=True)
        yield row


def plot(found: list[dict[str, Any]], path: Path) -> None:
    """Megabytes against series, in Redis and in the worker's process."""
    sizes = [row["series"] for row in found]
    keys = {"worker, the process": "resident", "worker, what it keeps": "worker", "Redis": "redis"}
    totals = {where: [row[key] * row["series"] / 1e6 for row in found] for where, key in keys.items()}
    lines(path, "What series cost", ("series", "megabytes"), sizes, totals)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("series", type=int, nargs="*", default=list(SIZES), help="how many flows; several may be given")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plot", type=Path, help="draw the growth into this PNG")
    chosen = parser.parse_args()
    with EmbeddedRedis() as server:
        each = rows(chosen.series, server.url)
        found = list(each if chosen.json else show(each))
    if chosen.json:
        print(json.dumps({"bytes_a_series": found}))
    if chosen.plot:
        plot(found, chosen.plot)


if __name__ == "__main__":
    main()
