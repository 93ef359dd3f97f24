"""The newest events of a topic, read beside everything else and at a capped rate, without group and without commits.

What comes faster is skipped unread, the oldest first, so that the cost does not grow with the traffic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from dashboard.feed import AGAIN_SECONDS, Failures
from schemas.words import TOPIC_OF_TYPE, EventType
from stream.adapters import Decoder, Limits
from stream.restore import partitions_of
from stream.settings_clients import kafka_options
from stream.settings_sections import KafkaSettings

RECORDS: Final = 200
"""Records that are read in a second, over all partitions."""

FETCH_BYTES: Final = 262_144

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.dashboard")


class Tail:
    """Gives what it decodes to `take`, which looks for its own.

    With `backwards` it begins with the newest records that are there already.
    """

    def __init__(
        self, kafka: KafkaSettings, kind: EventType, take: Callable[[object], None], *, backwards: bool = False
    ) -> None:
        # Where another topic carries these events, they are found there: any type may come on any topic.
        usual = TOPIC_OF_TYPE[kind]
        self._topics = (usual,) if usual in kafka.input_topics else kafka.input_topics
        self._options = {**kafka_options(kafka), "client_id": f"{kafka.client_id}-page-{kind}"}
        self._decoder = Decoder(Limits(max_future_ms=None, max_age_ms=None))
        self._kind = kind
        self._take = take
        self._backwards = backwards

    async def run(self) -> None:
        """Read for ever."""
        while True:
            try:
                await self._follow()
            except Failures as error:
                log.debug("page_samples_nothing", of=self._kind, error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _follow(self) -> None:
        partitions = await partitions_of(self._topics, self._options)
        if not partitions:
            return
        consumer = AIOKafkaConsumer(
            **self._options,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            each = max(RECORDS // len(partitions), 1)
            if self._backwards:
                await consumer.seek_to_beginning(*partitions)
            await _skip(consumer, partitions, each)
            while True:
                found = await consumer.getmany(timeout_ms=1000, max_records=RECORDS)
                self.decode(record.value for records in found.values() for record in records if record.value)
                await asyncio.sleep(1.0)
                await _skip(consumer, partitions, each)
        finally:
            await consumer.stop()

    def decode(self, values: Iterable[bytes]) -> None:
        """Hand on the events among some records, of whatever type; what cannot be read is passed over."""
        for event in self._decoder.decode_batch([(value, (), 0) for value in values]).events:
            self._take(event)


async def _skip(consumer: Any, partitions: list[TopicPartition], each: int) -> None:
    """Go on with the newest records where more have come than are read in a second."""
    ends = await consumer.end_offsets(partitions)
    for partition, end in ends.items():
        if end - await consumer.position(partition) > each:
            consumer.seek(partition, end - each)
