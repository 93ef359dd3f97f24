"""Topics: created, described, configured, deleted; and each refusal by its name."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    InvalidTopicError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from tests.support.kafka_clients import Clients, read


async def _configs(admin: Any, topic: str, *keys: str) -> dict[str, str]:
    answers = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict.fromkeys(keys, ""))]
    )
    error, _, _, _, entries = answers[0].resources[0]
    assert error == 0
    return {entry[0]: entry[1] for entry in entries}


async def test_a_created_topic_is_there(clients: Clients) -> None:
    """It is listed, has its partitions, and each has a leader."""
    topic = await clients.topic(partitions=3)
    admin = await clients.admin()
    assert topic in await admin.list_topics()
    (about,) = await admin.describe_topics([topic])
    assert sorted(part["partition"] for part in about["partitions"]) == [0, 1, 2]
    assert all(part["leader"] >= 0 for part in about["partitions"])


async def test_settings_can_be_read_back(clients: Clients) -> None:
    """What was set at creation is described; the rest have values too."""
    topic = await clients.topic(retention_ms="123456789", cleanup_policy="compact")
    found = await _configs(await clients.admin(), topic, "retention.ms", "cleanup.policy", "max.message.bytes")
    assert found == {"retention.ms": "123456789", "cleanup.policy": "compact", "max.message.bytes": "1048588"}


async def test_altered_settings_replace_the_old_ones(clients: Clients) -> None:
    """What is named gets its new value; what is not named goes back to the default."""
    topic = await clients.topic(retention_ms="1000000", cleanup_policy="compact")
    admin = await clients.admin()
    change = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "2000000"})
    answers = await admin.alter_configs([change])
    assert answers[0].resources[0][0] == 0
    found = await _configs(admin, topic, "retention.ms", "cleanup.policy")
    assert found == {"retention.ms": "2000000", "cleanup.policy": "delete"}


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (NewTopic("no/slash", 1, 1), InvalidTopicError),
        (NewTopic("contract-none", 0, 1), InvalidPartitionsError),
        (NewTopic("contract-copies", 1, 9), InvalidReplicationFactorError),
        (NewTopic("contract-setting", 1, 1, topic_configs={"no.such": "1"}), InvalidConfigurationError),
        (NewTopic("contract-value", 1, 1, topic_configs={"retention.ms": "soon"}), InvalidConfigurationError),
    ],
    ids=["name", "partitions", "replication", "setting", "value"],
)
async def test_a_topic_that_cannot_be_is_refused(clients: Clients, wanted: NewTopic, error: type[Exception]) -> None:
    """The answer names what is wrong, and nothing is created."""
    admin = await clients.admin()
    answer = await admin.create_topics([wanted])
    assert answer.topic_errors[0][1] == error.errno  # type: ignore[attr-defined]  # aiokafka's errors have it
    assert wanted.name not in await admin.list_topics()


async def test_a_topic_is_created_once(clients: Clients) -> None:
    """A second creation says that it exists, and changes nothing."""
    topic = await clients.topic(partitions=2)
    admin = await clients.admin()
    answer = await admin.create_topics([NewTopic(topic, 5, 1)])
    assert answer.topic_errors[0][1] == TopicAlreadyExistsError.errno
    (about,) = await admin.describe_topics([topic])
    assert len(about["partitions"]) == 2


async def test_a_dry_run_creates_nothing(clients: Clients) -> None:
    """validate_only answers as a creation would."""
    admin = await clients.admin()
    name = clients.name("topic")
    answer = await admin.create_topics([NewTopic(name, 1, 1)], validate_only=True)
    assert answer.topic_errors[0][1] == 0
    assert name not in await admin.list_topics()


async def test_a_deleted_topic_is_gone(clients: Clients) -> None:
    """It is no longer listed; deleting it again says that it is unknown."""
    topic = await clients.topic()
    admin = await clients.admin()
    assert (await admin.delete_topics([topic])).topic_error_codes == [(topic, 0)]
    assert topic not in await admin.list_topics()
    answer = await admin.delete_topics([topic])
    assert answer.topic_error_codes == [(topic, UnknownTopicOrPartitionError.errno)]


async def test_a_topic_begins_with_its_first_record(clients: Clients) -> None:
    """Where the broker creates topics by itself, a new name can be produced to, and has several partitions."""
    topic = clients.name("topic")
    producer = await clients.producer()
    place = await producer.send_and_wait(topic, b"first", partition=3)
    assert (place.partition, place.offset) == (3, 0)
    consumer = await clients.consumer()
    consumer.assign([TopicPartition(topic, 3)])
    assert [record.value for record in await read(consumer, 1)] == [b"first"]
