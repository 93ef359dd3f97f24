"""Idempotent producers: sent twice is kept once, and a gap is refused."""

import asyncio
import time
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from tests.support.kafka_clients import Clients, read


async def test_an_idempotent_producer_keeps_order(clients: Clients) -> None:
    """Every record once, in order, over several partitions and many batches."""
    topic = await clients.topic(partitions=3)
    producer = await clients.producer(enable_idempotence=True, max_batch_size=500)
    await asyncio.gather(*[await producer.send(topic, str(n).encode(), partition=n % 3) for n in range(600)])
    records = await read(await clients.consumer(topic), 600)
    for partition in range(3):
        mine = [int(record.value) for record in records if record.partition == partition]
        assert mine == list(range(partition, 600, 3))


async def test_a_produce_request_sent_twice_is_kept_once(clients: Clients) -> None:
    """When every request arrives twice, as after a lost answer, offsets are those of the first and nothing doubles."""
    topic = await clients.topic()
    producer = await clients.producer(enable_idempotence=True)
    send = producer.client.send

    async def send_twice(node: int, request: Any, **options: Any) -> Any:
        answer = await send(node, request, **options)
        return await send(node, request, **options) if isinstance(request, ProduceRequest) else answer

    producer.client.send = send_twice
    offsets = [(await producer.send_and_wait(topic, str(n).encode())).offset for n in range(10)]
    assert offsets == list(range(10))
    consumer = await clients.consumer(topic)
    assert [record.value for record in await read(consumer, 10)] == [str(n).encode() for n in range(10)]
    partition = TopicPartition(topic, 0)
    assert await consumer.end_offsets([partition]) == {partition: 10}


class _Sequenced:
    """A producer that chooses its own sequence numbers."""

    def __init__(self, client: Any, topic: str) -> None:
        self._client = client
        self._topic = topic
        self._id: tuple[int, int] = (-1, -1)

    async def begin(self) -> None:
        await self._client.force_metadata_update()
        node = self._client.get_random_node()
        answer = await self._client.send(node, InitProducerIdRequest(None, 60_000))
        self._id = answer.producer_id, answer.producer_epoch

    async def send(self, sequence: int, records: int = 1) -> tuple[str, int]:
        """Name of the error and base offset of the answer."""
        builder = DefaultRecordBatchBuilder(2, 0, 0, *self._id, sequence, 10_000)
        for n in range(records):
            builder.append(n, int(time.time() * 1000), None, str(sequence + n).encode(), [])
        request = ProduceRequest(None, -1, 5000, [(self._topic, [(0, bytes(builder.build()))])])
        answer = await self._client.send(self._client.get_random_node(), request)
        _, error, offset, *_ = answer.topics[0][1][0]
        return for_code(error).__name__, offset


async def test_a_gap_in_the_sequence_is_refused(clients: Clients) -> None:
    """A batch that skips numbers is not kept; the one that follows on is."""
    topic = await clients.topic()
    sequenced = _Sequenced(await clients.wire(), topic)
    await sequenced.begin()
    first, _ = await sequenced.send(0, records=3)
    gap, _ = await sequenced.send(5)
    following, offset = await sequenced.send(3)
    assert (first, gap, following, offset) == ("NoError", "OutOfOrderSequenceNumber", "NoError", 3)


async def test_any_of_the_last_five_batches_may_come_again(clients: Clients) -> None:
    """Each of the five newest is answered with its own first offset; the end does not move."""
    topic = await clients.topic()
    sequenced = _Sequenced(await clients.wire(), topic)
    await sequenced.begin()
    for n in range(0, 14, 2):
        await sequenced.send(n, records=2)
    again = [await sequenced.send(n, records=2) for n in (4, 6, 8, 10, 12)]
    assert again == [("NoError", offset) for offset in (4, 6, 8, 10, 12)]
    partition = TopicPartition(topic, 0)
    assert await (await clients.consumer()).end_offsets([partition]) == {partition: 14}
