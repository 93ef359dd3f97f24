"""Reads Midwatch's topics into the page's memory: a consumer of its own, without group and without commits.

A cluster that does not answer is asked again, for ever; how long it has been silent is part of the page's health.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from dashboard.memory import Memory
from schemas.actions import ActionTaken
from schemas.controls import CONTROL
from schemas.feedback import Feedback
from schemas.outputs import Firing, Heartbeat, Verdict
from schemas.words import (
    ACTIONS_TOPIC,
    CONTROLS_TOPIC,
    FEEDBACK_TOPIC,
    FIRINGS_TOPIC,
    HEARTBEATS_TOPIC,
    VERDICTS_TOPIC,
)
from stream.restore import partitions_of
from stream.settings_clients import kafka_options
from stream.settings_sections import KafkaSettings

TOPICS: Final = (VERDICTS_TOPIC, FIRINGS_TOPIC, HEARTBEATS_TOPIC, CONTROLS_TOPIC, FEEDBACK_TOPIC, ACTIONS_TOPIC)
POLL_MS: Final = 500
BATCH: Final = 500
"""Records that are taken in at once, so that viewers are answered in between."""

PROBE_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 3.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.dashboard")

Failures = (KafkaError, OSError, TimeoutError)


class Feed:
    """Keeps a `Memory` up to date."""

    def __init__(self, kafka: KafkaSettings, memory: Memory, clock: Callable[[], float] = time.monotonic) -> None:
        self.caught_up = False
        self._options = {**kafka_options(kafka), "client_id": f"{kafka.client_id}-page"}
        self._memory = memory
        self._clock = clock
        self._silent_since: float | None = clock()
        self._take: Mapping[str, Callable[[bytes], None]] = {
            VERDICTS_TOPIC: lambda value: memory.verdict(Verdict.model_validate_json(value)),
            FIRINGS_TOPIC: lambda value: memory.firings.append(Firing.model_validate_json(value)),
            HEARTBEATS_TOPIC: lambda value: memory.heartbeat(Heartbeat.model_validate_json(value), clock()),
            CONTROLS_TOPIC: lambda value: memory.control(CONTROL.validate_json(value)),
            FEEDBACK_TOPIC: lambda value: memory.feedback(Feedback.model_validate_json(value)),
            ACTIONS_TOPIC: lambda value: memory.action(ActionTaken.model_validate_json(value)),
        }

    @property
    def silent_seconds(self) -> float | None:
        """Seconds since Kafka last answered; None while it does."""
        return None if self._silent_since is None else self._clock() - self._silent_since

    async def run(self) -> None:
        """Read for ever."""
        while True:
            try:
                await self._read()
            except Failures as error:
                self._silent_since = self._silent_since or self._clock()
                log.warning("page_reads_nothing", error=type(error).__name__, detail=str(error))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self) -> None:
        partitions = await partitions_of(TOPICS, self._options)
        if not partitions:
            log.warning("page_finds_no_topics", remedy="midwatch topics create")
            return
        consumer = AIOKafkaConsumer(**self._options, enable_auto_commit=False, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            self._silent_since = None
            await self._follow(consumer, ends)
        finally:
            await consumer.stop()

    async def _follow(self, consumer: Any, ends: dict[TopicPartition, int]) -> None:
        asked = self._clock()
        while True:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH)
            for partition, records in found.items():
                for record in records:
                    self._note(partition.topic, record.value)
            if not self.caught_up:
                self.caught_up = await _reached(consumer, ends)
            await self._memory.wake()
            if self._clock() - asked >= PROBE_SECONDS:
                # A broker that is gone makes no error in a poll: it is asked now and then.
                asked = self._clock()
                async with asyncio.timeout(PROBE_SECONDS):
                    await consumer.end_offsets(list(ends)[:1])
                self._silent_since = None

    def _note(self, topic: str, value: bytes | None) -> None:
        if value is None:
            return
        try:
            self._take[topic](value)
        except ValidationError:
            # Topics can be written by anyone, and by later versions: what cannot be read is not shown.
            log.debug("page_cannot_read", topic=topic)


async def _reached(consumer: Any, ends: dict[TopicPartition, int]) -> bool:
    for partition, end in ends.items():
        if await consumer.position(partition) < end:
            return False
    return True
