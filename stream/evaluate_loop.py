"""The evaluation loop of a worker: leases, shares them fairly among the living workers, and moves its shards on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from schemas.outputs import Engine, Heartbeat, Verdict
from stream.cancel import cancel
from stream.core.checkpoint import save
from stream.core.layouts import LayoutError, NewerLayout
from stream.core.ticks import time_of
from stream.due import LEASES, Dues, What
from stream.evaluate import Fenced, ShardEvaluator
from stream.evaluate_tallies import EvaluateTallies
from stream.share import Share
from stream.snapshots import PieceRecord, to_records
from stream.standing import CatchUp, Staleness
from stream.store import Store
from stream.stuck import Trouble

POLL_SECONDS: Final = 0.05
LEASE_ROUND_SECONDS: Final = 1.0
WORKER_TTL_MS: Final = 10_000
HEARTBEAT_SECONDS: Final = 1.0
SNAPSHOT_SECONDS: Final = 300.0
SNAPSHOT_BYTES: Final = 16 * 1024 * 1024
"""With more than this in a shard's open inboxes its snapshot waits: what is open is read and sent at one moment."""

BACK_OFF_SECONDS: Final = 1.0
AT_ONCE: Final = 4
"""Shards that are moved on at once: while one waits for Redis or for Kafka, another one counts."""

HANGS_SECONDS: Final = 10.0
"""A shard that is worked at for so long without getting a tick on is no longer held against others."""

SAYING: Final = "saying"
"""What a shard says of itself: heartbeats, snapshots, what still stands."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.evaluate")


@dataclass(slots=True)
class _Held:
    evaluator: ShardEvaluator
    catch_up: CatchUp
    beat_at: float = 0.0
    beat_tick: int = 0
    slot: int = 0
    waited: float = 0.0
    """Seconds that this try waited for other shards' turns."""


@dataclass(frozen=True, slots=True)
class Voice:
    """What the loop says by itself: a shard's heartbeat, its snapshot, verdicts that still stand; what is past."""

    heartbeat: Callable[[Heartbeat], Awaitable[None]]
    snapshot: Callable[[list[PieceRecord]], Awaitable[None]]
    again: Callable[[Sequence[Verdict]], Awaitable[None]]
    staleness: Staleness


class EvaluateLoop:
    """Evaluates this worker's share of the shards until it is told to stop."""

    def __init__(
        self,
        store: Store,
        owner: str,
        make_evaluator: Callable[[int], ShardEvaluator],
        engine: Engine,
        voice: Voice,
        rebuild: Callable[[ShardEvaluator, LayoutError], Awaitable[str]],
        wall_ms: Callable[[], int],
        share: Share | None = None,
    ) -> None:
        self.tallies = EvaluateTallies()
        self._staleness = voice.staleness
        self._rebuild = rebuild
        self._store = store
        self._owner = owner
        self._make = make_evaluator
        self._engine = engine
        self._voice = voice
        self._wall_ms = wall_ms
        self.trouble = Trouble()
        self._held: dict[int, _Held] = {}
        self._dues = Dues()
        self._counting, self._snapshotting = asyncio.Lock(), asyncio.Lock()
        self._stopping: Callable[[], bool] = lambda: False
        self._woken = asyncio.Event()
        self._said = float("-inf")
        self._loop_share = share or Share()
        self._order = _start_order(owner, store.shards)

    @property
    def shards(self) -> dict[int, ShardEvaluator]:
        """The shards in hand."""
        return {shard: held.evaluator for shard, held in self._held.items()}

    def stuck_since(self) -> float | None:
        """Since when, on the monotonic clock, a shard or the leases do not get on; None if that can be said of none."""
        return self._dues.stuck_since({shard: held.evaluator.machine.tick for shard, held in self._held.items()})

    def wake(self) -> None:
        """Look at once whether ticks may be evaluated."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Evaluate until `stop` is set, then store the state and give the leases up."""
        self._stopping = stop.is_set
        loop = asyncio.get_running_loop()
        leased = float("-inf")
        # Beside the work: a shard that waits for its turn must not lose its lease while another takes long.
        keeping = asyncio.create_task(self._keep_all(), name="leases")
        try:
            while not stop.is_set():
                if keeping.done():
                    keeping.result()
                try:
                    if loop.time() - leased >= LEASE_ROUND_SECONDS:
                        leased = loop.time()
                        with self._dues.watched(LEASES):
                            await self._share()
                    if await self._round(stop):
                        await asyncio.sleep(0)
                    else:
                        await _wait(self._woken, POLL_SECONDS)
                        self._woken.clear()
                except (RedisError, KafkaError, OSError) as error:
                    self.trouble.note(error)
                    log.warning("evaluation_waits", error=type(error).__name__, detail=str(error))
                    self._held.clear()
                    # If it was one shard's failure, the next try begins with another: it does not hold up all.
                    self._order = [*self._order[1:], self._order[0]]
                    await _wait(stop, BACK_OFF_SECONDS)
        finally:
            await cancel(keeping)
        await self._release_all()

    async def _keep_all(self) -> None:
        """Renew what is held, again and again, whatever the loop is at. Who is away is for the loop to find out."""
        while True:
            await asyncio.sleep(LEASE_ROUND_SECONDS)
            with contextlib.suppress(RedisError, OSError):
                await self._keep()

    async def _round(self, stop: asyncio.Event) -> bool:
        """Move every shard on by a chunk, some at once; whether any moved. Raises what failed, when all have ended.

        What they have to say besides their verdicts comes when all have said those: somebody waits for them.
        """
        left = iter(list(self._held))
        moved: list[int] = []
        failed: set[int] = set()

        async def one_by_one() -> None:
            for shard in left:
                if stop.is_set():
                    break
                failed.add(shard)
                if await self._advance(shard):
                    moved.append(shard)
                failed.discard(shard)

        failures = await _all_ended(one_by_one() for _ in range(AT_ONCE))
        now = asyncio.get_running_loop().time()
        if moved or now - self._said >= HEARTBEAT_SECONDS:
            self._said = now
            failures += await _all_ended(self._say(shard) for shard in list(self._held) if shard not in failed)
        if failures:
            # What cannot be borne goes before what passes.
            raise min(failures, key=lambda failure: isinstance(failure, RedisError | KafkaError | OSError))
        return bool(moved)

    async def _keep(self) -> int:
        """Renew what is held; how many workers live."""
        for shard, held in list(self._held.items()):
            # One that hangs is for another worker to try: its lease runs out.
            if self._held.get(shard) is held and not self._dues.hangs(shard, HANGS_SECONDS):
                await self._guarded(held.evaluator, held.evaluator.renew, held)
        return max(await self._store.living(self._owner, self._wall_ms(), WORKER_TTL_MS), 1)

    async def _share(self) -> None:
        """Renew what is held; take free shards up to a fair share, give back what is beyond it."""
        fair = _fair(self._store.shards, await self._keep())
        for shard in self._order:
            if len(self._held) >= fair:
                break
            if shard not in self._held:
                evaluator = self._make(shard)
                evaluator.stopping = self._stopping
                evaluator.share = self._loop_share
                evaluator.turn = partial(self._after_others, self._counting, shard)
                if await self._guarded(evaluator, evaluator.acquire):
                    # Snapshot slots go on in turn over take-overs: the epoch says which is next.
                    slot = int(evaluator.token.partition(":")[0]) % 2
                    self._held[shard] = _Held(evaluator, CatchUp(self._staleness), slot=slot)
                    behind = self._staleness.behind_minutes(evaluator.committed) if evaluator.committed else None
                    log.info("shard_taken", shard=shard, tick=evaluator.committed, minutes_behind=behind)
        for shard in [s for s in reversed(self._order) if s in self._held][: max(len(self._held) - fair, 0)]:
            given = self._held.pop(shard, None)
            # Beside this it may turn out that a shard has passed to another: then there is nothing to give back.
            if given is not None:
                await self._guarded(given.evaluator, given.evaluator.release)
                log.info("shard_given_back", shard=shard)
        self._dues.keep(self._held)

    async def _advance(self, shard: int) -> bool:
        """Move a shard on by a chunk at the most; whether it moved, so that there may be more."""
        held = self._held.get(shard)
        if held is None:
            return False
        started, before = asyncio.get_running_loop().time(), held.evaluator.committed
        held.waited = 0.0
        with self._dues.watched(shard, before):
            ticks = await self._guarded(held.evaluator, held.evaluator.advance)
            if ticks:
                now = asyncio.get_running_loop().time()
                self.tallies.ticks += ticks
                self.tallies.durations.append((now - started - held.waited) / ticks)
            moved = held.evaluator.committed > before
            if not moved and shard in self._held:
                await self._guarded(held.evaluator, held.evaluator.compact, held)
        self.tallies.moves += moved
        return moved

    @asynccontextmanager
    async def _after_others(self, lock: asyncio.Lock, what: What) -> AsyncIterator[None]:
        """A shard's turn at what one does at a time. Whoever waits for it does not hang."""
        now = asyncio.get_running_loop().time
        began = now()
        with self._dues.aside(what):
            await lock.acquire()
        try:
            held = self._held.get(what) if isinstance(what, int) else None
            if held is not None:
                held.waited += now() - began
            yield
        finally:
            lock.release()

    async def _say(self, shard: int) -> None:
        """What a shard says of itself, if it is time to."""
        held = self._held.get(shard)
        if held is not None:
            with self._dues.watched((shard, SAYING)):
                await self._beat(shard, held)
                await self._arrive(shard, held)

    async def _arrive(self, shard: int, held: _Held) -> None:
        """At the end of catching up, say again what still stands."""
        tick = held.evaluator.committed
        if not tick or not held.catch_up.arrives(tick):
            return
        verdicts = held.catch_up.standing(held.evaluator.machine.incidents)
        if verdicts:
            await self._voice.again(verdicts)
        self.tallies.standing += len(verdicts)
        log.info("caught_up", shard=shard, tick=tick, standing=len(verdicts))

    async def _beat(self, shard: int, held: _Held) -> None:
        """A heartbeat for each committed tick, at most one a second; a snapshot now and then."""
        evaluator, now = held.evaluator, asyncio.get_running_loop().time()
        if evaluator.committed > held.beat_tick and now - held.beat_at >= HEARTBEAT_SECONDS:
            held.beat_at, held.beat_tick = now, evaluator.committed
            await self._voice.heartbeat(self._heartbeat(shard, evaluator))
        # By the shard's own last one, not by how long it is held: leases may change hands more often than that.
        # One from the future is from before Redis's clock was put right.
        age_ms = self._wall_ms() - evaluator.snapshot_ms
        if evaluator.machine.tick and not 0 <= age_ms < SNAPSHOT_SECONDS * 1000:
            async with self._after_others(self._snapshotting, (shard, SAYING)):  # Each is in memory until it is sent.
                if not self._stopping():
                    await self._snapshot(shard, held)

    def _heartbeat(self, shard: int, evaluator: ShardEvaluator) -> Heartbeat:
        return Heartbeat(
            shard=shard,
            shards=self._store.shards,
            tick=time_of(evaluator.committed),
            worker=self._owner,
            epoch=int(evaluator.token.partition(":")[0]),
            series=sum(len(windows) for windows in evaluator.machine.windows.values()),
            engine=self._engine,
            namespace=self._store.namespace,
        )

    async def _snapshot(self, shard: int, held: _Held) -> None:
        evaluator = held.evaluator
        sizes = await self._store.inbox_sizes(shard)
        if sum(size for tick, size in sizes.items() if tick > evaluator.committed) > SNAPSHOT_BYTES:
            return
        ends = await self._store.open_ends(shard, evaluator.token, evaluator.committed)
        if ends is None:
            return
        checkpoint = save(evaluator.machine, all_hours=True)
        held.slot = 1 - held.slot
        place = (shard, self._store.shards, held.slot)
        await self._voice.snapshot(to_records(*place, checkpoint, *ends, namespace=self._store.namespace))
        evaluator.snapshot_ms = self._wall_ms()
        await self._store.note_snapshot(shard, evaluator.token, evaluator.snapshot_ms)

    async def _guarded(
        self, evaluator: ShardEvaluator, step: Callable[[], Awaitable[int | None]], held: _Held | None = None
    ) -> int:
        """One step of a shard: what it answers, or 0 where the shard is out of hand, or to be taken in hand anew.

        One that has passed to another is let go of; with `held`, only if that is still what is held.
        """
        shard = evaluator.shard
        try:
            try:
                return await step() or 0
            except NewerLayout:
                raise
            except LayoutError as error:
                self._held.pop(shard, None)
                self.tallies.rebuilt[await self._rebuild(evaluator, error)] += 1
                return 0
        except Fenced as error:
            if held is None or self._held.get(shard) is held:
                self._held.pop(shard, None)
            self.tallies.fenced += 1
            log.warning("fenced", shard=shard, detail=str(error))
            return 0

    async def _release_all(self) -> None:
        """Give everything back; what Redis does not take is done again by the next owner, when the lease is over."""
        held = [one.evaluator for one in self._held.values()]
        steps = [*(self._guarded(evaluator, evaluator.release) for evaluator in held)]
        for outcome in await asyncio.gather(*steps, self._store.leave(self._owner), return_exceptions=True):
            if isinstance(outcome, RedisError | OSError):
                log.warning("release_failed", error=type(outcome).__name__, detail=str(outcome))
            elif isinstance(outcome, BaseException):
                raise outcome
        self._held.clear()


def _fair(shards: int, workers: int) -> int:
    """The most shards that one of the workers needs to hold."""
    return -(-shards // workers)


def _start_order(owner: str, shards: int) -> list[int]:
    """Shards in an order of the worker's own, so that workers that start together do not race for the same ones."""
    start = sum(owner.encode()) % shards
    return [(start + step) % shards for step in range(shards)]


async def _all_ended(steps: Iterable[Coroutine[Any, Any, None]]) -> list[BaseException]:
    """Do them all at once; what failed, when all have ended."""
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    return [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
