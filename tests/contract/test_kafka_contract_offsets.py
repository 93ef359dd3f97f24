"""Offsets: ends, times, positions, and what is no longer there."""

import asyncio
import time

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import OffsetOutOfRangeError

from tests.support.kafka_clients import Clients, read


async def _filled(clients: Clients, count: int, partitions: int = 1) -> str:
    """A topic with that many records in one batch of its first partition."""
    topic = await clients.topic(partitions)
    producer = await clients.producer(linger_ms=50)
    await asyncio.gather(*[await producer.send(topic, str(n).encode(), partition=0) for n in range(count)])
    return topic


async def test_beginning_and_end_offsets(clients: Clients) -> None:
    """The end is the offset of the next record, also of an empty partition."""
    topic = await _filled(clients, 7, partitions=2)
    consumer = await clients.consumer()
    full, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)
    assert await consumer.beginning_offsets([full, empty]) == {full: 0, empty: 0}
    assert await consumer.end_offsets([full, empty]) == {full: 7, empty: 0}


@pytest.mark.parametrize("codec", [None, "gzip"])
async def test_offsets_for_times_are_exact_per_record(clients: Clients, codec: str | None) -> None:
    """The answer is the first record, by offset, that is not older, even inside a batch whose times go up and down."""
    topic = await clients.topic()
    base = int(time.time() * 1000) - 10_000_000
    producer = await clients.producer(linger_ms=50, compression_type=codec)
    for batch in ((0, 10, 20, 5, 30), (40, 35, 50)):
        await asyncio.gather(*[await producer.send(topic, b"v", timestamp_ms=base + after) for after in batch])
    consumer = await clients.consumer()
    partition = TopicPartition(topic, 0)
    for after, offset, found in ((-5, 0, 0), (0, 0, 0), (1, 1, 10), (15, 2, 20), (21, 4, 30), (36, 5, 40), (45, 7, 50)):
        answer = (await consumer.offsets_for_times({partition: base + after}))[partition]
        assert (answer.offset, answer.timestamp) == (offset, base + found), after
    assert await consumer.offsets_for_times({partition: base + 51}) == {partition: None}


async def test_seek_goes_anywhere(clients: Clients) -> None:
    """Forward, back, to the beginning and to the end: the next record is the one asked for."""
    topic = await _filled(clients, 10)
    consumer = await clients.consumer()
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    for offset in (7, 2, 9, 0):
        consumer.seek(partition, offset)
        assert [record.offset for record in await read(consumer, 1)] == [offset]
        assert await consumer.position(partition) == offset + 1
    await consumer.seek_to_end(partition)
    assert await consumer.position(partition) == 10
    await consumer.seek_to_beginning(partition)
    assert [record.offset for record in await read(consumer, 10)] == list(range(10))


async def test_a_paused_partition_is_silent_until_resumed(clients: Clients) -> None:
    """Only the other partition delivers while one is paused; nothing is lost or skipped."""
    topic = await clients.topic(partitions=2)
    producer = await clients.producer()
    consumer = await clients.consumer()
    held, free = TopicPartition(topic, 0), TopicPartition(topic, 1)
    consumer.assign([held, free])
    consumer.pause(held)
    for n in range(5):
        for partition in (0, 1):
            await producer.send_and_wait(topic, str(n).encode(), partition=partition)
    assert {record.partition for record in await read(consumer, 5)} == {1}
    consumer.resume(held)
    later = await read(consumer, 5)
    assert [(record.partition, record.offset) for record in later] == [(0, n) for n in range(5)]


async def test_deleted_records_move_the_beginning(clients: Clients) -> None:
    """After the log start has moved, a consumer begins there, and times before it are answered with it."""
    topic = await _filled(clients, 10)
    partition = TopicPartition(topic, 0)
    admin = await clients.admin()
    assert await admin.delete_records({partition: RecordsToDelete(before_offset=6)}) == {partition: 6}
    consumer = await clients.consumer(topic)
    assert await consumer.beginning_offsets([partition]) == {partition: 6}
    assert [record.offset for record in await read(consumer, 4)] == [6, 7, 8, 9]
    assert (await consumer.offsets_for_times({partition: 0}))[partition].offset == 6


async def test_a_position_before_the_log_start_is_out_of_range(clients: Clients) -> None:
    """Without a reset policy the consumer is told; with one it goes on from the beginning that is left."""
    topic = await _filled(clients, 5)
    partition = TopicPartition(topic, 0)
    admin = await clients.admin()
    await admin.delete_records({partition: RecordsToDelete(before_offset=3)})
    strict = await clients.consumer(auto_offset_reset="none")
    lenient = await clients.consumer(auto_offset_reset="earliest")
    for consumer in (strict, lenient):
        consumer.assign([partition])
        consumer.seek(partition, 1)
    with pytest.raises(OffsetOutOfRangeError):
        await read(strict, 1)
    assert [record.offset for record in await read(lenient, 2)] == [3, 4]


async def test_a_position_beyond_the_end_is_out_of_range(clients: Clients) -> None:
    """A position that the log has not reached is an error and not a wait: the log was lost or replaced."""
    topic = await _filled(clients, 5)
    partition = TopicPartition(topic, 0)
    consumer = await clients.consumer(auto_offset_reset="none")
    consumer.assign([partition])
    consumer.seek(partition, 50)
    with pytest.raises(OffsetOutOfRangeError):
        await read(consumer, 1)


async def test_committed_offsets_outlive_the_consumer(clients: Clients) -> None:
    """The next consumer of the group goes on behind the committed offset; without one the answer is None."""
    topic = await _filled(clients, 10, partitions=2)
    group = clients.name("group")
    full, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)
    first = await clients.consumer(topic, group_id=group)
    await read(first, 10)
    await first.commit({full: 4})
    assert (await first.committed(full), await first.committed(empty)) == (4, None)
    await first.stop()
    second = await clients.consumer(topic, group_id=group)
    assert [record.offset for record in await read(second, 6)] == [4, 5, 6, 7, 8, 9]


async def test_offsets_can_be_committed_without_membership(clients: Clients) -> None:
    """A consumer with assigned partitions commits for its group, and the admin client reads all of it."""
    topic = await _filled(clients, 3, partitions=2)
    group = clients.name("group")
    partitions = [TopicPartition(topic, n) for n in range(2)]
    consumer = await clients.consumer(group_id=group)
    consumer.assign(partitions)
    await consumer.commit({partitions[0]: (2, "a note"), partitions[1]: (0, "")})
    kept = await (await clients.admin()).list_consumer_group_offsets(group)
    assert {where: (at.offset, at.metadata) for where, at in kept.items()} == {
        partitions[0]: (2, "a note"),
        partitions[1]: (0, ""),
    }
