"""Records into Kafka, all replicas, within a time and a number of bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from stream.ingest_http.answers import RETRY_SECONDS, Trouble

RECHECK_SECONDS: Final = 5.0
"""How long a topic that is not there is believed not to be there."""

UNAVAILABLE_SECONDS: Final = 5

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.ingest_http")


@dataclass(frozen=True, slots=True)
class OutRecord:
    """What is to be stored. No key: producers may partition as they like, and a hash would only crowd one partition."""

    topic: str
    value: bytes
    headers: Sequence[tuple[str, bytes]] = field(default_factory=tuple)


class Producer(Protocol):
    """What is needed of a Kafka producer with acks=all."""

    async def send(self, topic: str, value: bytes, *, headers: Sequence[tuple[str, bytes]]) -> asyncio.Future[Any]:
        """Hand a record over; what it answers is done once the record is stored."""
        ...


class Writer:
    """Stores records. `exists` says whether a topic is there, so that none is made by accident."""

    def __init__(
        self,
        producer: Producer,
        exists: Callable[[str], Awaitable[bool]],
        max_pending_bytes: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pending = 0
        self._producer = producer
        self._exists = exists
        self._most = max_pending_bytes
        self._seconds = seconds
        self._clock = clock
        self._there: set[str] = set()
        self._missing: dict[str, float] = {}

    async def store(self, records: Sequence[OutRecord]) -> None:
        """Store all of them; returns once they are.

        Raises Trouble: 429 while too much waits already, 503 if Kafka does not take them in time or a topic is not
        there, 413 for a record that the cluster finds too large. Some of the records may be stored even then: whoever
        sends again sends the same ids.
        """
        size = sum(len(record.value) for record in records)
        if self.pending and self.pending + size > self._most:
            raise Trouble(429, "too much waits for Kafka already; send again", retry_after=RETRY_SECONDS)
        self.pending += size
        try:
            async with asyncio.timeout(self._seconds):
                for topic in {record.topic for record in records}:
                    await self._check(topic)
                sent = [await self._producer.send(r.topic, r.value, headers=list(r.headers)) for r in records]
                await asyncio.gather(*sent)
        except MessageSizeTooLargeError:
            raise Trouble(413, "a record is larger than the Kafka topic takes; send less at once") from None
        except (KafkaError, OSError) as error:
            log.warning("not_stored", error=type(error).__name__, detail=str(error))
            raise Trouble(503, "Kafka does not take records; send again", retry_after=UNAVAILABLE_SECONDS) from None
        finally:
            self.pending -= size

    async def _check(self, topic: str) -> None:
        if topic in self._there:
            return
        if self._clock() - self._missing.get(topic, float("-inf")) > RECHECK_SECONDS:
            if await self._exists(topic):
                self._there.add(topic)
                return
            self._missing[topic] = self._clock()
        raise Trouble(503, f"there is no topic {topic}; run: midwatch topics create", retry_after=UNAVAILABLE_SECONDS)
