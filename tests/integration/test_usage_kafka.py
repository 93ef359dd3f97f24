"""Chargeback and comparisons from Kafka: a stretch of time of all input topics, each event once."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from typer.testing import CliRunner

from costs.months import Month
from stream.adapters import Usage
from stream.chargeback_kafka import read_kafka
from stream.chargeback_read import UsageFileError
from stream.cli import app
from stream.settings import Settings, load_settings
from stream.settings_clients import kafka_options

OCTOBER = Month.parse("2026-10")
HOUR = 3_600_000


@dataclass
class Place:
    """Two topics of this test's own, with two partitions each, and a producer for them."""

    environ: dict[str, str]
    settings: Settings
    producer: AIOKafkaProducer

    async def send(self, topic: int, partition: int, value: bytes, ms: int) -> None:
        name = self.settings.kafka.input_topics[topic]
        await self.producer.send_and_wait(name, value, partition=partition, timestamp_ms=ms)


@pytest.fixture
async def place(kafka: Any) -> AsyncIterator[Place]:
    names = [f"usage.{uuid.uuid4().hex}" for _ in range(2)]
    environ = {
        "MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
        "MIDWATCH_KAFKA__INPUT_TOPICS": json.dumps([*names, "not.there"]),
    }
    settings = load_settings(None, environ)
    admin = AIOKafkaAdminClient(**kafka_options(settings.kafka))
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, 1) for name in names])
    async with AIOKafkaProducer(**kafka_options(settings.kafka)) as producer:
        yield Place(environ, settings, producer)
    await admin.close()


def event(name: str, time: str) -> bytes:
    return json.dumps({
        "type": "usage", "id": name, "time": time, "environment": "prod", "system": "refunds", "model": "gpt-4o",
        "input_tokens": 1000, "output_tokens": 100, "tags": {"cost-center": "4711"},
    }).encode()  # fmt: skip


async def fill(place: Place) -> None:
    """September's in one partition, October's in all, one of them twice, and one that is no event."""
    await place.send(0, 0, event("old", "2026-09-01T00:00:00Z"), OCTOBER.first_hour * HOUR - 700 * HOUR)
    await place.send(0, 0, event("1", "2026-10-01T00:00:00Z"), OCTOBER.first_hour * HOUR - 1000)
    await place.send(0, 1, event("2", "2026-10-02T00:00:00Z"), OCTOBER.first_hour * HOUR + 24 * HOUR)
    await place.send(1, 0, event("3", "2026-10-31T23:59:59Z"), OCTOBER.end_hour * HOUR)
    await place.send(1, 0, event("2", "2026-10-02T00:00:00Z"), OCTOBER.end_hour * HOUR)
    await place.send(1, 0, b"broken", OCTOBER.end_hour * HOUR)


async def test_the_month_is_read_from_its_beginning_to_the_end(place: Place) -> None:
    """What is older is not even fetched; a producer's clock that is a second behind loses nothing."""
    await fill(place)
    found: list[Usage] = []
    read = await read_kafka(place.settings, OCTOBER, found.append)
    assert sorted(one.id for one in found) == ["1", "2", "2", "3"]
    [bad] = read.bad
    assert bad.where == f"{place.settings.kafka.input_topics[1]}/0, offset 2"
    assert read.cut == 0


async def test_the_command_counts_each_event_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across topics, by the configuration."""
    await fill(place)
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    arguments = ["costs", "chargeback", "--month", "2026-10", "--from-kafka", "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    shown = json.loads(result.stdout)
    assert shown["events"]["counted"] == 3
    assert shown["events"]["duplicates"] == 1
    assert shown["total_micro_usd"] == 3 * 3500
    assert "offset 2: malformed_json" in result.stderr


async def test_a_comparison_reads_its_stretch_and_no_more(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls of October before its last hour, one of them sent twice: 7,000 micro-dollars over 1,441 minutes."""
    await fill(place)
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    stretch = ["--since", "2026-10-01T00:00Z", "--until", "2026-10-31T23:00Z"]
    arguments = ["costs", "compare", "--from-kafka", *stretch, "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    [found] = shown["comparisons"]
    assert found["model"] == "gpt-4o"
    assert shown["read"] == {"rows": 3, "duplicates": 1, "rejected": 1}
    assert found["payg_monthly_usd"] == pytest.approx(2 * 0.0035 * 730 * 60 / 1441, abs=0.01)
    assert "offset 2: malformed_json" in result.stderr
    assert "1 rows whose id came before were counted once" in result.stderr


async def test_a_stretch_without_calls_says_where_it_looked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another model, or of another time: the answer names what there is, and the exit code is 1."""
    await fill(place)
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    arguments = ["costs", "compare", "--from-kafka", "--since", "2026-10-01T00:00Z"]
    other = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--model", "gpt-5"])
    assert (other.exit_code, other.stdout) == (1, "")
    assert "there is no call of gpt-5; there are calls of gpt-4o" in other.stderr
    later = await asyncio.to_thread(CliRunner().invoke, app, [*arguments[:3], "--since", "2026-11-02T00:00Z"])
    assert later.exit_code == 1
    assert "Kafka, 2026-11-02T00:00:00.000Z to" in later.stderr


async def test_without_topics_there_is_nothing_to_read(place: Place) -> None:
    """It is said which topics those would be."""
    settings = load_settings(None, {**place.environ, "MIDWATCH_KAFKA__INPUT_TOPICS": '["not.there"]'})
    with pytest.raises(UsageFileError, match=r"there is none of the topics not\.there"):
        await read_kafka(settings, OCTOBER, print)
