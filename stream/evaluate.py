"""Evaluate: one shard's ticks, in order, by whoever holds its lease.

    seal the tick -> step the machine -> publish (acks=all) -> commit the tick

A crash in between repeats the same firings and verdicts, with the same ids and bytes: the seal keeps the input as it
was. Recovery loads the last checkpoint and runs the sealed inboxes again up to the committed tick, silently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import msgspec

from stream.compaction import Adder, Compactor
from stream.core.checkpoint import Checkpoint, load, mark_clean, save
from stream.core.deltas import Delta, unpack
from stream.core.layouts import LayoutError
from stream.core.machine import Outcome, ShardMachine
from stream.core.ticks import NEVER, tick_of
from stream.points import Point, nothing
from stream.share import Share
from stream.store import Store
from stream.watermark import watermark_ms

CHUNK_TICKS: Final = 60
CHUNK_BYTES: Final = 16 * 1024 * 1024
"""Ticks that are sealed and read at once when catching up, and the most bytes in their inboxes if they are several."""

LARGE: Final = 1024 * 1024
"""A chunk of more bytes is read when it is its turn to be counted, and not before: one shard's at a time."""

Publish = Callable[[Sequence[Outcome]], Awaitable[None]]


class Fenced(Exception):
    """The shard has passed to another owner, or Redis lost what was committed: load it again before going on."""


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """Milliseconds of lateness and grace, ticks between checkpoints, milliseconds of a lease."""

    lateness_ms: int
    idle_grace_ms: int
    checkpoint_ticks: int = 10
    lease_ms: int = 10_000
    topics: frozenset[str] | None = None
    """The input topics; a partition of any other is no longer read and holds nothing back. None: every one counts."""

    checkpoint_bytes: int | None = None
    """Packed bytes of evaluated inboxes after which a checkpoint, which lets them go, does not wait for its ticks."""


class ShardEvaluator:
    """One shard in this worker's hands."""

    def __init__(
        self,
        store: Store,
        shard: int,
        owner: str,
        make_machine: Callable[[], ShardMachine],
        publish: Publish,
        settings: EvaluateSettings,
        point: Point = nothing,
    ) -> None:
        self.store = store
        self.shard = shard
        self.owner = owner
        self.machine = make_machine()
        self.token = ""
        self.committed = 0
        self.quiet = 0
        self.snapshot_ms = 0
        self.watermark_ms = NEVER
        self.stopping: Callable[[], bool] = lambda: False
        """Whether to end: then a chunk is committed up to the tick that it has come to."""
        self.turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
        """Entered while the machine counts. Shards take turns at that: their waits overlap, and their work does not."""
        self.share = Share()
        """Of the event loop: it is told while there is something to do, and not while that is only looked for."""
        self.compactor = Compactor(store, shard)
        self._make_machine = make_machine
        self._publish = publish
        self._settings = settings
        self._point = point
        self._checkpoint = 0
        self._since_checkpoint = 0
        self._renewed = 0.0

    async def acquire(self) -> bool:
        """Take the lease and load the shard. False if another worker holds it, or if it is not there."""
        token = await self.store.acquire(self.shard, self.owner, self._settings.lease_ms)
        if token is None:
            return False
        self.token = token
        self._renewed = asyncio.get_running_loop().time()
        with self.share.working(urgent=True):
            await self._load()
        return True

    async def renew(self) -> None:
        """Keep the lease. Raises Fenced if it has passed to another, or if Redis has lost a commit."""
        if not await self.store.renew(self.shard, self.owner, self.token, self._settings.lease_ms, self.committed):
            raise Fenced(f"shard {self.shard} has passed to another worker, or is no longer at tick {self.committed}")
        self._renewed = asyncio.get_running_loop().time()

    async def release(self) -> None:
        """Store the state and give the lease up, so that another worker goes on at once."""
        if self.committed > self._checkpoint:
            await self._commit(self.committed, self.committed, with_checkpoint=True)
        await self.store.renew(self.shard, self.owner, self.token, 0)

    async def _load(self) -> None:
        meta = await self.store.meta(self.shard)
        if meta is None:
            raise Fenced(f"shard {self.shard} is no longer in Redis")
        self.machine = self._make_machine()
        self.committed, self.quiet, self._checkpoint = meta.committed, meta.quiet, meta.checkpoint
        self.snapshot_ms, self._since_checkpoint = meta.snapshot_ms, 0
        if meta.checkpoint:
            stored = await self.store.open(self.shard)
            if stored is None:
                raise LayoutError(f"the checkpoint of shard {self.shard} is not in Redis")
            load(self.machine, *stored)
        done = self._checkpoint
        while done < self.committed:
            upto, _ = await self._end_of_chunk(done, self.committed)
            inboxes = await self._seal(upto, done + 1)
            for _ in self.machine.run(inboxes, upto):
                await self._breathe()
            done = upto

    async def advance(self) -> int:
        """Evaluate the next ticks that the watermark has passed, at most `CHUNK_TICKS`; how many that were.

        Moves `committed` on; a shard in which nothing came moves without a tick being evaluated. Raises Fenced.
        """
        topics = self._settings.topics
        parts = {
            name: part
            for name, part in (await self.store.parts(self.shard)).items()
            if topics is None or name.rpartition("/")[0] in topics
        }
        self.watermark_ms = watermark_ms(parts, self._settings.lateness_ms, self._settings.idle_grace_ms)
        target = NEVER if self.watermark_ms == NEVER else tick_of(self.watermark_ms)
        if self.committed >= target:
            return 0
        with self.share.working(urgent=True):
            return await self._advance(target)

    async def _advance(self, target: int) -> int:
        upto, size = await self._end_of_chunk(self.committed, target)
        if size > LARGE:
            # What is read of a large chunk is in memory until it is counted: one shard at a time.
            async with self.turn():
                outcomes, upto, evaluated = await self._count(await self._sealed(upto), upto)
        else:
            inboxes = await self._sealed(upto)
            async with self.turn():
                outcomes, upto, evaluated = await self._count(inboxes, upto)
        self._point("evaluated")
        await self._settle(outcomes, upto)
        return evaluated

    async def compact(self) -> None:
        """Put together what waits for the next ticks, if it is time to."""
        now = asyncio.get_running_loop().time()
        if self.compactor.due(now):
            with self.share.working():
                await self.compactor.step(self.token, now)

    async def _end_of_chunk(self, start: int, target: int) -> tuple[int, int]:
        """Up to which tick to go at once, and the bytes of that.

        A shard begins at its first event, however far back that is.
        """
        sizes = await self.store.inbox_sizes(self.shard)
        if not start:
            start = min(sizes, default=target + 1) - 1
        end, room = min(target, start + CHUNK_TICKS), CHUNK_BYTES
        for tick, size in sizes.items():
            if start < tick <= end:
                if size > room and room < CHUNK_BYTES:
                    return tick - 1, CHUNK_BYTES - room
                room -= size
        return end, CHUNK_BYTES - room

    async def _sealed(self, upto: int) -> dict[int, Iterator[Delta]]:
        inboxes = await self._seal(upto, self.committed + 1)
        self._point("sealed")
        return inboxes

    async def _count(self, inboxes: dict[int, Iterator[Delta]], upto: int) -> tuple[list[Outcome], int, int]:
        """What the ticks bring that is to be said, the last one if it ends early, and how many there were."""
        outcomes, evaluated = [], 0
        for outcome in self.machine.run(inboxes, upto):
            evaluated += 1
            if outcome.tick > self.quiet and (outcome.firings or outcome.verdicts):
                outcomes.append(outcome)
            if self.stopping():
                upto = outcome.tick
                break
            if outcome.tick < upto:
                await self._breathe()
        return outcomes, upto, evaluated

    async def _breathe(self) -> None:
        """Let others run, and keep the lease through a long stretch of ticks."""
        await asyncio.sleep(0)
        now = asyncio.get_running_loop().time()
        if now - self._renewed > self._settings.lease_ms / 3000:
            await self.renew()

    async def _settle(self, outcomes: Sequence[Outcome], upto: int) -> None:
        """Publish, then commit: never the other way round, or a crash in between loses a verdict."""
        if outcomes:
            await self._publish(outcomes)
        self._point("published")
        most = self._settings.checkpoint_bytes
        full = most is not None and self._since_checkpoint >= most
        due = full or upto - self._checkpoint >= self._settings.checkpoint_ticks
        await self._commit(self.committed, upto, with_checkpoint=due)
        self._point("tick_committed")

    async def _commit(self, expected: int, tick: int, *, with_checkpoint: bool) -> None:
        checkpoint: Checkpoint | None = save(self.machine) if with_checkpoint else None
        if not await self.store.commit(self.shard, self.token, expected, tick, checkpoint):
            raise Fenced(f"shard {self.shard} is no longer at tick {expected} in this worker's epoch")
        self.committed = tick
        if checkpoint is not None:
            self._checkpoint, self._since_checkpoint = tick, 0
            mark_clean(self.machine)

    async def _seal(self, upto: int, first: int) -> dict[int, Iterator[Delta]]:
        inboxes = await self.store.seal_some(self.shard, self.token, upto, first, self.committed)
        if inboxes is None:
            raise Fenced(f"the epoch of shard {self.shard} is over, or it is no longer at tick {self.committed}")
        found = {}
        for tick, blobs in inboxes.items():
            if isinstance(blobs, int):
                # A large one is never in memory as a whole, and others have their turns while it is added up.
                self._since_checkpoint += blobs
                blobs = [await self._added_up(tick, blobs)]  # noqa: PLW2901
            else:
                self._since_checkpoint += sum(map(len, blobs))
            found[tick] = _unpacked(blobs, self.shard)
        return found

    async def _added_up(self, tick: int, size: int) -> bytes:
        adder = Adder()
        async for blob in self.store.pieces(self.shard, tick, size):
            try:
                await adder.add(blob)
            except ValueError as error:
                raise LayoutError(f"an inbox of shard {self.shard} cannot be read ({error})") from error
        return adder.packed()


def _unpacked(blobs: Sequence[bytes], shard: int) -> Iterator[Delta]:
    """What an inbox holds, one after the other: after a burst all of it together would take much memory.

    Raises LayoutError.
    """
    for blob in blobs:
        try:
            yield unpack(blob)
        except (msgspec.MsgspecError, ValueError) as error:
            raise LayoutError(f"an inbox of shard {shard} cannot be read ({error})") from error
