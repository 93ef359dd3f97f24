"""How each sink stands, as Kafka knows it: how much waits, when it last delivered, whether it fails.

The delivery process leaves a note beside the offsets that it commits, so this works from any machine, without it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.words import VERDICTS_TOPIC
from stream.settings import Settings
from stream.settings_clients import kafka_options
from stream.settings_sinks import sinks_of
from stream.sinks.reader import group_of
from stream.sinks.registry import build
from stream.verdicts import VerdictsMissing

TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class SinkLine:
    """One sink. `lag` is None before its first start; `last` is RFC 3339, `failing` what is wrong, both of the note."""

    name: str
    kind: str
    destination: str
    lag: int | None
    last: str | None
    failing: str | None


async def list_sinks(settings: Settings) -> list[SinkLine]:
    """Every enabled sink. Raises KafkaError, VerdictsMissing, TimeoutError, ValueError."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        options = kafka_options(settings.kafka)
        admin = AIOKafkaAdminClient(**options)
        consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
        try:
            await admin.start()
            await consumer.start()
            topics = await admin.describe_topics([VERDICTS_TOPIC])
            numbers = [one["partition"] for topic in topics for one in topic["partitions"]]
            if not numbers:
                raise VerdictsMissing(f"there is no topic {VERDICTS_TOPIC}; run: midwatch topics create")
            ends = await consumer.end_offsets([TopicPartition(VERDICTS_TOPIC, number) for number in numbers])
            return [
                await _line(settings, admin, name, section, ends) for name, section in sinks_of(settings.sinks).items()
            ]
        finally:
            await consumer.stop()
            await admin.close()


async def _line(
    settings: Settings, admin: AIOKafkaAdminClient, name: str, section: Any, ends: dict[TopicPartition, int]
) -> SinkLine:
    sink = build(section)
    try:
        destination = sink.destination
    finally:
        await sink.close()
    offsets = await admin.list_consumer_group_offsets(group_of(settings.kafka, name), partitions=list(ends))
    known = {one: found for one, found in offsets.items() if found.offset >= 0}
    lag = sum(max(0, ends[one] - found.offset) for one, found in known.items()) if known else None
    notes = [_note(found.metadata) for found in known.values()]
    newest = max(notes, key=lambda one: one.get("at", ""), default={})
    failing = next((one["failing"] for one in notes if "failing" in one), None)
    return SinkLine(name, section.kind, destination, lag, newest.get("at"), failing)


def _note(metadata: str | None) -> dict[str, str]:
    try:
        found = json.loads(metadata or "{}")
    except ValueError:
        return {}
    return {key: str(value) for key, value in found.items()} if isinstance(found, dict) else {}
