"""`midwatch.actions` as the subscriber's memory: read to its end, written to, and read back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from pydantic import BaseModel, ValidationError

from schemas.actions import ActionTaken
from schemas.canonical import canonical_json
from schemas.words import ACTIONS_TOPIC
from stream.publish import Publisher
from stream.restore import partitions_of
from stream.rollback.ledger import Ledger

READ_MS: Final = 200
APPEND_SECONDS: Final = 60.0
"""Longest time until a step that was written can be read back."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.rollback")


class JournalError(RuntimeError):
    """The topic cannot be what it must be; the message says why."""


class Journal(Protocol):
    """Where the steps are: what the subscriber needs of it."""

    @property
    def ledger(self) -> Ledger:
        """All steps so far."""
        ...

    async def append(self, step: ActionTaken) -> str | None:
        """Write a step; None if it counts (`Ledger.apply`), once it does, else why not."""
        ...


class KafkaJournal:
    """The topic itself. It has one partition, whose order all subscribers see alike."""

    def __init__(self, kafka: dict[str, Any], ledger: Ledger, wall_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self._kafka = kafka
        self._tp = TopicPartition(ACTIONS_TOPIC, 0)
        self._producer = AIOKafkaProducer(**kafka, acks="all", enable_idempotence=True)
        self._publisher = Publisher(self._producer, wall_ms)
        self._consumer = AIOKafkaConsumer(**kafka, enable_auto_commit=False, auto_offset_reset="earliest")
        self._granted: dict[int, str | None] = {}

    @property
    def ledger(self) -> Ledger:
        """All steps so far."""
        return self._ledger

    async def start(self) -> None:
        """Begin at its beginning. Raises JournalError if it is not there, or not of one partition; KafkaError."""
        partitions = await partitions_of([ACTIONS_TOPIC], self._kafka)
        if not partitions:
            raise JournalError(f"there is no topic {ACTIONS_TOPIC}; run: midwatch topics create")
        if partitions != [self._tp]:
            raise JournalError(
                f"{ACTIONS_TOPIC} has {len(partitions)} partitions; it must have one, whose order decides who acts"
            )
        await self._producer.start()
        await self._consumer.start()
        self._consumer.assign([self._tp])
        await self._consumer.seek_to_beginning(self._tp)

    async def stop(self) -> None:
        """Let go of the clients."""
        await self._producer.stop()
        await self._consumer.stop()

    async def catch_up(self) -> None:
        """Take in all that was written before this call. Raises KafkaError."""
        end = (await self._consumer.end_offsets([self._tp]))[self._tp]
        while await self._consumer.position(self._tp) < end:
            await self._read()

    async def append(self, step: ActionTaken) -> str | None:
        """Write a step and read up to it: None if it counts, else why not. Raises TimeoutError, KafkaError."""
        async with asyncio.timeout(APPEND_SECONDS):
            stored: Any = await (await self._publisher.action(step))
            while await self._consumer.position(self._tp) <= stored.offset:
                await self._read(keep=stored.offset)
        return self._granted.pop(stored.offset)

    async def send(self, topic: str, key: str, value: BaseModel) -> None:
        """Write a record of another topic; returns once it is stored."""
        await self._producer.send_and_wait(topic, canonical_json(value), key=key.encode())

    async def _read(self, keep: int | None = None) -> None:
        for record in (await self._consumer.getmany(self._tp, timeout_ms=READ_MS)).get(self._tp, []):
            found = self._take(record)
            if record.offset == keep:
                self._granted[record.offset] = found

    def _take(self, record: ConsumerRecord) -> str | None:
        try:
            step = ActionTaken.model_validate_json(record.value or b"")
        except ValidationError:
            log.warning("no_action", topic=record.topic, offset=record.offset)
            return "unreadable"
        return self._ledger.apply(step)
