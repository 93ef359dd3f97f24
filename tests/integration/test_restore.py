"""Shards that Redis lacks are made whole at once."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from stream import restore
from stream.core.ticks import NEVER
from stream.embedded import EmbeddedRedis
from stream.restore import ensure_shards
from stream.store import PartitionState, Store

STARTS = {f"agent.interactions/{number}": PartitionState(7 * number, NEVER) for number in range(3)}


async def test_a_shard_knows_every_partition_from_its_birth_on(
    embedded_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a watermark could pass a partition before the worker that has it in hand notices that it must read again."""

    async def nothing(_topic: str, _kafka: object) -> list[bytes]:
        return []

    async def starts() -> dict[str, PartitionState]:
        return STARTS

    monkeypatch.setattr(restore, "read_values", nothing)
    redis = Redis.from_url(embedded_redis.url)
    store = Store(redis, "whole", 2)
    assert await ensure_shards(store, {}, starts) == {0: 0, 1: 0}
    assert [await store.parts(shard) for shard in range(2)] == [STARTS, STARTS]
    assert await ensure_shards(store, {}, starts) == {}
    await redis.aclose()
