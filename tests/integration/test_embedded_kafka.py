"""The embedded broker itself: where it listens, what it refuses, how it ends. Its Kafka promises are in contract/."""

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import TransactionalIdAuthorizationFailed, UnknownTopicOrPartitionError

from stream.embedded import EmbeddedKafka, EmbeddedKafkaProcess
from tests.support.kafka_clients import Clients, read

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedKafka]:
    """A broker in the test's own event loop."""
    async with EmbeddedKafka() as broker:
        yield broker


@contextlib.asynccontextmanager
async def _clients(bootstrap: str) -> AsyncIterator[Clients]:
    async with contextlib.AsyncExitStack() as stack:
        yield Clients(bootstrap, stack)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.org", ""])
def test_only_loopback_is_bound(host: str) -> None:
    """Any other address is refused before anything listens."""
    with pytest.raises(ValueError, match="loopback"):
        EmbeddedKafka(host)


async def _exchange(bootstrap: str, data: bytes) -> bytes:
    """Send bytes and everything that comes back until the broker closes the connection."""
    host, port = bootstrap.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def _frame(key: int, version: int, body: bytes = b"") -> bytes:
    payload = struct.pack(">hhih", key, version, 7, -1) + body
    return struct.pack(">i", len(payload)) + payload


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">i", -1),
        struct.pack(">i", 200_000_000) + b"x",
        struct.pack(">i", 3) + b"abc",
        _frame(999, 0),
        _frame(-1, 0),
        _frame(0, 99),
        _frame(1, 11, b"\x00"),
        _frame(3, 1, struct.pack(">i", 2_000_000_000)),
        _frame(12, 0, b"\x00\x05abc"),
        _frame(18, 0, b"left over"),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["negative", "huge", "short", "key", "minus", "version", "cut", "array", "string", "left", "http"],
)
async def test_bad_bytes_end_that_one_connection(broker: EmbeddedKafka, data: bytes) -> None:
    """Each kind of nonsense closes its connection without an answer; the others go on."""
    async with _clients(broker.bootstrap) as clients:
        producer = await clients.producer()
        assert await _exchange(broker.bootstrap, data) == b""
        assert (await producer.send_and_wait("still-there", b"v", partition=0)).offset == 0


async def test_a_newer_client_is_told_which_versions_there_are(broker: EmbeddedKafka) -> None:
    """ApiVersions in an unknown version gets a version 0 answer with error 35, so that the client can step down."""
    host, port = broker.bootstrap.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(_frame(18, 4))
    size, correlation, error, rows = struct.unpack(">iihi", await reader.readexactly(14))
    assert (correlation, error) == (7, 35)
    assert size == 10 + 6 * rows
    assert (18, 0, 2) in list(struct.iter_unpack(">hhh", await reader.readexactly(6 * rows)))
    writer.close()


async def test_transactions_are_refused(broker: EmbeddedKafka) -> None:
    """A transactional producer does not start, instead of pretending."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id="t")
    with pytest.raises(TransactionalIdAuthorizationFailed):
        await producer.start()
    await producer.stop()


async def test_memory_is_bounded_by_retention() -> None:
    """The oldest records go when a partition exceeds its bytes; the newest are all there and offsets go on."""
    async with EmbeddedKafka(partitions=1, retention_bytes=100_000) as broker, _clients(broker.bootstrap) as clients:
        producer = await clients.producer()
        for _ in range(300):
            await producer.send_and_wait("t", bytes(1000))
        consumer = await clients.consumer("t")
        partition = TopicPartition("t", 0)
        start = (await consumer.beginning_offsets([partition]))[partition]
        assert 200 <= start < 220, "between 80 and 100 of 300 batches of 1,068 bytes fit in"
        assert [record.offset for record in await read(consumer, 300 - start)] == list(range(start, 300))


async def test_a_topic_may_keep_more_than_the_others() -> None:
    """`retention.bytes` of a topic counts before the broker's."""
    async with EmbeddedKafka(retention_bytes=5_000) as broker, _clients(broker.bootstrap) as clients:
        topic = await clients.topic(retention_bytes="-1")
        producer = await clients.producer()
        for _ in range(50):
            await producer.send_and_wait(topic, bytes(1000))
        assert len(await read(await clients.consumer(topic), 50)) == 50


async def test_topics_need_not_create_themselves() -> None:
    """With auto-creation off an unknown topic stays unknown."""
    async with EmbeddedKafka(auto_create_topics=False) as broker, _clients(broker.bootstrap) as clients:
        admin = await clients.admin()
        (about,) = await admin.describe_topics(["nowhere"])
        assert about["error_code"] == UnknownTopicOrPartitionError.errno
        assert await admin.list_topics() == []


async def test_stop_ends_waiting_clients_and_frees_the_port() -> None:
    """A long poll does not delay the end; the same broker starts again on its port with its records."""
    broker = EmbeddedKafka()
    address = await broker.start()
    async with _clients(address) as clients:
        await (await clients.producer()).send_and_wait("t", b"kept", partition=0)
        consumer = await clients.consumer("t", fetch_max_wait_ms=300_000, request_timeout_ms=400_000)
        await read(consumer, 1)
        async with asyncio.timeout(5):
            await broker.stop()
        assert await broker.start() == address
        assert [record.value for record in await read(await clients.consumer("t"), 1)] == [b"kept"]
    await broker.stop()


def test_the_process_prints_its_address_first_and_ends_by_sigterm() -> None:
    """The first line is host:port of a broker that accepts connections; SIGTERM ends it with code 0."""
    command = [sys.executable, "-m", "stream.embedded.kafka", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host, port = process.stdout.readline().strip().split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_process_that_cannot_start_says_so() -> None:
    """A port that is taken is an error, and not a wait."""
    with EmbeddedKafkaProcess() as broker:
        port = int(broker.bootstrap.split(":")[1])
        with pytest.raises(RuntimeError, match="did not start"):
            EmbeddedKafkaProcess(port=port).start()


_PARENT = """
import os
from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis

kafka, redis = EmbeddedKafkaProcess(), EmbeddedRedis()
kafka.start(), redis.start()
print(kafka.pid, redis.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux can wait for a process that is not a child")
def test_servers_end_with_a_parent_that_was_killed() -> None:
    """When the process that started them dies of SIGKILL, broker and Redis end too."""
    done = subprocess.run([sys.executable, "-c", _PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    for pid in done.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(int(pid))
            try:
                assert select.select([handle], [], [], 10)[0], f"process {pid} still runs"
            finally:
                os.close(handle)
