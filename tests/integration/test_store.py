"""The store and its scripts, on both servers: what each promises, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream.core.checkpoint import Checkpoint, load, save
from stream.core.deltas import Delta, pack, unpack
from stream.core.ticks import NEVER
from stream.store import (
    HOUR_TTL_SECONDS,
    SCRIPTS,
    Advance,
    Birth,
    LayoutMismatch,
    OffsetMismatch,
    PartitionMissing,
    PartitionState,
    Progress,
    ShardMissing,
    Store,
)
from tests.unit.core.builders import START, machine, traffic

_numbers = count()
P, Q = "agent.interactions/0", "agent.usage/11"
LEASE = 60_000


@pytest.fixture
async def redis(redis_server: Any) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_server.url, retry=Retry(NoBackoff(), 0))
    yield client
    await client.aclose()


@pytest.fixture(params=["plain", "odd: *[?]#{x y}%\\ü\n"])
async def store(request: pytest.FixtureRequest, redis: Redis) -> Store:
    """A store of two shards in a namespace of its own, plain or odd."""
    return Store(redis, f"store-{next(_numbers)}-{request.param}", 2)


async def born(store: Store, shard: int = 0, *partitions: str) -> None:
    await store.birth(shard, Birth())
    await store.register(shard, dict.fromkeys(partitions or (P,), PartitionState(0, NEVER)))


async def led(store: Store, shard: int = 0, owner: str = "w1") -> str:
    token = await store.acquire(shard, owner, LEASE)
    assert token is not None
    return token


async def add(
    store: Store, expected: int, upto: int, *deltas: tuple[int, bytes], newest: int = 5, shard: int = 0
) -> Progress:
    return await store.ingest(shard, [Advance(P, expected, upto, newest)], deltas)


async def everything(store: Store, shard: int = 0) -> dict[bytes, Any]:
    """Every key of a shard with its serialised value."""
    prefix = store.key(shard, "").encode()
    keys = [key async for key in store.redis.scan_iter(count=1000) if key.startswith(prefix)]
    return {key: await store.redis.dump(key) for key in sorted(keys)}


def checkpoint(tick: int = START) -> Checkpoint:
    shard = machine()
    shard.step(tick, [traffic(tick - 1, 3, 1)])
    return save(shard)


async def test_a_shard_is_born_once(store: Store) -> None:
    """The second birth changes nothing, whatever it brings."""
    assert await store.meta(0) is None
    assert await store.birth(0, Birth(quiet=7))
    before = await everything(store)
    assert not await store.birth(0, Birth(START, START, b"x", {(0, 1): b"y"}, {P: PartitionState(5, 5)}, [(1, b"z")]))
    assert await everything(store) == before
    meta = await store.meta(0)
    assert meta is not None
    assert (meta.committed, meta.sealed, meta.checkpoint, meta.quiet, meta.pending) == (0, 0, 0, 7, 0)


async def test_a_shard_born_of_a_snapshot_has_all_of_it(store: Store) -> None:
    """State, hours with expiry, offsets, and the inboxes that were open."""
    taken = checkpoint()
    inboxes = [(START + 1, b"one"), (START + 1, b"two"), (START + 9, b"nine")]
    parts = {P: PartitionState(7, 70), Q: PartitionState(0, NEVER)}
    assert await store.birth(0, Birth(START, START + 3, taken.state, taken.hours, parts, inboxes))
    assert await store.parts(0) == parts
    state, hours = await store.load(0)
    assert (state, hours) == (taken.state, taken.hours)
    meta = await store.meta(0)
    assert meta is not None
    assert (meta.committed, meta.checkpoint, meta.quiet, meta.pending) == (START, START, START + 3, 10)
    sealed = await store.seal(0, await led(store), START + 10, START + 1)
    assert sealed == {START + 1: [b"one", b"two"], START + 9: [b"nine"]}
    for kind, hour in taken.hours:
        assert 0 < await store.redis.ttl(store.key(0, f"hour:{kind}:{hour}")) <= HOUR_TTL_SECONDS


async def test_known_partitions_keep_their_place(store: Store) -> None:
    """Registering again, with another start, adds only what is new."""
    await born(store)
    await add(store, 0, 10, newest=99)
    await store.register(0, {P: PartitionState(3, 1), Q: PartitionState(4, 2)})
    assert await store.parts(0) == {P: PartitionState(10, 99), Q: PartitionState(4, 2)}


async def test_ingest_commits_deltas_and_offsets_together(store: Store) -> None:
    """The offset moves, the inbox grows, the answer says how much waits and how new it is."""
    await born(store, 0, P, Q)
    advances = [Advance(P, 0, 10, 500), Advance(Q, 0, 3, 400)]
    progress = await store.ingest(0, advances, [(START, b"abc"), (START + 1, b"d")])
    assert progress == Progress(4, 500)
    assert await add(store, 10, 12, (START, b"ef"), newest=450) == Progress(6, 500)
    assert await store.parts(0) == {P: PartitionState(12, 450), Q: PartitionState(3, 400)}
    assert await store.seal(0, await led(store), START + 1, 1) == {START: [b"abc", b"ef"], START + 1: [b"d"]}


@pytest.mark.parametrize("expected", [0, 9, 11])
async def test_ingest_at_another_offset_writes_nothing(store: Store, expected: int) -> None:
    """A resend, a zombie, a gap: refused with what is stored, for the whole batch."""
    await born(store, 0, P, Q)
    await add(store, 0, 10, (START, b"abc"), newest=77)
    before = await everything(store)
    with pytest.raises(OffsetMismatch) as refused:
        await store.ingest(0, [Advance(Q, 0, 5, 9), Advance(P, expected, 20, 9)], [(START, b"xyz")])
    assert (refused.value.partition, refused.value.next_offset, refused.value.newest_ms) == (P, 10, 77)
    assert await everything(store) == before


async def test_of_two_that_race_one_commits(store: Store) -> None:
    """The same batch from two workers at once is counted once."""
    await born(store)
    results = await asyncio.gather(*(add(store, 0, 5, (START, b"abc")) for _ in range(8)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["OffsetMismatch"] * 7 + ["Progress"]
    assert await store.seal(0, await led(store), START, 1) == {START: [b"abc"]}


async def test_what_is_not_there_is_said(store: Store) -> None:
    """A missing shard and an unknown partition are told apart; nothing comes into being by the way."""
    with pytest.raises(ShardMissing, match="shard 0 is not in Redis"):
        await add(store, 0, 1, (START, b"x"))
    with pytest.raises(ShardMissing):
        await store.touch(0, [(P, 0, 5)])
    with pytest.raises(ShardMissing):
        await store.register(0, {P: PartitionState(0, 0)})
    assert await store.acquire(0, "w1", LEASE) is None
    assert await everything(store) == {}
    await store.birth(0, Birth())
    with pytest.raises(PartitionMissing, match=P):
        await add(store, 0, 1, (START, b"x"))


async def test_touch_notes_only_where_the_shard_stands(store: Store) -> None:
    """A note about another offset is left out, and said; the time found empty never goes back."""
    await born(store, 0, P, Q)
    await add(store, 0, 10, newest=50)
    with pytest.raises(OffsetMismatch) as other:
        await store.touch(0, [(Q, 4, 100), (P, 10, 100)])
    assert (other.value.partition, other.value.next_offset, other.value.newest_ms) == (Q, 0, NEVER)
    with pytest.raises(PartitionMissing, match="unheard/0"):
        await store.touch(0, [("unheard/0", 4, 100)])
    assert await store.touch(0, [(P, 10, 60)]) == Progress(0, 50)
    assert await store.parts(0) == {P: PartitionState(10, 50, 100), Q: PartitionState(0, NEVER, 0)}


async def test_a_sealed_tick_takes_nothing_more(store: Store) -> None:
    """What comes for it is seen at the first tick that is open; the seal never goes back."""
    await born(store)
    token = await led(store)
    await add(store, 0, 1, (START, b"a"))
    assert await store.seal(0, token, START + 5, 1) == {START: [b"a"]}
    await add(store, 1, 2, (START, b"b"), (START + 5, b"c"), (START + 7, b"d"))
    assert await store.seal(0, token, START + 2, 1) == {START: [b"a"]}
    assert await store.seal(0, token, START + 9, 1) == {START: [b"a"], START + 6: [b"b", b"c"], START + 7: [b"d"]}


async def test_a_lease_has_one_holder_and_every_taking_is_an_epoch(store: Store) -> None:
    """Another owner waits until it is given up or has run out; the same owner starts a new epoch."""
    await born(store)
    first = await led(store)
    assert await store.acquire(0, "w2", LEASE) is None
    assert await store.holder(0) == "w1"
    second = await led(store)
    assert int(second.split(":")[0]) == int(first.split(":")[0]) + 1
    assert not await store.renew(0, "w1", first, LEASE)
    assert await store.renew(0, "w1", second, LEASE)
    assert 0 < await store.redis.pttl(store.key(0, "lease")) <= LEASE
    assert await store.renew(0, "w1", second, 0)
    assert await store.holder(0) is None
    assert await store.acquire(0, "w2", LEASE) is not None


async def test_a_zombie_is_fenced_from_everything(store: Store) -> None:
    """Once another has taken the shard, its old token seals, commits, renews and reads nothing."""
    await born(store)
    old = await led(store)
    await store.seal(0, old, START, 1)
    await store.redis.delete(store.key(0, "lease"))
    await led(store, owner="w2")
    before = await everything(store)
    assert await store.seal(0, old, START + 50, 1) is None
    assert not await store.commit(0, old, 0, START, checkpoint())
    assert not await store.renew(0, "w1", old, LEASE)
    assert await store.open_ends(0, old, 0) is None
    assert await everything(store) == before


@pytest.mark.parametrize(("expected", "tick"), [(START - 1, START + 1), (0, START + 1), (START, START + 6)])
async def test_commit_needs_the_tick_it_saw_and_the_seal(store: Store, expected: int, tick: int) -> None:
    """Another committed tick (Redis lost data), or one that was never sealed, is refused."""
    await born(store)
    token = await led(store)
    await store.seal(0, token, START + 5, 1)
    assert await store.commit(0, token, 0, START)
    before = await everything(store)
    assert not await store.commit(0, token, expected, tick, checkpoint())
    assert await everything(store) == before
    assert await store.commit(0, token, START, START + 5)


async def test_inboxes_are_trimmed_at_checkpoints_and_not_before(store: Store) -> None:
    """A committed tick without a checkpoint is needed for recovery; with one, its inbox goes and its bytes are free."""
    await born(store)
    token = await led(store)
    await add(store, 0, 1, (START, b"abc"), (START + 1, b"de"), (START + 2, b"f"))
    await store.seal(0, token, START + 2, 1)
    assert await store.commit(0, token, 0, START)
    assert await store.seal(0, token, START + 2, 1) == {START: [b"abc"], START + 1: [b"de"], START + 2: [b"f"]}
    taken = checkpoint(START + 1)
    assert await store.commit(0, token, START, START + 1, taken)
    assert await store.seal(0, token, START + 2, 1) == {START + 2: [b"f"]}
    meta = await store.meta(0)
    assert meta is not None
    assert (meta.committed, meta.checkpoint, meta.pending) == (START + 1, START + 1, 1)
    assert await store.load(0) == (taken.state, taken.hours)
    for kind, hour in taken.hours:
        assert 0 < await store.redis.ttl(store.key(0, f"hour:{kind}:{hour}")) <= HOUR_TTL_SECONDS
    assert await store.open_ends(0, token, START + 1) == ({P: PartitionState(1, 5)}, [(START + 2, b"f")])


async def test_an_hour_that_has_expired_is_left_out(store: Store) -> None:
    """The state comes back with every hour that is still there."""
    taken = checkpoint()
    await store.birth(0, Birth(START, START, taken.state, taken.hours))
    (kind, hour), *_ = taken.hours
    await store.redis.delete(store.key(0, f"hour:{kind}:{hour}"))
    state, hours = await store.load(0)
    assert (state, set(hours)) == (taken.state, taken.hours.keys() - {(kind, hour)})
    load(machine(), state, hours)


async def test_a_checkpoint_that_frees_nothing_is_committed(store: Store) -> None:
    """A tick of a shard in which nothing waits has no bytes to give back."""
    await born(store)
    token = await led(store)
    assert await store.seal(0, token, START + 1, START) == {}
    meta = await store.meta(0)
    assert meta is not None
    assert await store.commit(0, token, meta.committed, START + 1, checkpoint())


async def test_a_shard_without_a_checkpoint_loads_as_nothing(store: Store) -> None:
    """Empty state, no hours."""
    await born(store)
    assert await store.load(0) == (b"", {})


async def test_shards_do_not_mix(store: Store) -> None:
    """What one shard is told, the other does not know, though both lie in one namespace."""
    await born(store, 0)
    await born(store, 1)
    other = await everything(store, 1)
    token = await led(store, 0)
    await add(store, 0, 3, (START, b"abc"))
    await store.seal(0, token, START, 1)
    await store.commit(0, token, 0, START, checkpoint())
    assert await everything(store, 1) == other
    assert await store.seal(1, await led(store, 1), START, 1) == {}


async def test_every_key_of_a_shard_has_its_hash_tag(store: Store) -> None:
    """Those that scripts name by a prefix too: in a cluster they lie on one node, apart from the other shard's."""
    for shard in (0, 1):
        taken = checkpoint()
        await store.birth(shard, Birth(START, START, taken.state, taken.hours, {P: PartitionState(0, 0)}))
        await add(store, 0, 1, (START + 1, b"x"), shard=shard)
        await led(store, shard)
        keys = await everything(store, shard)
        assert len({_tag(key) for key in keys}) == 1
        assert {key.removeprefix(store.key(shard, "").encode()).split(b":")[0] for key in keys} == {
            b"meta", b"parts", b"inbytes", b"in", b"hour", b"state", b"lease"
        }  # fmt: skip


def _tag(key: bytes) -> bytes:
    """The part of a key that a cluster hashes."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    return key[start + 1 : end] if end > start + 1 else key


async def test_another_layout_is_refused(store: Store, redis: Redis) -> None:
    """An engine with another number of shards says so, and what to do, instead of reading the wrong series."""
    await born(store)
    other = Store(redis, store.namespace, 3)
    with pytest.raises(LayoutMismatch, match=r"Redis holds 2 shards .* this engine has 3 .* set engine\.shards back"):
        await other.meta(0)


async def test_workers_are_counted_while_they_live(store: Store) -> None:
    """One that has not spoken for its time, or has left, does not count."""
    assert await store.living("w1", 1000, 50) == 1
    assert await store.living("w2", 1020, 50) == 2
    assert await store.living("w2", 1060, 50) == 1
    assert await store.living("w1", 1060, 50) == 2
    await store.leave("w1")
    assert await store.living("w2", 1061, 50) == 1


async def test_packed_deltas_come_back_as_they_were(store: Store) -> None:
    """Binary values survive the script."""
    await born(store)
    delta = Delta(traffic(START - 1, 2**31, 255, 0).counts)
    await add(store, 0, 1, (START, pack(delta)))
    sealed = await store.seal(0, await led(store), START, 1)
    assert sealed is not None
    assert [unpack(blob) for blob in sealed[START]] == [delta]


async def test_large_offsets_and_times_are_exact(store: Store) -> None:
    """Lua counts in doubles: what has 16 digits must not be rounded."""
    await born(store)
    big = 2**53 - 1
    await add(store, 0, big, newest=4_102_444_799_999)
    assert await store.parts(0) == {P: PartitionState(big, 4_102_444_799_999)}
    with pytest.raises(OffsetMismatch):
        await add(store, big - 1, big)


def test_every_script_says_what_it_returns() -> None:
    """The head of each names keys, arguments and answer."""
    from stream.store import script_text

    for name in SCRIPTS:
        head = [line for line in script_text(name).splitlines() if line.startswith("--")]
        assert {"KEYS", "ARGV", "Returns"} <= set(" ".join(head).split()), name
