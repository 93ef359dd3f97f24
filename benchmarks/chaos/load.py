"""The producer: slice after slice at a steady pace, each stored before the next begins.

That no slice begins before the last one is stored is what makes a golden run possible: no partition is ever behind
another by more than a slice, so nothing hangs on who looked when (decision 3 of `docs/adr`). Where the broker is away
the producer waits and sends again; what comes twice by that is counted as often as it stands on the topic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from benchmarks.chaos.traffic import SLICE_MS, Fleet, Sent

RETRY_SECONDS = 0.5


class Load:
    """Sends a fleet's telemetry to a broker.

    Args:
        fleet: what is sent.
        bootstrap: where to; not through the proxies, for a producer's troubles are not the engine's.
        speed: event time to real time.
    """

    def __init__(self, fleet: Fleet, bootstrap: str, speed: float) -> None:
        self.fleet = fleet
        self.slice = 0
        self.records = 0
        self.resent = 0
        self.behind_seconds = 0.0
        self._bootstrap = bootstrap
        self._pause = SLICE_MS / 1000 / speed
        self._producer: AIOKafkaProducer | None = None

    async def prefill(self, slices: int) -> None:
        """Send the first slices without a pause."""
        while self.slice < slices:
            await self._next()

    async def run(self, stop: asyncio.Event) -> None:
        """Send slice after slice at the pace, until `stop` is set. A pace that was lost to a fault is made up for."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            await self._next()
            due += self._pause
            self.behind_seconds = max(loop.time() - due, 0.0)
            await asyncio.sleep(max(due - loop.time(), 0))

    async def close(self, minutes: int) -> None:
        """Say good-bye some minutes later on every partition, so that all that was sent becomes visible."""
        self.slice += minutes * 60_000 // SLICE_MS
        await self._store(list(self.fleet.closing(self.slice)))
        await self._stop_producer()

    async def _next(self) -> None:
        await self._store(list(self.fleet.records(self.slice)))
        self.slice += 1

    async def _store(self, records: list[Sent]) -> None:
        """Send until every record is stored."""
        waiting = records
        while waiting:
            try:
                waiting = await self._send(waiting)
            except (KafkaError, OSError):
                await self._stop_producer()
            if waiting:
                self.resent += len(waiting)
                await asyncio.sleep(RETRY_SECONDS)
        self.records += len(records)

    async def _send(self, records: Iterable[Sent]) -> list[Sent]:
        """Send records; those that could not be stored."""
        producer = await self._started()
        sent = [
            (r, await producer.send(r.topic, r.value, partition=r.partition, timestamp_ms=r.ms)) for r in records
        ]
        answers = await asyncio.gather(*(future for _, future in sent), return_exceptions=True)
        return [record for (record, _), answer in zip(sent, answers, strict=True) if isinstance(answer, BaseException)]

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True, linger_ms=2
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _stop_producer(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()
