"""Compaction: the deltas of an inbox that is still open, put together while its minute runs.

Every batch of every worker leaves a delta in every shard that it touches, some thousand in a minute of steady load, and
all of them are read at the same moment: when the tick comes, and someone waits for its verdict. Deltas are sums, so
whoever holds the shard adds them up beforehand. Less is left to be done at the tick, less to be held by Redis until the
next checkpoint, and less to be read again at a recovery.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from redis.exceptions import ResponseError

from stream.core.deltas import Sum, pack, unpack
from stream.store import Store

FEWEST: Final = 32
"""Deltas that are worth being put together."""

MOST: Final = 512
MOST_BYTES: Final = 1024 * 1024
"""What is put together at once, so that nothing else waits for long."""

EVERY_SECONDS: Final = 1.0
WORTH: Final = 0.7
"""Put together, deltas must take no more than this share of their bytes. Where there are about as many series as events
they take as many, and the work would be done twice: it is then tried with twice as many, and at last not for a while.
"""

REST_SECONDS: Final = 60.0

COUNTS_AT_ONCE: Final = 10_000
"""Counts and records that are added up before others on the event loop get a turn: some 10 ms. Ingest takes 20 ms."""


log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.compaction")


@dataclass(frozen=True, slots=True)
class Addition:
    """What `count` deltas of an inbox, from place `first` on, add up to; they have `size` bytes, SHA-1 `digest`."""

    tick: int
    first: int
    count: int
    digest: str
    size: int
    blob: bytes


class Compactor:
    """Compacts the open inboxes of one shard."""

    def __init__(self, store: Store, shard: int, fewest: int = FEWEST) -> None:
        self._store = store
        self._shard = shard
        self._keys = [store.key(shard, name) for name in ("meta", "inbytes")]
        self._prefix = store.key(shard, "in:")
        self._least = self._fewest = fewest
        self._due = 0.0

    def due(self, now: float) -> bool:
        """Whether it is time to look, on the monotonic clock, in seconds."""
        return now >= self._due

    async def step(self, token: str, now: float) -> bool:
        """Put together what is worth it, at most `MOST_BYTES` of it; whether anything was.

        Nothing depends on it: where Redis refuses, as for rights of an older version, it is said and let be a while.
        """
        self._due = now + EVERY_SECONDS
        try:
            addition = await self.read(token)
            if addition is None:
                return False
            if len(addition.blob) > WORTH * addition.size:
                self._not_worth(addition, now)
                return False
            self._fewest = max(self._fewest // 2, self._least)
            if not await self.write(token, addition):
                return False
        except ResponseError as error:
            self._due = now + REST_SECONDS
            log.warning("compaction_refused", shard=self._shard, detail=str(error), retry_seconds=REST_SECONDS)
            return False
        self._due = now
        return True

    def _not_worth(self, addition: Addition, now: float) -> None:
        self._fewest *= 2
        if self._fewest > min(MOST, 2 * addition.count):
            self._fewest, self._due = self._least, now + REST_SECONDS

    async def read(self, token: str) -> Addition | None:
        """What may be put together; None where there is too little, or what nobody can read."""
        args = [token, self._prefix, self._fewest, MOST, MOST_BYTES]
        reply = await self._store.run("tail", self._keys, args)
        tick, first, *blobs = reply if len(reply) > 1 else (0, 0)
        blob = await added_up(blobs) if blobs else None
        if blob is None:
            return None
        whole = b"".join(blobs)
        digest = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        return Addition(int(tick), int(first), len(blobs), digest, len(whole), blob)

    async def write(self, token: str, addition: Addition) -> bool:
        """Put the sum in the place of what it is the sum of; False, and nothing changed, where that is not there."""
        one = addition
        args = [token, self._prefix, one.tick, one.first, one.count, one.digest, one.blob]
        return bool(await self._store.run("compact", self._keys, args))


class Adder:
    """Adds packed deltas up, and lets others on the event loop have their turns meanwhile."""

    def __init__(self) -> None:
        self._total = Sum()
        self._counts = 0

    async def add(self, blob: bytes) -> None:
        """One more. Raises ValueError for bytes that are none of ours."""
        delta = unpack(blob)
        self._total.add(delta)
        self._counts += len(delta.counts) + len(delta.records)
        if self._counts > COUNTS_AT_ONCE:
            self._counts = 0
            await asyncio.sleep(0)

    def packed(self) -> bytes:
        """What they come to."""
        return pack(self._total.delta())


async def added_up(blobs: Sequence[bytes]) -> bytes | None:
    """One packed delta for several; None if one cannot be read: whoever evaluates the tick is to find that."""
    adder = Adder()
    try:
        for blob in blobs:
            await adder.add(blob)
    except ValueError:
        return None
    return adder.packed()
