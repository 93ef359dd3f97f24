"""A call made again while that makes sense, within a deadline: growing pauses with jitter, or the provider's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from evaluation.calls import CallFailed

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 16.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retrying:
    """How often and how long. `chance` gives numbers in [0, 1); `note` is told of every failure."""

    attempts: int
    chance: Callable[[], float]
    note: Callable[[CallFailed], None]
    first_seconds: float = FIRST_SECONDS

    async def __call__(self, call: Callable[[], Awaitable[T]], deadline: float) -> T:
        """What `call` returns. Raises the last `CallFailed`.

        `deadline` is a time of the running loop. A pause that would end after it is not begun: the failure that is
        known says more than the time-out it would become.
        """
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await call()
            except TimeoutError:
                failure = CallFailed("timeout", "deadline")
            except CallFailed as error:
                failure = error
            self.note(failure)
            attempt += 1
            pause = self.pause(attempt, failure.wait_seconds)
            if not failure.again or attempt >= self.attempts or loop.time() + pause >= deadline:
                raise failure
            await asyncio.sleep(pause)

    def pause(self, attempt: int, asked: float | None) -> float:
        """Seconds before the next attempt: full jitter below a doubling bound, on top of what the provider asks."""
        bound = min(self.first_seconds * 2.0 ** (attempt - 1), LONGEST_SECONDS)
        jitter = bound * self.chance()
        return jitter if asked is None else asked + min(jitter, 1.0)
