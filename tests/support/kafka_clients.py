"""Clients of the broker under test: fresh names, closed when the test ends."""

import asyncio
import contextlib
import uuid
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient

PATIENCE_SECONDS = 30.0


class Clients:
    """Makes aiokafka clients of one broker and closes them all.

    Attributes:
        bootstrap: address of the broker.
    """

    def __init__(self, bootstrap: str, stack: contextlib.AsyncExitStack) -> None:
        self.bootstrap = bootstrap
        self._stack = stack

    @staticmethod
    def name(kind: str) -> str:
        """A name that no other test has."""
        return f"contract-{kind}-{uuid.uuid4().hex[:12]}"

    async def admin(self) -> Any:
        """A started admin client."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        self._stack.push_async_callback(admin.close)
        return admin

    async def wire(self) -> Any:
        """A bare client, for requests that the higher ones do not offer."""
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap)
        await client.bootstrap()
        self._stack.push_async_callback(client.close)
        return client

    async def topic(self, partitions: int = 1, **configs: str) -> str:
        """A new topic; underscores in setting names stand for dots."""
        name = self.name("topic")
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        admin = await self.admin()
        answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
        assert answer.topic_errors[0][1] == 0, answer
        return name

    async def producer(self, **options: Any) -> Any:
        """A started producer; acks=all unless said otherwise."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, **{"acks": "all", **options})
        await producer.start()
        self._stack.push_async_callback(producer.stop)
        return producer

    async def consumer(self, *topics: str, **options: Any) -> Any:
        """A started consumer from the earliest offset on, that commits only when told to."""
        defaults = {
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "heartbeat_interval_ms": 200,
            "session_timeout_ms": 6000,
            "fetch_max_wait_ms": 100,
        }
        consumer = AIOKafkaConsumer(*topics, bootstrap_servers=self.bootstrap, **{**defaults, **options})
        await consumer.start()
        self._stack.push_async_callback(consumer.stop)
        return consumer


async def read(consumer: Any, count: int) -> list[ConsumerRecord]:
    """The next `count` records; fails when they do not come."""
    records: list[ConsumerRecord] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(records) < count:
            for batch in (await consumer.getmany(timeout_ms=500, max_records=count - len(records))).values():
                records.extend(batch)
    return records
