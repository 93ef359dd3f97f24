"""Reading `midwatch.verdicts`: all that stands there, then, if wanted, what comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import ValidationError

from schemas.outputs import Verdict
from schemas.words import VERDICTS_TOPIC
from stream.settings_clients import kafka_options
from stream.settings_sections import KafkaSettings

TOPIC = VERDICTS_TOPIC
BATCH_MS = 500


class VerdictsMissing(RuntimeError):
    """The topic is not there."""


@dataclass(frozen=True, slots=True)
class Published:
    """One record of the topic. `verdict` is None where the value is no verdict that this version can read."""

    value: bytes
    place: str
    verdict: Verdict | None


async def follow(kafka: KafkaSettings, *, keep_on: bool) -> AsyncIterator[Published]:
    """The verdicts from the first on, in the order they were decided; with `keep_on` also those that come, for ever.

    Needs no consumer group and commits nothing, so any number of readers may look. Raises VerdictsMissing, or
    aiokafka's KafkaError when the cluster does not answer.
    """
    partitions = await _partitions(kafka)
    consumer = AIOKafkaConsumer(**kafka_options(kafka), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        for published in await _history(consumer, ends):
            yield published
        while keep_on:
            for records in (await consumer.getmany(timeout_ms=BATCH_MS)).values():
                for record in records:
                    yield _published(record)
    finally:
        await consumer.stop()


async def _partitions(kafka: KafkaSettings) -> list[TopicPartition]:
    """Every partition of the topic."""
    # The consumer's own answer is empty until it has subscribed; the cluster's metadata are not.
    admin = AIOKafkaAdminClient(**kafka_options(kafka))
    try:
        await admin.start()
        found = [one for one in await admin.describe_topics() if one["topic"] == TOPIC]
    finally:
        await admin.close()
    if not found:
        raise VerdictsMissing(f"there is no topic {TOPIC}; run: midwatch topics create")
    return [
        TopicPartition(TOPIC, number) for number in sorted(one["partition"] for one in found[0]["partitions"])
    ]


async def _history(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> list[Published]:
    found: list[Published] = []
    while True:
        positions = {partition: await consumer.position(partition) for partition in ends}
        if all(positions[partition] >= end for partition, end in ends.items()):
            return sorted(found, key=_decided)
        for records in (await consumer.getmany(timeout_ms=BATCH_MS)).values():
            found.extend(_published(record) for record in records if record.value is not None)


def _decided(published: Published) -> tuple[float, str, int, str]:
    verdict = published.verdict
    if verdict is None:
        return (0.0, "", 0, published.place)
    return (verdict.decided_at.timestamp(), verdict.incident_id, verdict.revision, published.place)


def _published(record: ConsumerRecord) -> Published:
    value: bytes = record.value or b""
    try:
        verdict = Verdict.model_validate_json(value)
    except ValidationError:
        verdict = None
    return Published(value, f"{record.topic}/{record.partition}/{record.offset}", verdict)
