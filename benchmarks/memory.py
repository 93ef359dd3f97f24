"""What a series costs: bytes in Redis at two hours of minutes and 28 days of hours, and bytes in the worker.

Run it with `python -m benchmarks.memory [SERIES...]`; 1,000 and 10,000 flows if none are given. One shard of flows with
heavy-tailed volumes (median 20 interactions an hour, the busiest thousands) and a day's and a week's season is run
through the machine with all detectors: hour by hour for 28 days, minute by minute for the last two hours. Then its
checkpoint, and what ten more ticks leave in the inboxes, go into a real server, which says the size of each key.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis

from detectors.base import HOURS
from schemas.series import SeriesKey
from stream.assembly import machine_factory
from stream.core.checkpoint import Checkpoint, load, save
from stream.core.deltas import KIND_CODE, Count, Delta, ExemplarRecord, pack
from stream.core.machine import ShardMachine
from stream.embedded import EmbeddedRedis
from stream.settings import Settings, load_settings
from stream.store import Birth, PartitionState, Store

SIZES: Final = (1_000, 10_000)
END: Final = 29_545_920
"""The last tick: the start of an hour."""

MINUTES: Final = 120
OPEN_TICKS: Final = 10
MEDIAN_HOURLY: Final = 20.0
SIGMA: Final = 1.8
ESCALATED: Final = 0.04
SYSTEMS: Final = 50


@dataclass(frozen=True)
class Fleet:
    """Flows of one shard; each is its own kind of busy."""

    keys: list[SeriesKey]
    hourly: NDArray[np.float64]
    rng: np.random.Generator

    @classmethod
    def of(cls, size: int) -> Fleet:
        """A fleet of `size` flows, the same in every run."""
        rng = np.random.default_rng(size)
        keys = [SeriesKey("flow", "production", f"system-{n % SYSTEMS}", (f"flow-{n:05d}",)) for n in range(size)]
        return cls(keys, MEDIAN_HOURLY * rng.lognormal(0.0, SIGMA, size), rng)

    def delta(self, minute: int, minutes: int) -> Delta:
        """What `minutes` minutes bring, all of it put into `minute`."""
        hour = minute // 60
        season = (1.0 + 0.6 * np.sin(2 * np.pi * (hour % 24 - 9) / 24)) * (0.5 if hour // 24 % 7 in (2, 3) else 1.0)
        volume = self.rng.poisson(self.hourly * season * minutes / 60)
        escalated = self.rng.binomial(volume, ESCALATED)
        failed = self.rng.binomial(volume, ESCALATED / 4)
        rows = np.flatnonzero(volume).tolist()
        counts = [
            Count(KIND_CODE["flow"], *self.keys[row][1:], minute, tuple(amounts))
            for row, amounts in zip(rows, np.stack([volume, escalated, failed], 1)[rows].tolist(), strict=True)
        ]
        # Those of past hours would be forgotten by the end.
        shown = rows if minutes == 1 else []
        exemplars = [self._exemplar(row, minute) for row in shown for _ in range(min(int(escalated[row]), 2))]
        return Delta(tuple(counts), tuple(exemplars))

    def _exemplar(self, row: int, minute: int) -> ExemplarRecord:
        name = self.rng.bytes(16).hex()
        where = (KIND_CODE["flow"], *self.keys[row][1:])
        return ExemplarRecord(*where, minute, int(self.rng.integers(2**32)), self.rng.bytes(16).hex(), f"int-{name}")


def run(machine: ShardMachine, fleet: Fleet) -> list[tuple[int, bytes]]:
    """Bring the machine to `END`; the packed deltas of the ticks behind it."""
    start = END - HOURS * 60
    for tick in range(start + 60, END - MINUTES + 1, 60):
        machine.step(tick, [fleet.delta(tick - 1, 60)])
    for tick in range(END - MINUTES + 1, END + 1):
        machine.step(tick, [fleet.delta(tick - 1, 1)])
    return [(END + ahead, pack(fleet.delta(END + ahead - 1, 1))) for ahead in range(1, OPEN_TICKS + 1)]


async def in_redis(checkpoint: Checkpoint, inboxes: list[tuple[int, bytes]], url: str) -> Counter[str]:
    """Bytes in Redis by what they are."""
    client = Redis.from_url(url)
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


def in_worker(settings: Settings, checkpoint: Checkpoint) -> int:
    """Bytes that a machine holds after loading the checkpoint."""
    machine = machine_factory(settings)()
    gc.collect()
    tracemalloc.start()
    load(machine, checkpoint.state, checkpoint.hours)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held


def rows(sizes: list[int], url: str) -> Iterator[tuple[int, Counter[str], int]]:
    """For each size: flows, bytes in Redis by what they are, bytes in the worker."""
    settings = load_settings(None, {})
    for size in sizes:
        machine = machine_factory(settings)()
        inboxes = run(machine, Fleet.of(size))
        checkpoint = save(machine, all_hours=True)
        active = len(machine.windows["flow"])
        del machine
        yield active, asyncio.run(in_redis(checkpoint, inboxes, url)), in_worker(settings, checkpoint)


def main() -> None:
    """Measure and print, in bytes for each flow series."""
    names = ("state", "hour", "in", "rest")
    print(f"{'flows':>7}{'Redis':>8}" + "".join(f"{name:>8}" for name in names) + f"{'worker':>9}   bytes a series")
    with EmbeddedRedis() as server:
        for size, found, held in rows([int(word) for word in sys.argv[1:]] or list(SIZES), server.url):
            shown = [found[name] for name in names[:-1]]
            shown.append(found.total() - sum(shown))
            figures = "".join(f"{value / size:8.0f}" for value in shown)
            print(f"{size:7,}{found.total() / size:8.0f}{figures}{held / size:9.0f}")


if __name__ == "__main__":
    main()
