"""Usage from Kafka: every input topic, from a time on to its present end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from stream.adapters import Decoder, Usage
from stream.chargeback_read import ANY_TIME, UsageFileError, UsageRead
from stream.restore import READ_TIMEOUT_MS, partitions_of
from stream.settings import Settings
from stream.settings_clients import kafka_options

BATCH_RECORDS: Final = 5000
SILENT_POLLS: Final = 30
"""Answers without a record after which Kafka counts as silent; each is waited for `READ_TIMEOUT_MS`."""


async def read_since(settings: Settings, since_ms: int, take: Callable[[Usage], None]) -> UsageRead:
    """Hand every usage event since a time to `take`; joins no consumer group and commits nothing.

    A record may be older than its event, by `engine.max_future_seconds` at most: reading starts that much earlier, so
    some events are of before that time. In the answer, `cut` counts the partitions of which Kafka no longer has the
    beginning.
    Raises UsageFileError if there is no topic to read or if Kafka falls silent, KafkaError.
    """
    kafka = kafka_options(settings.kafka)
    partitions = await partitions_of(settings.kafka.input_topics, kafka)
    if not partitions:
        raise UsageFileError(f"there is none of the topics {', '.join(settings.kafka.input_topics)}")
    found, decoder = UsageRead(place="offset"), Decoder(ANY_TIME, otlp=settings.otlp.reader())
    consumer = AIOKafkaConsumer(**kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found.cut = await _seek(consumer, partitions, since_ms - settings.engine.max_future_seconds * 1000)
        waiting = {tp for tp in partitions if await consumer.position(tp) < ends[tp]}
        silent = 0
        while waiting:
            batches = await consumer.getmany(*waiting, timeout_ms=READ_TIMEOUT_MS, max_records=BATCH_RECORDS)
            for tp, records in batches.items():
                _take(tp, [one for one in records if one.offset < ends[tp]], decoder, found, take)
            waiting = {tp for tp in waiting if await consumer.position(tp) < ends[tp]}
            silent = 0 if batches else silent + 1
            if waiting and silent >= SILENT_POLLS:
                where = ", ".join(sorted(f"{tp.topic}/{tp.partition}" for tp in waiting))
                raise UsageFileError(f"Kafka gave no record of {where} for {SILENT_POLLS * READ_TIMEOUT_MS // 1000} s")
        return found
    finally:
        await consumer.stop()


async def _seek(consumer: AIOKafkaConsumer, partitions: list[TopicPartition], since_ms: int) -> int:
    """Go to the first record since a time in each partition; how many of them begin later than that."""
    begins = await consumer.beginning_offsets(partitions)
    starts = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    cut = 0
    for tp in partitions:
        start = starts.get(tp)
        if start is None:
            await consumer.seek_to_end(tp)
            continue
        consumer.seek(tp, start.offset)
        cut += start.offset == begins[tp] > 0
    return cut


def _take(
    tp: TopicPartition, records: list[ConsumerRecord], decoder: Decoder, found: UsageRead, take: Callable[[Usage], None]
) -> None:
    decoded = decoder.decode_batch([(record.value, record.headers, record.timestamp) for record in records])
    found.take(decoded, [record.offset for record in records], f"{tp.topic}/{tp.partition}", take)
