"""Consumer groups: members share the partitions, and only a member of the current generation commits."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest

from tests.support.kafka_clients import PATIENCE_SECONDS, Clients, read


class Assignments(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Lets a test wait for an assignment, and do something when one is revoked."""

    def __init__(self) -> None:
        self.now: set[TopicPartition] = set()
        self.before_revoked: Callable[[], Any] | None = None
        self._changed = asyncio.Condition()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if self.before_revoked is not None and revoked:
            await self.before_revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        async with self._changed:
            self.now = set(assigned)
            self._changed.notify_all()

    async def until(self, count: int) -> set[TopicPartition]:
        """The assignment, as soon as it has `count` partitions."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self.now) == count)
            return self.now


async def _member(clients: Clients, topic: str, group: str) -> tuple[Any, Assignments]:
    assignments = Assignments()
    consumer = await clients.consumer(group_id=group)
    consumer.subscribe([topic], listener=assignments)
    return consumer, assignments


async def test_partitions_move_when_a_member_joins_and_when_it_leaves(clients: Clients) -> None:
    """Two members have half each, without overlap; after one has left the other has all again."""
    topic, group = await clients.topic(partitions=4), clients.name("group")
    _, first = await _member(clients, topic, group)
    await first.until(4)
    leaver, second = await _member(clients, topic, group)
    mine, theirs = await first.until(2), await second.until(2)
    assert mine | theirs == {TopicPartition(topic, n) for n in range(4)}
    await leaver.stop()
    await first.until(4)


async def test_three_members_that_start_together_settle(clients: Clients) -> None:
    """However the joins overlap, in the end each has a share and no partition has two owners."""
    topic, group = await clients.topic(partitions=6), clients.name("group")
    members = await asyncio.gather(*[_member(clients, topic, group) for _ in range(3)])
    shares = await asyncio.gather(*[assignments.until(2) for _, assignments in members])
    assert set.union(*shares) == {TopicPartition(topic, n) for n in range(6)}


async def test_every_record_is_read_across_a_rebalance(clients: Clients) -> None:
    """Committing when partitions are revoked, members hand over without loss or repetition."""
    topic, group = await clients.topic(partitions=4), clients.name("group")
    producer = await clients.producer()
    for n in range(40):
        await producer.send_and_wait(topic, str(n).encode(), partition=n % 4)
    first, mine = await _member(clients, topic, group)
    await mine.until(4)
    mine.before_revoked = first.commit
    seen = [record.value for record in await read(first, 17)]
    second, theirs = await _member(clients, topic, group)
    await theirs.until(2)
    await mine.until(2)

    async def rest(consumer: Any) -> None:
        while len(seen) < 40:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                seen.extend(record.value for record in records)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(rest(first), rest(second))
    assert sorted(seen, key=int) == [str(n).encode() for n in range(40)]


_DOOMED = """
import asyncio, sys
from aiokafka import AIOKafkaConsumer

async def main(bootstrap, topic, group):
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, session_timeout_ms=6000)
    await consumer.start()
    print(len(consumer.assignment()), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_member_that_dies_silently_loses_its_partitions(clients: Clients) -> None:
    """A process killed with SIGKILL says no goodbye; after its session time-out the others have its partitions."""
    topic, group = await clients.topic(partitions=4), clients.name("group")
    command = [sys.executable, "-c", _DOOMED, clients.bootstrap, topic, group]
    doomed = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert doomed.stdout is not None
        assert await doomed.stdout.readline() == b"4\n"
        _, survivor = await _member(clients, topic, group)
        await survivor.until(2)
    finally:
        doomed.kill()
        await doomed.wait()
    await survivor.until(4)


async def test_a_commit_after_losing_membership_fails(clients: Clients) -> None:
    """A member that was removed, and does not know it yet, is told so by its commit."""
    topic, group = await clients.topic(), clients.name("group")
    consumer = await clients.consumer(topic, group_id=group, heartbeat_interval_ms=60_000, session_timeout_ms=120_000)
    partition = TopicPartition(topic, 0)
    await consumer.commit({partition: 1})
    coordinator = consumer._coordinator
    wire = await clients.wire()
    await _ask(wire, LeaveGroupRequest(group, coordinator.member_id))
    with pytest.raises(CommitFailedError):
        await consumer.commit({partition: 2})
    assert (await (await clients.admin()).list_consumer_group_offsets(group))[partition].offset == 1


async def _ask(client: Any, request: Any) -> Any:
    return await client.send(client.get_random_node(), request)


class Bare:
    """A member without a consumer around it: each step of the protocol by hand."""

    def __init__(self, client: Any, group: str, topic: str) -> None:
        self._client = client
        self._group = group
        self._topic = topic
        self.member_id = ""
        self.generation = -1

    async def join(self) -> Any:
        """Join, a second time when told one's id first (KIP-394)."""
        answer = await self._join()
        if answer.error_code == 79:
            self.member_id = answer.member_id
            answer = await self._join()
        self.member_id, self.generation = answer.member_id, answer.generation_id
        return answer

    async def _join(self) -> Any:
        """The protocol type is not "consumer": of those, Kafka reads the subscription."""
        protocols = [("bare", b"subscription")]
        return await _ask(
            self._client, JoinGroupRequest(self._group, 10_000, 10_000, self.member_id, None, "bare", protocols)
        )

    async def sync(self, assignments: list[tuple[str, bytes]]) -> tuple[str, bytes]:
        """Name of the error and one's own assignment."""
        request = SyncGroupRequest(self._group, self.generation, self.member_id, None, assignments)
        answer = await _ask(self._client, request)
        return for_code(answer.error_code).__name__, answer.member_assignment

    async def heartbeat(self) -> str:
        """Name of the error."""
        answer = await _ask(self._client, HeartbeatRequest(self._group, self.generation, self.member_id))
        return str(for_code(answer.error_code).__name__)

    async def commit(self, offset: int, *, generation: int | None = None, member_id: str | None = None) -> str:
        """Name of the error."""
        request = OffsetCommitRequest(
            self._group,
            self.generation if generation is None else generation,
            self.member_id if member_id is None else member_id,
            -1,
            [(self._topic, [(0, offset, "")])],
        )
        answer = await _ask(self._client, request)
        return str(for_code(answer.topics[0][1][0][1]).__name__)


async def test_the_generation_decides_who_may_commit(clients: Clients) -> None:
    """Every step of a rebalance, and for each what a commit is answered."""
    topic, group = await clients.topic(), clients.name("group")
    first, second = [Bare(await clients.wire(), group, topic) for _ in range(2)]
    await first.join()
    assert await first.commit(1) == "RebalanceInProgressError", "joined, but not yet synced"
    assert await first.sync([(first.member_id, b"all")]) == ("NoError", b"all")
    assert await first.commit(2) == "NoError", "stable"
    assert await first.commit(3, generation=first.generation - 1) == "IllegalGenerationError", "an old generation"
    assert await first.commit(3, member_id="nobody") == "UnknownMemberIdError", "not a member"
    assert await first.commit(3, generation=-1, member_id="") == "UnknownMemberIdError", "not even named"

    old = first.generation
    joining = asyncio.create_task(second.join())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await first.heartbeat() != "RebalanceInProgressError":
            pass  # The broker tells of the other's join only when asked.
    assert await first.commit(4) == "NoError", "a rebalance has begun, the generation still counts"
    await asyncio.gather(first.join(), joining)
    assert (first.generation, second.generation) == (old + 1, old + 1)
    assert await first.commit(5, generation=old) == "IllegalGenerationError", "the generation is over"

    follower = asyncio.create_task(second.sync([]))
    assert await first.sync([(first.member_id, b"a"), (second.member_id, b"b")]) == ("NoError", b"a")
    assert await follower == ("NoError", b"b")
    assert await second.commit(6) == "NoError", "stable again"
    kept = await (await clients.admin()).list_consumer_group_offsets(group)
    assert kept[TopicPartition(topic, 0)].offset == 6
