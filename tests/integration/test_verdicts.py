"""Reading the verdicts: all that stands there in order, then what comes."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.canonical import canonical_json
from schemas.outputs import Verdict
from stream import verdicts
from stream.settings import load_settings
from stream.settings_clients import kafka_options
from stream.settings_sections import KafkaSettings
from stream.verdicts import VerdictsMissing, follow
from tests.unit.test_cli_verdicts_text import example


def numbered(number: int) -> Verdict:
    base = example()
    return base.model_copy(update={"revision": number, "decided_at": base.decided_at + timedelta(minutes=number)})


@pytest.fixture
async def topic(kafka: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KafkaSettings]:
    """A verdict topic of this test's own, with three partitions."""
    settings = load_settings(None, {"MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap}).kafka
    name = f"verdicts.{uuid.uuid4().hex}"
    monkeypatch.setattr(verdicts, "TOPIC", name)
    admin = AIOKafkaAdminClient(**kafka_options(settings))
    await admin.start()
    await admin.create_topics([NewTopic(name, 3, 1)])
    yield settings
    await admin.close()


@pytest.fixture
async def producer(topic: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer for that topic."""
    client = AIOKafkaProducer(**kafka_options(topic))
    await client.start()
    yield client
    await client.stop()


async def publish(producer: AIOKafkaProducer, value: bytes, partition: int) -> None:
    await producer.send_and_wait(verdicts.TOPIC, value, partition=partition)


async def test_history_is_in_order_of_decision(topic: KafkaSettings, producer: AIOKafkaProducer) -> None:
    """All partitions are read from their beginning, sorted by time, and the reading ends; bytes are untouched."""
    for number, partition in [(3, 0), (1, 1), (2, 2), (0, 1)]:
        await publish(producer, canonical_json(numbered(number)), partition)
    found = [one async for one in follow(topic, keep_on=False)]
    assert [json.loads(one.value)["revision"] for one in found] == [0, 1, 2, 3]
    assert [one.verdict for one in found] == [numbered(number) for number in range(4)]


async def test_an_empty_topic_ends_at_once(topic: KafkaSettings) -> None:
    """Without verdicts there is nothing to wait for."""
    assert [one async for one in follow(topic, keep_on=False)] == []


async def test_what_is_no_verdict_is_passed_on_as_such(topic: KafkaSettings, producer: AIOKafkaProducer) -> None:
    """A foreign record does not end the reading; its place is known."""
    await publish(producer, b"\xff not json", 1)
    await publish(producer, canonical_json(numbered(1)), 1)
    found = [one async for one in follow(topic, keep_on=False)]
    assert [one.verdict is None for one in found] == [True, False]
    assert found[0].place == f"{verdicts.TOPIC}/1/0"


async def test_following_goes_on(topic: KafkaSettings, producer: AIOKafkaProducer) -> None:
    """With keep_on the reading yields the old, then each new verdict as it comes."""
    await publish(producer, canonical_json(numbered(0)), 0)
    reading = follow(topic, keep_on=True)
    async with asyncio.timeout(30):
        first = await anext(reading)
        await publish(producer, canonical_json(numbered(1)), 2)
        second = await anext(reading)
    await reading.aclose()  # type: ignore[attr-defined]
    assert [one.verdict.revision for one in (first, second) if one.verdict is not None] == [0, 1]


async def test_no_topic(kafka: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing topic is said, with what to do."""
    monkeypatch.setattr(verdicts, "TOPIC", f"none.{uuid.uuid4().hex}")
    settings = load_settings(None, {"MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap}).kafka
    with pytest.raises(VerdictsMissing, match="topics create"):
        _ = [one async for one in follow(settings, keep_on=False)]
