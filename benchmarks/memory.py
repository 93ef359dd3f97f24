"""What a series costs: bytes in Redis at two hours of minutes and 28 days of hours, and bytes in the worker.

`python -m benchmarks.memory [SERIES...] [--json] [--plot FILE.png]`; 1,000 and 10,000 flows if none are given. One
shard of flows with heavy-tailed volumes (median 20 interactions an hour, the busiest thousands) and a day's and a
week's season is run through the machine with all detectors: hour by hour for 28 days, minute by minute for the last two
hours (from 5,000 flows on, detectors watch the last ticks only). Then its checkpoint, and what ten more ticks leave in
the inboxes, go into a real server, which says the size of each key; and a machine that loads the checkpoint is taken
apart, and each part asked what it held.
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

from benchmarks.memory_fleet import END, Fleet, run, run_quickly
from benchmarks.memory_worker import PARTS, held_by_part
from benchmarks.pictures import lines
from stream.assembly import machine_factory
from stream.core.checkpoint import Checkpoint, save
from stream.embedded import EmbeddedRedis
from stream.settings import load_settings
from stream.store import Birth, PartitionState, Store

SIZES: Final = (1_000, 10_000)
QUICK: Final = 5_000
KEYS: Final = ("state", "hour", "in")


async def in_redis(checkpoint: Checkpoint, inboxes: list[tuple[int, bytes]], url: str) -> Counter[str]:
    """Bytes in Redis by what they are."""
    client = Redis.from_url(url, socket_timeout=300)
    try:
        store = Store(client, "memory", 1)
        await client.delete(*([key async for key in client.scan_iter("{memory:*")] or [b"none"]))
        parts = {f"agent.interactions/{number}": PartitionState(10**9, END * 60_000) for number in range(12)}
        await store.birth(0, Birth(END, END, checkpoint.state, checkpoint.hours, parts, inboxes))
        found: Counter[str] = Counter()
        async for key in client.scan_iter("{memory:*", count=1000):
            found[key.decode().split(":")[2]] += await client.memory_usage(key, samples=0) or 0
        return found
    finally:
        await client.aclose()


def rows(sizes: list[int], url: str) -> Iterator[dict[str, Any]]:
    """For each size, bytes a series in Redis by what they are, and in the worker by part."""
    settings = load_settings(None, {})
    for size in sizes:
        machine = machine_factory(settings)()
        inboxes = (run_quickly if size >= QUICK else run)(machine, Fleet.of(size))
        checkpoint = save(machine, all_hours=True)
        del machine
        redis = asyncio.run(in_redis(checkpoint, inboxes, url))
        worker = held_by_part(settings, checkpoint)
        named = {key: redis[key] for key in KEYS} | {"rest": redis.total() - sum(redis[key] for key in KEYS)}
        yield {
            "series": size,
            "redis": round(redis.total() / size),
            "worker": round(sum(worker.values()) / size),
            "redis_parts": {name: round(value / size) for name, value in named.items()},
            "worker_parts": {name: round(value / size) for name, value in worker.items()},
        }


def show(found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Print each row as it comes, and hand it on."""
    print("Bytes a series")
    heads = ["Redis", *KEYS, "rest", "worker", *PARTS]
    print(f"{'flows':>9}" + "".join(f"{head:>10}" for head in heads))
    for row in found:
        values = [row["redis"], *row["redis_parts"].values(), row["worker"], *row["worker_parts"].values()]
        print(f"{row['series']:9,}" + "".join(f"{value:10,}" for value in values), flush=True)
        yield row


def plot(found: list[dict[str, Any]], path: Path) -> None:
    """Megabytes against series, in Redis and in the worker."""
    sizes = [row["series"] for row in found]
    keys = {"Redis": "redis", "worker": "worker"}
    totals = {where: [row[key] * row["series"] / 1e6 for row in found] for where, key in keys.items()}
    lines(path, "What a series costs", ("series", "megabytes"), sizes, totals)


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
