"""Topics and the doctor against brokers and servers, embedded and real."""

import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from stream.doctor import examine
from stream.settings import Settings, load_settings
from stream.settings_clients import kafka_options
from stream.topics import create_topics, inspect_topics, plan_topics


def clock() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def settings(kafka: Any, redis_server: Any) -> Settings:
    """Settings over both servers, with input topics of this test's own."""
    topics = [f"in.{uuid.uuid4().hex}" for _ in range(2)]
    return load_settings(
        None,
        {
            "MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
            "MIDWATCH_KAFKA__INPUT_TOPICS": str(topics),
            "MIDWATCH_KAFKA__PARTITIONS": "2",
            "MIDWATCH_REDIS__URL": redis_server.url,
        },
    )


@pytest.fixture
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client of the broker."""
    client = AIOKafkaAdminClient(**kafka_options(settings.kafka))
    await client.start()
    yield client
    await client.close()


async def test_topics_are_made_once_as_planned(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    """Creation makes what is missing with its partitions and policies, and does nothing the second time."""
    plans = plan_topics(settings.kafka)
    before = {report.plan.name: report.status for report in await inspect_topics(admin, plans)}
    assert {before[name] for name in settings.kafka.input_topics} == {"missing"}
    first = await create_topics(admin, plans, 1)
    assert {report.status for report in first} <= {"created", "exists"}
    again = await create_topics(admin, plans, 1)
    assert {report.status for report in again} == {"exists"}
    for report in again:
        assert report.differences == ()
        assert report.partitions >= report.plan.partitions
        assert report.configs is not None
        policy = set(report.configs["cleanup.policy"].split(","))
        assert policy == set(report.plan.configs["cleanup.policy"].split(","))


async def test_a_difference_is_said_and_left(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    """An existing topic with fewer partitions is reported, not changed."""
    await create_topics(admin, plan_topics(settings.kafka), 1)
    more = plan_topics(settings.kafka.model_copy(update={"partitions": 5}))
    report = next(one for one in await create_topics(admin, more, 1) if one.plan.name in settings.kafka.input_topics)
    assert (report.status, report.partitions) == ("exists", 2)
    assert report.differences == ("2 partitions, planned 5",)


async def test_doctor_before_and_after(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    """Missing topics fail; once made, nothing about Kafka's topics or Redis' reachability fails."""
    before = await examine(settings, clock)
    missing = {line.subject for line in before if line.level == "fail" and "does not exist" in line.detail}
    assert {f"topic {name}" for name in settings.kafka.input_topics} <= missing
    await create_topics(admin, plan_topics(settings.kafka), 1)
    after = await examine(settings, clock)
    assert [line for line in after if line.level == "fail"] == []
    assert {"kafka", "redis", "redis memory", "redis persistence", "redis clock"} <= {line.subject for line in after}


async def test_doctor_sees_records_of_the_future(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    """A record stamped later than events may be points at a wrong clock."""
    await create_topics(admin, plan_topics(settings.kafka), 1)
    producer = AIOKafkaProducer(**kafka_options(settings.kafka))
    await producer.start()
    try:
        ahead = clock() + 600_000
        await producer.send_and_wait(settings.kafka.input_topics[1], b"{}", timestamp_ms=ahead)
    finally:
        await producer.stop()
    lines = {line.subject: line for line in await examine(settings, clock)}
    assert lines["kafka clock"].level == "warn"
    assert settings.kafka.input_topics[1] in lines["kafka clock"].detail
