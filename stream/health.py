"""Whether Kafka and Redis answer: asked beside the work, so that a silence is noticed when nothing else is due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

PROBE_SECONDS: Final = 2.0
PROBE_TIMEOUT_SECONDS: Final = 5.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.health")


class Contact:
    """One server: whether it answered the last time, and how long it has been silent.

    `ask` is any question to it; an exception, the answer False or none within `timeout` seconds is a silence. It counts
    as having answered when this is made, since whoever makes it is connected.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[object]],
        clock: Callable[[], float],
        timeout: float = PROBE_TIMEOUT_SECONDS,
    ) -> None:
        self.up = True
        self.answers = 0
        self._ask = ask
        self._clock = clock
        self._timeout = timeout
        self._answered = clock()

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last answer."""
        return self._clock() - self._answered

    async def probe(self) -> bool:
        """Ask once; whether an answer came. Raises nothing."""
        try:
            async with asyncio.timeout(self._timeout):
                self.up = await self._ask() is not False
        except Exception as error:  # noqa: BLE001  # whatever goes wrong, it is no answer
            log.debug("no_answer", error=type(error).__name__, detail=str(error))
            self.up = False
        if self.up:
            self.answers += 1
            self._answered = self._clock()
        return self.up

    async def keep(self, stop: asyncio.Event) -> None:
        """Ask again and again until `stop` is set."""
        while not stop.is_set():
            await self.probe()
            try:
                await asyncio.wait_for(stop.wait(), PROBE_SECONDS)
            except TimeoutError:
                continue


Contacts = Mapping[str, Contact]


def silences(contacts: Contacts) -> dict[str, Any]:
    """Seconds of silence by name, for the status pages."""
    return {f"{name}_silent_seconds": round(contacts[name].silent_seconds, 1) for name in sorted(contacts)}
