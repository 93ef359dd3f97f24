"""What waits in an inbox that is still open is added up beforehand, and never becomes anything else by that."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from stream import compaction, evaluate
from stream import store as store_module
from stream.compaction import MOST, REST_SECONDS, Addition, Compactor
from stream.core.checkpoint import Checkpoint
from stream.core.deltas import Delta, merge, pack, unpack
from stream.core.ticks import MINUTE_MS, NEVER
from stream.embedded import EmbeddedRedis
from stream.evaluate import EvaluateSettings, ShardEvaluator
from stream.evaluate_loop import EvaluateLoop, Voice
from stream.standing import Staleness
from stream.store import Advance, Birth, PartitionState, Store
from tests.simulation.world import ENGINE, make_machine
from tests.unit.core.builders import count

TICK = 29_540_160
SOURCE = "agent.interactions/0"


class Bench:
    """One shard, and deltas for it that come one by one."""

    def __init__(self, redis: Redis) -> None:
        self.redis: Any = redis
        self.store = Store(redis, "compaction", 1)
        self.compactor = Compactor(self.store, 0, fewest=4)
        self.token = ""
        self.sent: list[Delta] = []

    async def begin(self) -> None:
        await self.store.birth(0, Birth())
        await self.store.register(0, {SOURCE: PartitionState(0, NEVER)})
        self.token = await self.store.acquire(0, "one", 60_000) or ""

    async def send(self, number: int, names: str = "f", tick: int = TICK) -> None:
        """So many deltas, of one count each; the names in turn."""
        for _ in range(number):
            at = len(self.sent)
            delta = Delta((count(TICK - 1, 1, at, name=names[at % len(names)]),))
            self.sent.append(delta)
            await self.store.ingest(0, [Advance(SOURCE, at, at + 1, tick * MINUTE_MS)], [(tick, pack(delta))])

    async def inbox(self, tick: int = TICK) -> list[bytes]:
        found: list[bytes] = await self.redis.lrange(self.store.key(0, f"in:{tick}"), 0, -1)
        return found

    async def sizes(self) -> tuple[int, int, int]:
        """Bytes in the inbox, as they are, as the inbox's own account has them, and as the shard's."""
        meta = await self.store.meta(0)
        assert meta is not None
        account = await self.redis.hget(self.store.key(0, "inbytes"), str(TICK))
        return sum(map(len, await self.inbox())), int(account), meta.pending

    async def check(self) -> None:
        """What the inbox holds is what was sent, and its size is known."""
        assert merge(unpack(blob) for blob in await self.inbox()) == merge(self.sent)
        assert len(set(await self.sizes())) == 1


@pytest.fixture
async def bench(embedded_redis: EmbeddedRedis) -> AsyncIterator[Bench]:
    redis = Redis.from_url(embedded_redis.url)
    await redis.flushdb()
    found = Bench(redis)
    await found.begin()
    yield found
    await redis.aclose()


async def test_deltas_are_added_up(bench: Bench) -> None:
    """Several become one that says the same; too few are let be; the sizes that hold ingest back are kept."""
    await bench.send(3)
    assert not await bench.compactor.step(bench.token, 0.0)
    assert not bench.compactor.due(0.5)
    assert bench.compactor.due(1.0)
    await bench.send(5)
    assert await bench.compactor.step(bench.token, 1.0)
    assert bench.compactor.due(1.0), "there may be more"
    assert len(await bench.inbox()) == 1
    await bench.check()
    assert await bench.store.seal(0, bench.token, TICK, 1, 0)
    assert await bench.store.commit(0, bench.token, 0, TICK, Checkpoint(TICK, b"state", {}))
    meta = await bench.store.meta(0)
    assert meta is not None
    assert meta.pending == 0, "what a checkpoint lets go is what is left of it"


async def test_what_comes_meanwhile_stays(bench: Bench) -> None:
    """Deltas that come between reading and writing stand behind the sum, in their order."""
    await bench.send(6)
    addition = await bench.compactor.read(bench.token)
    assert addition is not None
    await bench.send(2)
    behind = (await bench.inbox())[6:]
    assert await bench.compactor.write(bench.token, addition)
    assert (await bench.inbox())[1:] == behind
    await bench.check()
    assert not await bench.compactor.write(bench.token, addition), "a second time it is the sum of nothing there"
    await bench.check()


async def test_a_large_sum_is_not_packed_again_for_a_few(bench: Bench) -> None:
    """It is left alone until what follows it is as large; then they are one again."""
    await bench.send(40, names="abcdefghijklmnopqrst")
    assert await bench.compactor.step(bench.token, 0.0)
    await bench.send(5)
    assert await bench.compactor.step(bench.token, 2.0)
    large, small = await bench.inbox()
    assert len(large) > len(small)
    await bench.check()
    for now in range(3, 13):
        await bench.send(10, names="ab")
        assert await bench.compactor.step(bench.token, float(now))
    assert len(await bench.inbox()) <= 3
    await bench.send(20, names="abcdefghijklmnopqrst")
    assert await bench.compactor.step(bench.token, 20.0)
    assert len(await bench.inbox()) == 1
    await bench.check()


async def test_others_in_the_same_places_are_left_alone(bench: Bench) -> None:
    """Redis came back as it was before, and the telemetry was read again in other batches."""
    await bench.send(2)
    keys = [bench.store.key(0, name) for name in ("meta", "parts", "inbytes", f"in:{TICK}")]
    copies = [(key, await bench.redis.dump(key)) for key in keys]
    await bench.send(4)
    addition = await bench.compactor.read(bench.token)
    assert addition is not None
    for key, copy in copies:
        await bench.redis.restore(key, 0, copy, replace=True)
    del bench.sent[2:]
    await bench.send(5, names="gh")
    before = await bench.inbox()
    assert not await bench.compactor.write(bench.token, addition)
    assert await bench.inbox() == before
    await bench.check()


@pytest.mark.parametrize("what", ["sealed", "another epoch"])
async def test_a_sealed_inbox_and_another_epoch_are_left_alone(bench: Bench, what: str) -> None:
    """What is evaluated stays as it is; whoever lost the lease changes nothing."""
    await bench.send(6)
    addition = await bench.compactor.read(bench.token)
    assert addition is not None
    if what == "sealed":
        await bench.store.seal(0, bench.token, TICK, 1, 0)
        assert await bench.compactor.read(bench.token) is None
    else:
        await bench.redis.delete(bench.store.key(0, "lease"))
        assert await bench.store.acquire(0, "two", 60_000)
        assert await bench.compactor.read(bench.token) is None
    assert not await bench.compactor.write(bench.token, addition)
    assert len(await bench.inbox()) == 6


async def test_what_cannot_be_read_is_for_the_evaluation_to_find(bench: Bench) -> None:
    """Nothing is thrown away for being unreadable."""
    await bench.send(5)
    await bench.redis.rpush(bench.store.key(0, f"in:{TICK}"), b"no delta")
    assert not await bench.compactor.step(bench.token, 0.0)
    assert len(await bench.inbox()) == 6


async def test_the_first_tick_that_has_enough_is_taken(bench: Bench) -> None:
    """Later ticks have their turn when there is nothing left to do for earlier ones."""
    await bench.send(2)
    await bench.send(5, tick=TICK + 1)
    addition = await bench.compactor.read(bench.token)
    assert addition is not None
    assert (addition.tick, addition.count) == (TICK + 1, 5)


async def test_only_so_much_is_put_together_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing else waits for long; the rest has its turn next."""
    await bench.send(20)
    size = len(pack(bench.sent[0]))
    monkeypatch.setattr(compaction, "MOST_BYTES", 8 * size + 1)
    assert await bench.compactor.step(bench.token, 0.0)
    assert len(await bench.inbox()) == 20 - 8 + 1
    await bench.check()
    monkeypatch.setattr(compaction, "MOST_BYTES", 1)
    assert not await Compactor(bench.store, 0, fewest=100).step(bench.token, 0.0)


async def test_large_sums_do_not_stand_in_the_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at the front, of other series, which no work makes smaller: what is behind them is added up nonetheless."""
    monkeypatch.setattr(compaction, "MOST_BYTES", 3000)
    for start in (0x400, 0x800):
        await bench.send(40, names="".join(map(chr, range(start, start + 40))))
        large = merge(bench.sent[-40:])
        key = bench.store.key(0, f"in:{TICK}")
        await bench.redis.ltrim(key, 0, -41)
        await bench.redis.rpush(key, pack(large))
    await bench.redis.hset(bench.store.key(0, "inbytes"), str(TICK), sum(map(len, await bench.inbox())))
    assert min(map(len, await bench.inbox())) > 3000 / 4
    await bench.send(10)
    assert await bench.compactor.step(bench.token, 0.0)
    assert len(await bench.inbox()) == 3
    assert merge(unpack(blob) for blob in await bench.inbox()) == merge(bench.sent)


@pytest.mark.parametrize(("front", "behind"), [(0, 40), (0, 2), (3, 40), (3, 0)])
async def test_the_smaller_side_is_put_back(bench: Bench, front: int, behind: int) -> None:
    """A list is cut at its ends alone; whatever stands before and behind the place stays, in order."""
    await bench.send(front + 4 + behind)
    before = await bench.inbox()
    there = before[front : front + 4]
    sent = bench.sent[front : front + 4]
    digest = hashlib.sha1(b"".join(there), usedforsecurity=False).hexdigest()
    addition = Addition(TICK, front, 4, digest, sum(map(len, there)), pack(merge(sent)))
    assert await bench.compactor.write(bench.token, addition)
    assert await bench.inbox() == [*before[:front], addition.blob, *before[front + 4 :]]
    await bench.check()


async def test_a_refusal_is_said_and_let_be(bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Nothing depends on it: rights of an older version do not take the shard out of hand."""
    await bench.send(5)

    async def refused(*_any: object) -> Any:
        raise NoPermissionError("no permissions to run 'ltrim'")

    monkeypatch.setattr(bench.store, "run", refused)
    assert not await bench.compactor.step(bench.token, 0.0)
    assert not bench.compactor.due(REST_SECONDS - 1)
    assert bench.compactor.due(REST_SECONDS)


async def test_the_loop_compacts_what_it_holds(bench: Bench) -> None:
    """A shard that has no tick to evaluate has its open inbox added up."""

    async def say(*_any: object) -> None:
        pass

    def make(shard: int) -> ShardEvaluator:
        return ShardEvaluator(bench.store, shard, "one", make_machine, say, EvaluateSettings(600_000, 0))

    await bench.redis.delete(bench.store.key(0, "lease"))
    voice = Voice(say, say, say, Staleness(1, None))
    loop = EvaluateLoop(bench.store, "one", make, ENGINE, voice, cast("Any", None), lambda: 0)
    await loop._share()
    await bench.send(compaction.FEWEST, tick=TICK + 60)
    await loop._round(asyncio.Event())
    await loop._round(asyncio.Event())
    assert len(await bench.inbox(TICK + 60)) == 1
    assert merge(unpack(blob) for blob in await bench.inbox(TICK + 60)) == merge(bench.sent)


async def test_a_chunk_ends_where_it_is_large(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks are read together as long as that is little; one that is large by itself has its turn all the same."""
    for tick in range(TICK, TICK + 8):
        await bench.send(6 if tick == TICK + 4 else 1, tick=tick)
    size = len(pack(bench.sent[0]))
    monkeypatch.setattr(evaluate, "CHUNK_BYTES", 3 * size + 1)
    monkeypatch.setattr(evaluate, "LARGE", 2 * size)

    async def say_nothing(_said: object) -> None:
        pass

    await bench.redis.delete(bench.store.key(0, "lease"))
    evaluator = ShardEvaluator(bench.store, 0, "one", make_machine, say_nothing, EvaluateSettings(0, 0, 1000))
    assert await evaluator.acquire()
    found = []
    while await evaluator.advance():
        found.append(evaluator.committed - TICK)
    assert found == [2, 3, 4, 7]
    again = ShardEvaluator(bench.store, 0, "one", make_machine, say_nothing, EvaluateSettings(0, 0, 1000))
    await evaluator.release()
    assert await again.acquire()
    counts = [machine.machine.windows["flow"].minute_sums(60, 0).tolist() for machine in (evaluator, again)]
    assert counts == [[len(bench.sent)]] * 2


async def test_a_large_inbox_is_read_in_pieces(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was lost between two of them is not taken for the end."""
    await bench.send(50)
    monkeypatch.setattr(store_module, "INBOX_BYTES", 200)
    read = await bench.store.seal(0, bench.token, TICK, 1, 0)
    assert read is not None
    assert [unpack(blob) for blob in read[TICK]] == bench.sent
    await bench.redis.rpop(bench.store.key(0, f"in:{TICK}"))
    with pytest.raises(RedisError, match="has changed"):
        await bench.store.seal(0, bench.token, TICK, 1, 0)


async def test_what_does_not_shrink_is_let_be(bench: Bench) -> None:
    """As many series as events: it is tried with ever more, and then not for a while."""
    names = "".join(map(chr, range(0x400, 0x400 + 600)))
    await bench.send(600, names=names)
    now, tries = 0.0, 0
    while bench.compactor.due(now) and tries < 20:
        assert not await bench.compactor.step(bench.token, now)
        tries += 1
        now += 2.0
    assert 4 * 2 ** (tries - 1) <= MOST < 4 * 2**tries
    assert bench.compactor.due(now + REST_SECONDS)
    assert len(await bench.inbox()) == 600
