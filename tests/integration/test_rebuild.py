"""A shard whose state cannot be read is made anew, from what there is, and nothing that was said is said again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from schemas.words import HEARTBEATS_TOPIC, SNAPSHOTS_TOPIC
from stream import restore
from stream import store as store_module
from stream.core.checkpoint import save
from stream.core.layouts import LayoutError
from stream.core.ticks import MINUTE_MS, NEVER
from stream.embedded import EmbeddedRedis
from stream.evaluate import EvaluateSettings, Fenced, ShardEvaluator
from stream.rebuild import MOST, Rebuilder
from stream.snapshots import to_records
from stream.store import Advance, Birth, PartitionState, Store
from tests.simulation.world import make_machine

SNAPSHOT_TICK = 29_540_100
COMMITTED = 29_540_160
START = PartitionState(7, NEVER)
WHY = LayoutError("the checkpoint cannot be read (by this test)")


class Damaged:
    """One shard that was committed up to a tick, with bytes for a state that nobody can read."""

    def __init__(self, redis: Redis) -> None:
        self.redis: Any = redis
        self.store = Store(redis, "rebuild", 1)
        self.token = ""
        self.kafka: dict[str, list[bytes]] = {SNAPSHOTS_TOPIC: [], HEARTBEATS_TOPIC: []}

    async def begin(self) -> None:
        await self.store.birth(0, Birth(COMMITTED, 0, b"half a st"))
        await self.store.register(0, {"agent.usage/0": PartitionState(900, NEVER)})
        self.token = await self.store.acquire(0, "one", 60_000) or ""
        assert self.token

    def evaluator(self, token: str | None = None, committed: int = COMMITTED, quiet: int = 0) -> Any:
        one = SimpleNamespace(shard=0, committed=committed, quiet=quiet, token=token or self.token)
        return cast("Any", one)

    def with_snapshot(self) -> None:
        machine = make_machine()
        machine.step(SNAPSHOT_TICK, [])
        pieces = to_records(0, 1, 0, save(machine, all_hours=True), {"agent.usage/0": START}, [], namespace="rebuild")
        self.kafka[SNAPSHOTS_TOPIC] = [piece.value for piece in pieces]

    async def starts(self) -> dict[str, PartitionState]:
        return {"agent.usage/0": START, "agent.usage/1": START}

    def rebuilder(self) -> Rebuilder:
        return Rebuilder(self.store, {}, self.starts)


@pytest.fixture
async def damaged(embedded_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Damaged]:
    redis = Redis.from_url(embedded_redis.url)
    await redis.flushdb()
    found = Damaged(redis)

    async def read_values(topic: str, _kafka: object) -> list[bytes]:
        return found.kafka[topic]

    monkeypatch.setattr(restore, "read_values", read_values)
    await found.begin()
    yield found
    await redis.aclose()


@pytest.mark.parametrize(("snapshot", "source", "tick"), [(True, "snapshot", SNAPSHOT_TICK), (False, "telemetry", 0)])
async def test_it_is_made_from_what_there_is(damaged: Damaged, snapshot: bool, source: str, tick: int) -> None:
    """Its newest snapshot, else the telemetry; silent up to where it was; the unreadable bytes are kept for a look."""
    if snapshot:
        damaged.with_snapshot()
    assert await damaged.rebuilder().rebuild(damaged.evaluator(), WHY) == source
    meta = await damaged.store.meta(0)
    assert meta is not None
    assert (meta.committed, meta.quiet) == (tick, COMMITTED)
    assert await damaged.store.parts(0) == {"agent.usage/0": START, "agent.usage/1": START}
    assert await damaged.redis.get(damaged.store.unreadable(0)) == b"half a st"


async def test_a_snapshot_that_is_no_better_is_not_taken_again(damaged: Damaged) -> None:
    """The second time it is made from the telemetry; then the error itself is raised, or it would go on for ever."""
    damaged.with_snapshot()
    rebuilder, found = damaged.rebuilder(), []
    for committed, quiet in ((COMMITTED, 0), (SNAPSHOT_TICK, COMMITTED)):
        found.append(await rebuilder.rebuild(damaged.evaluator(None, committed, quiet), WHY))
    assert found == ["snapshot", "telemetry"]
    assert len(found) == MOST
    meta = await damaged.store.meta(0)
    assert meta is not None
    assert meta.quiet == COMMITTED, "what had been said before the first time is not said after the second"
    assert await damaged.redis.get(damaged.store.unreadable(0)) == b"half a st", "not what was made from the snapshot"
    with pytest.raises(LayoutError, match="by this test"):
        await rebuilder.rebuild(damaged.evaluator(), WHY)


async def test_what_it_was_made_from_is_told_whoever_made_it(damaged: Damaged) -> None:
    """Whoever reads the sources misses the shard as well, and may be the first to make it."""
    damaged.with_snapshot()
    by_another: list[dict[int, int]] = []

    async def starts() -> dict[str, PartitionState]:
        if not by_another:
            by_another.append({})
            by_another[0] = await restore.ensure_shards(damaged.store, {}, damaged.starts)
        return await damaged.starts()

    assert await Rebuilder(damaged.store, {}, starts).rebuild(damaged.evaluator(), WHY) == "snapshot"
    assert by_another == [{0: SNAPSHOT_TICK}]


async def test_snapshots_that_are_of_no_use_are_taken_by_nobody(damaged: Damaged) -> None:
    """Not by another worker that is the first to make the shard, nor by one that had read them before; once only."""
    damaged.with_snapshot()
    assert await damaged.store.forget(0, damaged.token, snapshots=False)
    assert not await damaged.store.birth(0, Birth(SNAPSHOT_TICK, 0, b"state"))
    assert await restore.ensure_shards(damaged.store, {}, damaged.starts) == {0: 0}
    assert await damaged.store.forget(0, damaged.token)
    assert await restore.ensure_shards(damaged.store, {}, damaged.starts) == {0: SNAPSHOT_TICK}


async def test_an_older_version_that_does_not_know_the_note_leaves_no_trace(damaged: Damaged) -> None:
    """It makes the shard and keeps the note that snapshots are of no use; the next time they are asked again."""
    damaged.with_snapshot()
    await damaged.redis.hset(damaged.store.key(0, "meta"), "without", "1")
    assert await damaged.rebuilder().rebuild(damaged.evaluator(), WHY) == "snapshot"


async def test_whoever_makes_it_nothing_is_said_again(damaged: Damaged) -> None:
    """Another worker may be the first to make the shard that was set aside, and knows of no tick: Redis does."""
    await damaged.store.note_snapshot(0, damaged.token, 1_700_000_000_000)
    assert await damaged.store.forget(0, damaged.token)
    assert await restore.ensure_shards(damaged.store, {}, damaged.starts) == {0: 0}
    meta = await damaged.store.meta(0)
    assert meta is not None
    assert (meta.committed, meta.quiet, meta.snapshot_ms) == (0, COMMITTED, 0)


@pytest.mark.parametrize("at_once", [store_module.INBOX_BYTES, 0])
async def test_an_inbox_that_cannot_be_read_is_found(
    damaged: Damaged, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its tick comes, as a damage like any other, and not as a mistake of ours; in pieces as well."""
    monkeypatch.setattr(store_module, "INBOX_BYTES", at_once)

    async def say_nothing(_said: object) -> None:
        pass

    store = Store(damaged.redis, "rebuild-inbox", 1)
    await store.birth(0, Birth())
    await store.register(0, {"agent.usage/0": PartitionState(0, NEVER)})
    newest_ms = (COMMITTED + 10) * MINUTE_MS
    await store.ingest(0, [Advance("agent.usage/0", 0, 1, newest_ms)], [(COMMITTED, b"no delta")])
    evaluator = ShardEvaluator(store, 0, "one", make_machine, say_nothing, EvaluateSettings(0, 0))
    assert await evaluator.acquire()
    with pytest.raises(LayoutError, match="an inbox of shard 0 cannot be read"):
        await evaluator.advance()


async def test_a_zombie_makes_nothing_anew(damaged: Damaged) -> None:
    """Whoever lost the lease leaves the shard as it is."""
    with pytest.raises(Fenced):
        await damaged.rebuilder().rebuild(damaged.evaluator("0:zombie"), WHY)
    meta = await damaged.store.meta(0)
    assert meta is not None
    assert meta.committed == COMMITTED
