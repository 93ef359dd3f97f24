"""Redis falls back to an older copy of itself while nothing comes: the engine notices without being told."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream.embedded import EmbeddedRedis
from stream.evaluate import Fenced
from stream.ingest import Resync
from tests.simulation.tiny import event_value
from tests.simulation.world import PARTITIONS, SHARDS, World


def events(first: int, last: int) -> list[bytes]:
    """One event in each of some minutes."""
    return [event_value(minute, minute * 60, 0, "escalated") for minute in range(first, last)]


async def test_lost_writes_are_noticed_in_silence(embedded_redis: EmbeddedRedis) -> None:
    """By the next note that a partition is empty, and by the next renewal of a lease: no new record is needed."""
    async with Redis.from_url(embedded_redis.url, retry=Retry(NoBackoff(), 0)) as redis:
        world = World(redis, "lost-writes", checkpoint_ticks=3)
        for partition in range(len(PARTITIONS) - 1):
            world.append(partition, events(0, 3))
        await world.idle_move(0, None)
        await world.redis_backup()
        for partition in range(len(PARTITIONS) - 1):
            world.append(partition, events(3, 9))
        await world.idle_move(0, None)
        worker, before = world.workers[0], world.store
        held = [worker.evaluators[shard] for shard in range(SHARDS)]
        await held[0].renew()
        await worker.ingest.touch(dict.fromkeys(PARTITIONS, 1))
        await world.redis_rollback()
        meta = await before.meta(0)
        assert meta is not None
        assert meta.committed < held[0].committed
        with pytest.raises(Fenced, match="no longer at tick"):
            await held[0].renew()
        with pytest.raises(Resync, match="OffsetMismatch"):
            await worker.ingest.touch(dict.fromkeys(PARTITIONS, 1))
        await world.redis_wipe()
