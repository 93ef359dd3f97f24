"""How a worker's two halves share its event loop.

Reading can take all there is: it always has the next batch. Evaluation has work only now and then, in short steps
between answers of Redis and Kafka, and somebody waits for what comes of it. So whoever reads gives way after a stretch,
not for one turn of the loop, but for as long as evaluation has something to do, up to a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

GIVEN: Final = 2.0
"""So many times as long as was read, at the most: with evaluation at work, reading is left with a third at worst."""

URGENT_GIVEN: Final = 6.0
"""The same while somebody waits for a tick: a seventh."""

IDLE_SECONDS: Final = 0.001
"""After so long in which nothing was done, evaluation waits for a server, and reading goes on meanwhile."""

URGENT_IDLE_SECONDS: Final = 0.01
"""The same while somebody waits for a tick: an answer that comes at once is not kept waiting by a batch."""

WORK_SECONDS: Final = 0.0002
"""A turn of the loop that took longer had work in it."""


class Share:
    """One a worker. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now
        self._working = self._urgent = 0

    @contextmanager
    def working(self, *, urgent: bool = False) -> Iterator[None]:
        """Around what evaluation has to do; urgent, if somebody waits for it."""
        self._working += 1
        self._urgent += urgent
        try:
            yield
        finally:
            self._working -= 1
            self._urgent -= urgent

    async def give_way(self, read_seconds: float) -> None:
        """Let others on the event loop have their turns; evaluation, if it has work, as many as it needs.

        At the most some times as long as `read_seconds`, which were taken since the last time.
        """
        now = self._now or asyncio.get_running_loop().time
        begun = busy = before = now()
        await asyncio.sleep(0)
        while self._working:
            after = now()
            if after - before > WORK_SECONDS:
                busy = after
            idle, given = (URGENT_IDLE_SECONDS, URGENT_GIVEN) if self._urgent else (IDLE_SECONDS, GIVEN)
            if after - begun >= given * read_seconds or after - busy >= idle:
                return
            before = after
            await asyncio.sleep(0)
