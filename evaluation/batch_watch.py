"""Tells by metrics how batches stand: whoever runs them does so by cron, in processes too short to be scraped."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, get_args

from redis.exceptions import RedisError

from evaluation.batch_store import BatchStore, State
from evaluation.metrics import PlaneMetrics

LOOK_SECONDS: Final = 60.0


async def watch_batches(store: BatchStore, metrics: PlaneMetrics) -> None:
    """Look for ever; Redis away is no news here."""
    while True:
        try:
            await tell_batches(store, metrics)
        except (RedisError, OSError):
            metrics.redis_up.set(0)
        await asyncio.sleep(LOOK_SECONDS)


async def tell_batches(store: BatchStore, metrics: PlaneMetrics, wall: Callable[[], float] = time.time) -> None:
    """One look. Raises RedisError."""
    found = await store.batches()
    counts = Counter(batch.state for batch in found)
    for state in get_args(State):
        metrics.batches.labels(state).set(counts[state])
    begun = [batch.created for batch in found if batch.open]
    metrics.batch_age.set(wall() - min(begun) if begun else 0.0)
