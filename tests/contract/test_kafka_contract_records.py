"""Records: what goes in comes out, in order, in every compression, up to the size limit."""

import asyncio
import time
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import InvalidTimestampError, KafkaConnectionError, MessageSizeTooLargeError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from tests.support.kafka_clients import PATIENCE_SECONDS, Clients, read

LIMIT_BYTES = 1_048_588


async def test_records_come_out_as_they_went_in(clients: Clients) -> None:
    """Key, value, headers and timestamp are kept byte for byte, in order of sending, with consecutive offsets."""
    topic = await clients.topic()
    producer = await clients.producer()
    sent = [(f"k{n}".encode(), bytes([n % 256]) * n, [("h", bytes([0, 255, n % 256])), ("e", b"")]) for n in range(300)]
    base = int(time.time() * 1000) - 1000
    waiting = [
        await producer.send(topic, value, key=key, headers=headers, timestamp_ms=base + n)
        for n, (key, value, headers) in enumerate(sent)
    ]
    placed = await asyncio.gather(*waiting)
    records = await read(await clients.consumer(topic), 300)
    assert [record.offset for record in records] == [place.offset for place in placed] == list(range(300))
    assert [(r.key, r.value, list(r.headers)) for r in records] == sent
    assert [(r.timestamp, r.timestamp_type) for r in records] == [(base + n, 0) for n in range(300)]


async def test_null_keys_and_values_stay_null(clients: Clients) -> None:
    """No key is None and not empty; no value (a tombstone) is None and not empty."""
    topic = await clients.topic()
    producer = await clients.producer()
    for key, value in ((None, b"v"), (b"", b""), (b"k", None)):
        await producer.send_and_wait(topic, value, key=key)
    records = await read(await clients.consumer(topic), 3)
    assert [(record.key, record.value) for record in records] == [(None, b"v"), (b"", b""), (b"k", None)]


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_is_readable(clients: Clients, codec: str | None) -> None:
    """A compressed batch is delivered whole, and its records are found by offset inside it."""
    topic = await clients.topic()
    producer = await clients.producer(compression_type=codec, linger_ms=50)
    values = [f"{n}-".encode() * 50 for n in range(100)]
    await asyncio.gather(*[await producer.send(topic, value) for value in values])
    consumer = await clients.consumer()
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek(partition, 57)
    assert [record.value for record in await read(consumer, 43)] == values[57:]


async def test_records_near_the_size_limit_pass(clients: Clients) -> None:
    """A record just under the broker's limit is kept and delivered, also to a consumer that asks for fewer bytes."""
    topic = await clients.topic()
    producer = await clients.producer(max_request_size=2 * LIMIT_BYTES)
    value = bytes(LIMIT_BYTES - 200)
    await producer.send_and_wait(topic, value)
    await producer.send_and_wait(topic, b"after")
    consumer = await clients.consumer(topic, max_partition_fetch_bytes=1000, fetch_max_bytes=1000)
    assert [record.value for record in await read(consumer, 2)] == [value, b"after"]


async def test_a_record_above_the_size_limit_is_refused(clients: Clients) -> None:
    """The producer learns that the record is too large, and the partition takes the next one."""
    topic = await clients.topic()
    producer = await clients.producer(max_request_size=4 * LIMIT_BYTES)
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send_and_wait(topic, bytes(LIMIT_BYTES))
    assert (await producer.send_and_wait(topic, b"small")).offset == 0


async def test_a_topic_can_have_its_own_size_limit(clients: Clients) -> None:
    """`max.message.bytes` of the topic counts, not the broker's default."""
    topic = await clients.topic(max_message_bytes="5000")
    producer = await clients.producer()
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send_and_wait(topic, bytes(6000))
    await producer.send_and_wait(topic, bytes(4000))


async def test_a_timestamp_from_the_far_future_is_refused(clients: Clients) -> None:
    """More than `message.timestamp.after.max.ms` (an hour) ahead is refused; long ago is taken."""
    topic = await clients.topic()
    producer = await clients.producer()
    now = int(time.time() * 1000)
    with pytest.raises(InvalidTimestampError):
        await producer.send_and_wait(topic, b"future", timestamp_ms=now + 2 * 3_600_000)
    await producer.send_and_wait(topic, b"past", timestamp_ms=now - 60 * 86_400_000)
    assert [record.value for record in await read(await clients.consumer(topic), 1)] == [b"past"]


async def test_records_without_acknowledgement_arrive(clients: Clients) -> None:
    """acks=0: the broker answers nothing, and the connection stays in step."""
    topic = await clients.topic()
    producer = await clients.producer(acks=0)
    for n in range(20):
        await producer.send_and_wait(topic, str(n).encode())
    records = await read(await clients.consumer(topic), 20)
    assert [record.value for record in records] == [str(n).encode() for n in range(20)]


async def test_a_request_without_acknowledgement_gets_no_answer(clients: Clients) -> None:
    """What comes back on the connection answers the next request: a stray answer would be taken for it."""
    topic = await clients.topic()
    wire = await clients.wire()
    node = wire.get_random_node()
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10_000)
    builder.append(0, int(time.time() * 1000), None, b"v", [])
    await wire.send(node, ProduceRequest(None, 0, 5000, [(topic, [(0, bytes(builder.build()))])]))
    answer = await wire.send(node, MetadataRequest([topic]))
    assert [about[1] for about in answer.topics] == [topic]


async def test_a_failure_without_acknowledgement_ends_the_connection(clients: Clients) -> None:
    """A producer that wants no answers learns of a refusal all the same."""
    topic = await clients.topic()
    wire = await clients.wire()
    node = wire.get_random_node()
    await wire.send(node, ProduceRequest(None, 0, 5000, [(topic, [(99, b"there is no such partition")])]))
    with pytest.raises(KafkaConnectionError):
        await wire.send(node, MetadataRequest([topic]))


async def test_many_partitions_are_served_side_by_side(clients: Clients) -> None:
    """All records of all partitions arrive, each partition in its own order."""
    topic = await clients.topic(partitions=50)
    producer = await clients.producer()
    await asyncio.gather(
        *[await producer.send(topic, f"{p}/{n}".encode(), partition=p) for n in range(20) for p in range(50)]
    )
    records = await read(await clients.consumer(topic), 1000)
    for partition in range(50):
        mine = [record.value for record in records if record.partition == partition]
        assert mine == [f"{partition}/{n}".encode() for n in range(20)]


async def test_a_key_always_goes_to_the_same_partition(clients: Clients) -> None:
    """Two producers agree on the partition of a key, so its records stay in order."""
    topic = await clients.topic(partitions=8)
    places: list[dict[bytes, int]] = []
    for _ in range(2):
        producer: Any = await clients.producer()
        keys = [f"key-{n}".encode() for n in range(30)]
        places.append({key: (await producer.send_and_wait(topic, b"v", key=key)).partition for key in keys})
    assert places[0] == places[1]
    assert len(set(places[0].values())) > 1


async def _arrived(reader: Any, other: Any, topic: str, fetch: FetchRequest) -> asyncio.Task[Any]:
    """The fetch under way, at a time when the broker has it: it answered another connection's questions since."""
    waiting = asyncio.create_task(reader.send(reader.get_random_node(), fetch))
    for _ in range(3):
        await other.send(other.get_random_node(), MetadataRequest([topic]))
    return waiting


async def test_a_waiting_fetch_is_answered_by_the_next_record(clients: Clients) -> None:
    """A fetch at the end, told to wait far longer than the test's patience, is answered when a record comes."""
    topic = await clients.topic()
    producer, reader, other = await clients.producer(), await clients.wire(), await clients.wire()
    fetch = FetchRequest(300_000, 1, 1_000_000, 0, [(topic, [(0, 0, 1_000_000)])])
    async with asyncio.timeout(PATIENCE_SECONDS):
        # A broker that has yet to learn of the new topic answers at once, without records: then it is asked again.
        while (waiting := await _arrived(reader, other, topic, fetch)).done():
            assert waiting.result().topics[0][1][0][-1] == b""
    await producer.send_and_wait(topic, b"at last")
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await waiting
    _, error, end, *_, data = answer.topics[0][1][0]
    assert (error, end) == (0, 1)
    assert b"at last" in data
