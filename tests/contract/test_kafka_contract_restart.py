"""A broker that crashes and comes back. On a real Kafka only: the embedded broker keeps nothing beyond its process."""

import contextlib

import pytest
from aiokafka import TopicPartition

from tests.support.kafka_clients import Clients, read
from tests.support.real_kafka import ExternalKafka, RealKafkaCluster


@pytest.mark.kafka
async def test_clients_go_on_after_the_broker_was_killed(real_kafka: RealKafkaCluster | ExternalKafka) -> None:
    """After SIGKILL and restart the same producer and consumer go on; acknowledged records and commits are there."""
    if isinstance(real_kafka, ExternalKafka):
        pytest.skip("a broker that is not ours is not killed")
    async with contextlib.AsyncExitStack() as stack:
        clients = Clients(real_kafka.bootstrap, stack)
        topic, group = await clients.topic(), clients.name("group")
        partition = TopicPartition(topic, 0)
        producer = await clients.producer(enable_idempotence=True)
        consumer = await clients.consumer(topic, group_id=group)
        for n in range(5):
            await producer.send_and_wait(topic, str(n).encode())
        await read(consumer, 3)
        await consumer.commit({partition: 3})

        real_kafka.kill()
        real_kafka.restart()

        for n in range(5, 10):
            await producer.send_and_wait(topic, str(n).encode())
        assert [record.value for record in await read(consumer, 7)] == [str(n).encode() for n in range(3, 10)]
        await consumer.stop()
        heir = await clients.consumer(topic, group_id=group)
        assert [record.offset for record in await read(heir, 7)] == list(range(3, 10))
