"""Redis Cluster and Sentinel: what the clients follow, what they never repeat, and what a fail-over takes along."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError, TryAgainError

from dashboard.shards import Shards
from evaluation.batch_store import BatchStore
from evaluation.budget import PlaneStore
from evaluation.pacing import Budget, Spent
from stream.core.ticks import NEVER
from stream.doctor import examine_redis
from stream.embedded import EmbeddedRedis, free_port
from stream.ondemand import Question, ask
from stream.settings import Settings, load_settings
from stream.settings_clients import redis_client
from stream.store import Advance, Birth, OffsetMismatch, PartitionState, Store
from tests.integration import traffic
from tests.support.certificates import Authority
from tests.support.real_redis import RealRedis
from tests.support.redis_cluster import MASTERS, PASSWORD, USER, RedisCluster, admin, stop_replication
from tests.support.redis_sentinel import MASTER, RedisSentinel
from tests.support.shards import open_shards

pytestmark = [pytest.mark.timeout(120), pytest.mark.redis]
P, SHARDS, TICK = "agent.interactions/0", 6, 100
LOGIN = {"USERNAME": USER, "PASSWORD": PASSWORD}
_numbers = count()


def clock() -> int:
    return time.time_ns() // 1_000_000


def settings_for(url: str, mode: str = "cluster", **more: str) -> Settings:
    """Settings of a namespace of their own."""
    found = {"MODE": mode, "URL": url, "NAMESPACE": f"cluster-{next(_numbers)}", **more}
    return load_settings(None, {f"MIDWATCH_REDIS__{name}": value for name, value in found.items()})


@asynccontextmanager
async def shards(settings: Settings, number: int = SHARDS) -> AsyncIterator[Store]:
    """Shards that are born and know one source partition."""
    client = redis_client(settings.redis)
    store = Store(client, settings.redis.namespace, number)
    try:
        for shard in range(number):
            await store.birth(shard, Birth())
            await store.register(shard, {P: PartitionState(0, NEVER)})
        yield store
    finally:
        await client.aclose()


async def add(store: Store, shard: int, expected: int, upto: int, blob: bytes = b"delta", tick: int = TICK) -> None:
    await store.ingest(shard, [Advance(P, expected, upto, 5)], [(tick, blob)])


async def patiently(store: Store, shard: int) -> dict[str, PartitionState]:
    """Where a shard stands, as soon as somebody serves it again."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await store.parts(shard)
            except (RedisError, OSError):
                await asyncio.sleep(0.05)  # Another process's election cannot be awaited.


@pytest.fixture
async def store(redis_cluster: RedisCluster) -> AsyncIterator[Store]:
    async with shards(settings_for(redis_cluster.url, **LOGIN)) as found:
        yield found


async def test_scripts_reach_every_node_under_the_shipped_rules(redis_cluster: RedisCluster, store: Store) -> None:
    """Also one that has lost its scripts; the shards lie on more than one node."""
    for node in redis_cluster.nodes:
        with admin(node) as client:
            client.script_flush()
    for shard in range(SHARDS):
        await add(store, shard, 0, 3)
    assert [(await store.parts(shard))[P].next_offset for shard in range(SHARDS)] == [3] * SHARDS
    assert await store.living("w1", 1, 10) == 1
    holders = {redis_cluster.master_of(store.key(shard, "meta")).port for shard in range(SHARDS)}
    assert len(holders) > 1


async def test_every_master_is_asked_for_the_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them may be wrong, and one may be away; only if none answers there is no time."""
    client: Any = store.redis
    masters = {node.name for node in client.get_primaries()}
    assert len(masters) == MASTERS
    assert set(await client.time()) == masters
    send, away = client._send, set(sorted(masters)[:1])

    async def cut(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node.name in away:
            raise RedisConnectionError(f"{node.name} is away")
        return await send(node, args, kwargs)

    monkeypatch.setattr(client, "_send", cut)
    assert set(await client.time()) == masters - away
    away |= masters
    with pytest.raises(RedisConnectionError, match="is away"):
        await client.time()


async def test_the_judge_keeps_its_books_in_a_cluster(store: Store) -> None:
    """Claims, budgets and batches touch several keys each; all of them lie in one slot."""
    plane = PlaneStore(store.redis, store.namespace, "judge-1", time.monotonic)
    assert await plane.reserve("sample", 1, Spent(10, 20), Budget(15, None)) is True
    assert await plane.reserve("sample", 1, Spent(10, 20), Budget(15, None)) is False
    await plane.settle("sample", 1, Spent(10, 20), Spent(7, 9))
    assert await plane.spent("sample", 1) == Spent(7, 9)
    assert await plane.want(600.0, Spent(1, 1)) is not None
    ticket = plane.ticket()
    assert await plane.claim("i-1", ticket, 1000) == b""
    assert await BatchStore(store.redis, store.namespace).claim("b", ["i-1", "i-2"]) == [False, True]
    assert await plane.reference("anchors", {"a": 4.5}) == {"a": 4.5}
    assert await plane.reference("anchors", {"a": 1.0, "b": 2.0}) == {"a": 4.5, "b": 2.0}
    await plane.remember("s", b"first")
    await plane.remember("s", b"second")
    assert await plane.recent("s") == [b"second", b"first"]
    assert plane.up


async def test_what_reads_beside_the_engine_reads_a_cluster(redis_cluster: RedisCluster) -> None:
    """The chain on demand and the page's windows: state, hours and inboxes of shards on different nodes."""
    settings = settings_for(redis_cluster.url)  # as the administrator: the test removes its keys by SCAN
    events = [event for _, event in traffic.events()]
    async with open_shards(settings) as filled:
        await filled.take(events)
        await filled.evaluate()
        answer = await ask(settings, Question("production", "refunds"))
        assert answer.recent.total
        views = await Shards(filled.store, settings).all()
        systems = {key.system for view in views for key in view.machine.windows["flow"].keys}
        assert systems == {event["system"] for event in events if event["type"] == "interaction"}


class Move:
    """A shard's slot on its way from one master to another, key by key."""

    def __init__(self, nodes: RedisCluster, store: Store, shard: int = 0) -> None:
        self.slot = key_slot(store.key(shard, "meta").encode())
        self.source = nodes.master_of(store.key(shard, "meta"))
        others = [nodes.master_of(store.key(one, "meta")) for one in range(SHARDS)]
        self.target = next(node for node in others if node is not self.source)
        self.clients = [admin(self.source), admin(self.target)]
        self.identities = [str(client.execute_command("CLUSTER MYID")) for client in self.clients]

    def begin(self) -> None:
        source, target = self.clients
        self._set(target, "IMPORTING", self.identities[0])
        self._set(source, "MIGRATING", self.identities[1])

    def send(self, *keys: str) -> None:
        for key in keys:
            self.clients[0].execute_command("MIGRATE", "127.0.0.1", self.target.port, key, 0, 5000)

    def finish(self) -> None:
        left = self.clients[0].execute_command("CLUSTER GETKEYSINSLOT", self.slot, 1000)
        self.send(*left)
        for client in reversed(self.clients):
            self._set(client, "NODE", self.identities[1])

    def _set(self, client: Any, *words: str) -> None:
        client.execute_command("CLUSTER SETSLOT", self.slot, *words)

    def close(self) -> None:
        for client in self.clients:
            client.close()


async def test_a_shard_that_is_moved_under_way_is_whole(redis_cluster: RedisCluster, store: Store) -> None:
    """While its keys are on two nodes no script begins, and nothing reads as empty; then the new node goes on."""
    await add(store, 0, 0, 3)
    token = await store.acquire(0, "w1", 60_000)
    assert token is not None
    with closing(Move(redis_cluster, store)) as move:
        move.begin()
        move.send(store.key(0, f"in:{TICK}"))
        with pytest.raises(ResponseError, match="non local key"):
            await add(store, 0, 3, 5)
        with pytest.raises(ResponseError, match="non local key"):
            await store.seal(0, token, TICK, 1)
        assert await store.parts(0) == {P: PartitionState(3, 5)}
        move.send(store.key(0, "parts"))
        with pytest.raises(TryAgainError, match="nothing was done"):
            await store.parts(0)
        move.finish()
    await add(store, 0, 3, 5, b"more")
    assert await store.parts(0) == {P: PartitionState(5, 5)}
    assert await store.seal(0, token, TICK, 1) == {TICK: [b"delta", b"more"]}


async def test_without_the_probe_a_commit_would_be_torn(
    redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offset moves, the counts do not: what the probe is there for."""
    monkeypatch.setattr("stream.store.PROBED", frozenset())
    async with shards(settings_for(redis_cluster.url, **LOGIN)) as store:
        await add(store, 0, 0, 3)
        with closing(Move(redis_cluster, store)) as move:
            move.begin()
            move.send(store.key(0, f"in:{TICK}"))
            with pytest.raises(ResponseError, match="non local key"):
                await add(store, 0, 3, 5)
            assert await store.parts(0) == {P: PartitionState(5, 5)}
            move.finish()


class Cutter:
    """Stands before a node and hangs up on whoever sends a script once the node has run it: the answer is lost."""

    def __init__(self) -> None:
        self.port = free_port()
        self.cut = False
        self._node, self._lost = 0, False

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        self._node = port
        async with await asyncio.start_server(self._serve, "127.0.0.1", self.port):
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", self._node)
        back = asyncio.create_task(self._pass_back(answers, writer))
        while data := await reader.read(65_536):
            self._lost |= self.cut and b"EVALSHA" in data
            questions.write(data)
        questions.close()
        await back

    async def _pass_back(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await answers.read(65_536)) and not self._lost:
            writer.write(data)
        self._lost = False
        writer.close()


@dataclass(frozen=True)
class Lonely:
    """A cluster of one node, which is reached by a cutter, or with TLS."""

    node: RealRedis
    cutter: Cutter
    authority: Authority
    tls_url: str


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lonely]:
    authority, cutter, port = Authority(tmp_path_factory.mktemp("lonely")), Cutter(), free_port()
    certfile, keyfile = authority.issue("node")
    more = ["--tls-port", str(port), "--tls-cert-file", str(certfile), "--tls-key-file", str(keyfile)]
    more += ["--tls-ca-cert-file", str(authority.cafile), "--tls-auth-clients", "no", "--tls-cluster", "yes"]
    more += ["--cluster-announce-port", str(cutter.port), "--cluster-announce-tls-port", str(port)]
    with RedisCluster(1, 0, more) as nodes:
        yield Lonely(nodes.nodes[0], cutter, authority, f"rediss://127.0.0.1:{port}")


async def test_a_script_whose_answer_is_lost_is_sent_once(lonely: Lonely) -> None:
    """Nobody knows whether it ran: that is for the fences to find out, not for the client to try."""
    cutter = lonely.cutter
    settings = settings_for(f"redis://127.0.0.1:{cutter.port}", **LOGIN)
    async with cutter.serving(lonely.node.port), shards(settings, 1) as store:
        await add(store, 0, 0, 3)
        with admin(lonely.node) as client:
            client.config_resetstat()
            cutter.cut = True
            with pytest.raises(RedisConnectionError):
                await add(store, 0, 3, 5)
            cutter.cut = False
            assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 1
        assert (await store.parts(0))[P].next_offset == 5
        with pytest.raises(OffsetMismatch):
            await add(store, 0, 3, 5)


async def test_a_cluster_is_spoken_to_by_tls(lonely: Lonely) -> None:
    """By the certificates and the login of the configuration, and by nothing less."""
    cafile = {"SSL_CAFILE": str(lonely.authority.cafile)}
    async with shards(settings_for(lonely.tls_url, **cafile, **LOGIN), 2) as store:
        await add(store, 1, 0, 3)
        assert (await store.parts(1))[P].next_offset == 3
    for wrong in (LOGIN, {**cafile, **LOGIN, "PASSWORD": "no"}):
        with pytest.raises(RedisConnectionError):
            async with shards(settings_for(lonely.tls_url, **wrong), 1):
                pass


async def test_the_doctor_sees_the_whole_cluster(redis_cluster: RedisCluster) -> None:
    """State, slots and replicas, each fact once; and a mode that does not fit is said in words."""
    lines = {line.subject: line for line in await examine_redis(settings_for(redis_cluster.url, **LOGIN), clock)}
    assert {line.level for line in lines.values()} == {"ok"}
    assert lines["redis cluster"].detail.startswith("16384 of 16384 slots, 3 master(s), 3 replica(s)")
    assert "127.0.0.1:" in lines["redis shards"].detail
    assert "127.0.0.1:" not in lines["redis persistence"].detail
    one = f"redis://127.0.0.1:{redis_cluster.nodes[0].port}/0"
    (line,) = await examine_redis(settings_for(one, "single", **LOGIN), clock)
    assert (line.level, line.subject) == ("fail", "redis mode")
    with EmbeddedRedis() as single:
        (line,) = await examine_redis(settings_for(single.url), clock)
        assert "not a node of a Redis Cluster" in line.detail


@pytest.fixture(scope="module")
def sentinel() -> Iterator[RedisSentinel]:
    with RedisSentinel() as found:
        yield found


async def test_sentinels_name_the_next_master(sentinel: RedisSentinel) -> None:
    """A lost master's last writes are gone, which a worker is told; the doctor warns of a master that goes on alone."""
    settings = settings_for(sentinel.url, "sentinel", SENTINEL_MASTER=MASTER)
    lines = {(line.subject, line.level): line.detail for line in await examine_redis(settings, clock)}
    assert "3 of 3 configured know" in lines["redis sentinel", "ok"]
    assert "min-replicas-to-write is 0" in lines["redis replicas", "warn"]
    async with shards(settings, 1) as store:
        await add(store, 0, 0, 3)
        token = await store.acquire(0, "w1", 60_000)
        assert token is not None
        master: RealRedis = sentinel.master()
        with admin(master) as client:
            client.wait(1, 5000)
        with stop_replication(master):
            await add(store, 0, 3, 9, tick=TICK + 1)
            assert await store.seal(0, token, TICK, 1, 0) is not None
            assert await store.commit(0, token, 0, TICK)
            master.kill()
        assert (await patiently(store, 0))[P].next_offset == 3
        with pytest.raises(OffsetMismatch):
            await add(store, 0, 9, 12)
        with pytest.raises(OffsetMismatch):
            await store.touch(0, [(P, 9, 50)])
        assert not await store.renew(0, "w1", token, 1000, TICK)
        assert await store.seal(0, token, TICK + 5, TICK + 1, TICK) is None
        await add(store, 0, 3, 9, tick=TICK + 1)
        assert (await store.parts(0))[P].next_offset == 9
        assert sentinel.master() is not master


async def test_a_client_is_closed_with_all_that_it_asks(sentinel: RedisSentinel) -> None:
    """No connection is left behind, to the master or to a sentinel."""
    client: Any = redis_client(settings_for(sentinel.url, "sentinel", SENTINEL_MASTER=MASTER).redis)
    await patiently(Store(client, "any", 1), 0)
    pools: list[Any] = [client.connection_pool, *(one.connection_pool for one in client.asked.sentinels)]
    await client.aclose()
    assert not any(connection.is_connected for pool in pools for connection in pool._available_connections)
