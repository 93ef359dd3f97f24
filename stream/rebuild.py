"""Make a shard anew whose state in Redis cannot be read: from its last snapshot in Kafka, else from the telemetry.

It is the way of a wiped Redis (`stream.restore`), for one shard alone, begun by whoever holds its lease. What was said
is not said again: its ticks are evaluated silently up to the last one that was committed. The stored state is kept
under a key of its own, for whoever wants to know what happened; an inbox that could not be read is gone, and what
was in it is read again. A state of a *newer* layout is sound, and left alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, Literal

import structlog

from stream.core.layouts import LayoutError
from stream.evaluate import Fenced, ShardEvaluator
from stream.restore import Starts, ensure_shards
from stream.store import Store

Source = Literal["snapshot", "telemetry"]

MOST: Final = 2
"""How often one process makes one shard anew: from its snapshot, and if that is no better, without it."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.rebuild")


class Rebuilder:
    """Makes shards anew."""

    def __init__(self, store: Store, kafka: dict[str, Any], starts: Starts | None = None) -> None:
        self._store = store
        self._kafka = kafka
        self._starts = starts
        self._tries: Counter[int] = Counter()

    async def rebuild(self, evaluator: ShardEvaluator, error: LayoutError) -> Source:
        """Make the evaluator's shard anew; from what.

        Raises Fenced, KafkaError, RedisError; the error itself if it comes again and again.
        """
        shard, tick = evaluator.shard, evaluator.committed
        self._tries[shard] += 1
        if self._tries[shard] > MOST:
            raise error
        snapshots = self._tries[shard] < MOST
        log.error("state_unreadable", shard=shard, tick=tick, detail=str(error), kept_as=self._store.unreadable(shard))
        if not await self._store.forget(shard, evaluator.token, snapshots=snapshots):
            raise Fenced(f"the epoch of shard {shard} is over")
        await ensure_shards(self._store, self._kafka, self._starts)
        # Whoever reads the sources misses the shard too, and may have been the first to make it.
        meta = await self._store.meta(shard)
        if meta is None:
            raise Fenced(f"shard {shard} was taken away again while it was made anew")
        source: Source = "snapshot" if meta.checkpoint else "telemetry"
        log.error("shard_rebuilt", shard=shard, source=source, snapshot_tick=meta.checkpoint or None)
        return source
