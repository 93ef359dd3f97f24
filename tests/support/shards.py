"""Shards filled by hand: what ingest would commit, without Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from schemas.base import JsonObject
from schemas.canonical import canonical_json
from stream.adapters import Decoder, Limits
from stream.assembly import machine_factory
from stream.core.deltas import pack
from stream.core.fold import Batch, PartitionFold
from stream.core.shards import ShardMap
from stream.core.ticks import NEVER
from stream.evaluate import EvaluateSettings, ShardEvaluator
from stream.settings import Settings, load_settings
from stream.settings_clients import redis_client
from stream.store import Advance, Birth, PartitionState, Store

PARTITION = "agent.interactions/0"
LATENESS_MS = 5_000


def shard_settings(redis_url: str, namespace: str, shards: int = 2, config: Path | None = None) -> Settings:
    """Settings for shards of a namespace of their own, under those of a file."""
    environ = {"REDIS__URL": redis_url, "REDIS__NAMESPACE": namespace, "ENGINE__SHARDS": str(shards)}
    return load_settings(config, {f"MIDWATCH_{name}": value for name, value in environ.items()})


class Shards:
    """All shards of one namespace, and one source partition that is read so far."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self._settings = settings
        self._fold = PartitionFold(LATENESS_MS, settings.budget_rules(), prices=settings.price_book())
        self._decoder = Decoder(Limits(max_future_ms=None, max_age_ms=None))
        self._offset = 0

    async def take(self, events: Iterable[JsonObject]) -> None:
        """Commit events as one batch."""
        lines = [canonical_json(event) for event in events]
        decoded = self._decoder.decode_batch([(line, (), 0) for line in lines])
        assert not decoded.rejections, decoded.rejections
        batch = Batch()
        self._fold.add(decoded.events, batch)
        advance = Advance(PARTITION, self._offset, self._offset + len(lines), self._fold.newest_ms)
        self._offset += len(lines)
        deltas = batch.spread(ShardMap(self.store.shards))
        for shard in range(self.store.shards):
            packed = [(tick, pack(delta)) for tick, delta in deltas.get(shard, {}).items()]
            await self.store.ingest(shard, [advance], packed)

    async def evaluate(self) -> None:
        """Evaluate every shard as far as its watermark goes, and leave a checkpoint."""

        async def publish(_outcomes: object) -> None:
            return

        timing = EvaluateSettings(LATENESS_MS, 2_000, checkpoint_ticks=1)
        for shard in range(self.store.shards):
            evaluator = ShardEvaluator(self.store, shard, "test", machine_factory(self._settings), publish, timing)
            assert await evaluator.acquire()
            await evaluator.advance()
            await evaluator.release()


@asynccontextmanager
async def open_shards(settings: Settings) -> AsyncIterator[Shards]:
    """Fresh shards; their keys are removed at the end."""
    client = redis_client(settings.redis)
    store = Store(client, settings.redis.namespace, settings.engine.shards)
    try:
        for shard in range(store.shards):
            assert await store.birth(shard, Birth())
            await store.register(shard, {PARTITION: PartitionState(0, NEVER)})
        yield Shards(store, settings)
    finally:
        keys = [key async for key in client.scan_iter(match=f"{{{settings.redis.namespace}*")]
        if keys:
            await client.delete(*keys)
        await client.aclose()
