"""When a shard's state is stored: after some ticks, or as soon as what was evaluated takes much room."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream.assembly import machine_factory
from stream.embedded import EmbeddedRedis
from stream.evaluate import CHUNK_TICKS, EvaluateSettings, ShardEvaluator
from stream.settings import load_settings
from stream.store import Store
from tests.integration import traffic
from tests.support.shards import open_shards


async def _say_nothing(_said: object) -> None:
    pass


async def _waiting(store: Store, shard: int, first: int = 0, last: int = 2**40) -> int:
    """Packed bytes of a shard's inboxes."""
    return sum(map(len, await store.inboxes(shard, first, last)))


@pytest.mark.parametrize(("most", "stored"), [(1, True), (10**9, False), (None, False)])
async def test_full_inboxes_do_not_wait(embedded_redis: EmbeddedRedis, most: int | None, stored: bool) -> None:
    """Back-pressure would begin long before the ticks are over, and hold up telemetry for want of a checkpoint."""
    url = {"MIDWATCH_REDIS__URL": embedded_redis.url, "MIDWATCH_REDIS__NAMESPACE": f"pace-{most}"}
    settings = load_settings(None, url)
    timing = EvaluateSettings(5_000, 2_000, checkpoint_ticks=10_000, checkpoint_bytes=most)
    async with open_shards(settings) as filled:
        await filled.take([event for _, event in traffic.events()])
        seen = 0
        for shard in range(filled.store.shards):
            evaluator = ShardEvaluator(filled.store, shard, "one", machine_factory(settings), _say_nothing, timing)
            assert await evaluator.acquire()
            await evaluator.advance()  # The first of all is stored in any case.
            first = evaluator.committed
            if not await evaluator.advance():
                continue
            meta = await filled.store.meta(shard)
            assert meta is not None
            assert meta.committed > first
            assert meta.checkpoint == (meta.committed if stored else first)
            seen += 1
        assert seen


async def test_a_checkpoint_begins_the_count_anew(embedded_redis: EmbeddedRedis) -> None:
    """What one has stored does not bring the next one on."""
    url = {"MIDWATCH_REDIS__URL": embedded_redis.url, "MIDWATCH_REDIS__NAMESPACE": "pace-anew"}
    settings = load_settings(None, url)
    timing = EvaluateSettings(5_000, 2_000, checkpoint_ticks=10_000)
    async with open_shards(settings) as filled:
        await filled.take([event for _, event in traffic.events()])
        store, seen = filled.store, 0
        for shard in range(store.shards):
            evaluator = ShardEvaluator(store, shard, "one", machine_factory(settings), _say_nothing, timing)
            assert await evaluator.acquire()
            whole = await _waiting(store, shard)
            await evaluator.advance()
            first = evaluator.committed
            stored = whole - await _waiting(store, shard)
            next_ones = await _waiting(store, shard, first + 1, first + CHUNK_TICKS)
            if not stored or not next_ones:
                continue
            evaluator._settings = replace(timing, checkpoint_bytes=max(stored, next_ones) + 1)
            assert await evaluator.advance()
            meta = await store.meta(shard)
            assert meta is not None
            assert meta.checkpoint == first
            seen += 1
        assert seen
