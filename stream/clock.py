"""The engine's clock: Redis's, carried on between two looks at it by the process's own monotonic clock.

In a silence it is the clock that moves event time, and it bounds how far in the future an event may lie. Each worker's
own wall clock would make both a matter of who holds a partition, and one that is an hour ahead would seal an hour of
ticks that have yet to happen. All workers of an engine ask the same Redis, so they agree, whatever happens to theirs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

SYNC_SECONDS: Final = 10.0
WRONG_MS: Final = 60_000
"""How far a worker's own wall clock may be off before it is said."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.clock")

RedisTime = Callable[[], Awaitable[Any]]
"""Answers (seconds, microseconds); a cluster's client answers that for each node."""


def wall_ms() -> int:
    """The process's own wall clock, in ms since 1970-01-01 UTC. The only place of the engine that asks for it."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> float:
    """A clock that never jumps, in ms since any moment."""
    return time.monotonic() * 1000


class EngineClock:
    """Milliseconds since 1970-01-01 UTC, as Redis counts them. Until the first `sync` it is the process's own."""

    def __init__(
        self,
        ask: RedisTime,
        own_ms: Callable[[], int] = wall_ms,
        steady_ms: Callable[[], float] = monotonic_ms,
    ) -> None:
        self._ask = ask
        self._own_ms = own_ms
        self._steady_ms = steady_ms
        self._base_ms = own_ms() - steady_ms()
        self._said = False

    def now_ms(self) -> int:
        """The time."""
        return round(self._base_ms + self._steady_ms())

    async def sync(self) -> None:
        """Look at Redis's clock. Raises RedisError or OSError."""
        before = self._steady_ms()
        answer = await self._ask()
        after = self._steady_ms()
        self._base_ms = _ms_of(answer) - (before + after) / 2
        off = self._own_ms() - self.now_ms()
        if abs(off) > WRONG_MS and not self._said:
            log.warning("clock_is_off", seconds=round(off / 1000), detail="Redis's clock is used; is NTP running here?")
        self._said = abs(off) > WRONG_MS

    async def keep(self, stop: asyncio.Event) -> None:
        """Look again and again until `stop`; while Redis does not answer, the last look is carried on."""
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), SYNC_SECONDS)
            except TimeoutError:
                try:
                    await self.sync()
                except (RedisError, OSError) as error:
                    log.debug("clock_not_synced", error=type(error).__name__)


def _ms_of(answer: Any) -> float:
    """The time that Redis told; of several nodes the one in the middle."""
    times = list(answer.values()) if isinstance(answer, dict) else [answer]
    told = sorted(int(seconds) * 1000 + int(micro) / 1000 for seconds, micro in times)
    return told[len(told) // 2]
