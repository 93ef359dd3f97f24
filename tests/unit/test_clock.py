"""One clock for all workers: Redis's, whatever a worker's own does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from stream import clock as module
from stream.clock import EngineClock

HOUR_MS = 3_600_000
NOW_MS = 1_767_607_200_000


class Clocks:
    """Redis's clock, and two of a process: one that never jumps, one that is `off_ms` wrong."""

    def __init__(self, off_ms: int = 0) -> None:
        self.passed_ms = 0.0
        self.off_ms = off_ms
        self.down = False
        self.engine = EngineClock(self.redis, lambda: NOW_MS + round(self.passed_ms) + self.off_ms, self.steady)

    def steady(self) -> float:
        return 5_000 + self.passed_ms

    async def redis(self) -> Any:
        if self.down:
            raise RedisConnectionError("away")
        self.passed_ms += 4  # The question takes as long as the answer: two milliseconds each.
        whole = NOW_MS + round(self.passed_ms) - 2
        return whole // 1000, whole % 1000 * 1000


async def test_a_wrong_wall_clock_does_not_matter() -> None:
    """Whichever way and whenever a worker's clock is off, the engine's is Redis's, to the way of the answer."""
    for off in (-HOUR_MS, 0, HOUR_MS):
        clocks = Clocks(off)
        await clocks.engine.sync()
        assert clocks.engine.now_ms() == NOW_MS + 4
        clocks.off_ms += HOUR_MS
        clocks.passed_ms += 1000
        assert clocks.engine.now_ms() == NOW_MS + 1004


async def test_it_goes_on_while_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last look is carried on; when Redis is back it is looked at again."""
    monkeypatch.setattr(module, "SYNC_SECONDS", 0.0)
    clocks, stop, asked = Clocks(), asyncio.Event(), asyncio.Event()
    await clocks.engine.sync()
    clocks.down = True
    told = clocks.redis

    async def tell() -> Any:
        asked.set()
        return await told()

    clocks.engine._ask = tell
    keeping = asyncio.create_task(clocks.engine.keep(stop))
    await asked.wait()
    clocks.passed_ms += 60_000
    assert clocks.engine.now_ms() == NOW_MS + 60_004
    clocks.down = False
    asked.clear()
    await asked.wait()
    stop.set()
    await keeping
    assert clocks.engine.now_ms() >= NOW_MS + 60_004


async def test_of_a_clusters_nodes_the_middle_one_counts() -> None:
    """A cluster's client tells the time of each node, of which one may be wrong."""

    async def tell() -> dict[str, tuple[int, int]]:
        return {"a": (1_000, 0), "b": (NOW_MS // 1000, 250_000), "c": (NOW_MS // 1000 + 1, 0)}

    clock = EngineClock(tell, lambda: NOW_MS, lambda: 0.0)
    await clock.sync()
    assert clock.now_ms() == NOW_MS + 250
