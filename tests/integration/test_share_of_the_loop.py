"""When evaluation tells reading that it has something to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream.assembly import machine_factory
from stream.embedded import EmbeddedRedis
from stream.evaluate import EvaluateSettings, ShardEvaluator
from stream.share import Share
from tests.integration import traffic
from tests.support.shards import open_shards, shard_settings


class Spied(Share):
    """What was going on at each of some moments: how many were at work, and how many of them urgently."""

    def now_at(self) -> tuple[int, int]:
        return self._working, self._urgent


async def test_a_tick_that_is_due_is_urgent_and_looking_for_one_is_nothing(embedded_redis: EmbeddedRedis) -> None:
    """Loading and ticks are what somebody waits for; adding up is work; a look that finds nothing is none."""
    settings = shard_settings(embedded_redis.url, "share", shards=1)
    share = Spied()
    seen: dict[str, set[tuple[int, int]]] = {}

    async def publish(_outcomes: Sequence[object]) -> None:
        return

    def at(point: str) -> None:
        seen.setdefault(point, set()).add(share.now_at())

    async with open_shards(settings) as filled:
        await filled.take([event for _, event in traffic.events()])
        timing = EvaluateSettings(5_000, 2_000, checkpoint_ticks=10_000)
        store, script = filled.store, filled.store.run

        async def run(name: str, keys: list[str], args: Sequence[Any]) -> Any:
            seen.setdefault(name, set()).add(share.now_at())
            return await script(name, keys, args)

        store.run = run  # type: ignore[method-assign]
        evaluator = ShardEvaluator(store, 0, "one", machine_factory(settings), publish, timing, at)
        evaluator.share = share
        assert await evaluator.acquire()
        while await evaluator.advance():
            pass
        asked = set(seen)
        await evaluator.compact()
        assert seen["sealed"] == seen["evaluated"] == seen["tick_committed"] == {(1, 1)}
        assert seen["tail"] == {(1, 0)}, "open inboxes are looked at"
        await evaluator.advance()
        assert set(seen) == asked | {"tail"}
        assert share.now_at() == (0, 0)
        again = ShardEvaluator(store, 0, "one", machine_factory(settings), publish, timing, at)
        await evaluator.release()
        again.share, loads = share, []
        load = again._load

        async def watched() -> None:
            loads.append(share.now_at())
            await load()

        again._load = watched  # type: ignore[method-assign]
        assert await again.acquire()
        assert loads == [(1, 1)]
