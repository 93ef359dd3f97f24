"""A shard is put into the compacted topic every few minutes, whoever holds it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from stream.embedded import EmbeddedRedis
from stream.evaluate import EvaluateSettings, ShardEvaluator
from stream.evaluate_loop import SNAPSHOT_SECONDS, EvaluateLoop, Voice
from stream.snapshots import PieceRecord, newest
from stream.standing import Staleness
from stream.store import Birth, Store
from tests.simulation.world import ENGINE, make_machine


class Shard:
    """One shard that has begun, in a Redis, and a clock that is set by hand."""

    def __init__(self, redis: Redis) -> None:
        self.store = Store(redis, "pace", 1)
        self.now_ms = 1_767_607_200_000
        self.pieces: list[bytes] = []
        self.broker_is_away = False

    async def _send(self, records: list[PieceRecord]) -> None:
        if self.broker_is_away:
            raise OSError("away")
        self.pieces += [record.value for record in records]

    async def _say_nothing(self, _said: object) -> None:
        pass

    def _evaluator(self, shard: int) -> ShardEvaluator:
        settings = EvaluateSettings(0, 0, lease_ms=1)
        return ShardEvaluator(self.store, shard, "one", make_machine, self._say_nothing, settings)

    def taken(self) -> EvaluateLoop:
        """A worker that has not held the shard before."""
        voice: Any = Voice(self._say_nothing, self._send, self._say_nothing, Staleness(1, None))
        return EvaluateLoop(self.store, "one", self._evaluator, ENGINE, voice, cast("Any", None), lambda: self.now_ms)

    async def hold(self, loop: EvaluateLoop, seconds: float) -> None:
        """The worker holds the shard for so long, and looks at it at the end."""
        await loop._share()
        loop.shards[0].machine.tick = 1
        await loop._say(0)
        self.now_ms += round(seconds * 1000)
        await loop._say(0)


@pytest.fixture
async def shard(embedded_redis: EmbeddedRedis) -> AsyncIterator[Shard]:
    """Born, with nothing in it."""
    redis = Redis.from_url(embedded_redis.url)
    found = Shard(redis)
    await redis.delete(*[found.store.key(0, name) for name in ("meta", "parts", "inbytes", "state", "lease")])
    await found.store.birth(0, Birth())
    yield found
    await redis.aclose()


async def test_leases_that_change_hands_do_not_put_snapshots_off(shard: Shard) -> None:
    """Held by ten workers for a quarter of the interval each, it is snapshotted as often as if one had held it."""
    for _ in range(10):
        await shard.hold(shard.taken(), SNAPSHOT_SECONDS / 4)
    assert len(shard.pieces) == 1 + 10 // 4
    assert newest(shard.pieces, 1, "pace").keys() == {0}


async def test_a_clock_that_was_put_right_does_not_put_snapshots_off(shard: Shard) -> None:
    """One that was noted in the future is no reason to wait until then."""
    shard.now_ms += 86_400_000
    await shard.hold(shard.taken(), 1)
    shard.now_ms -= 86_400_000
    await shard.hold(shard.taken(), 1)
    assert len(shard.pieces) == 2


async def test_a_snapshot_that_was_not_stored_is_still_due(shard: Shard) -> None:
    """While the broker is away none counts as made; the next holder makes it."""
    shard.broker_is_away = True
    with pytest.raises(OSError, match="away"):
        await shard.hold(shard.taken(), 1)
    shard.broker_is_away = False
    await shard.hold(shard.taken(), 1)
    assert len(shard.pieces) == 1
