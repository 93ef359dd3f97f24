"""A world in which everything that can go wrong does.

Workers die at any point of the protocol, come back as zombies, send again; Redis loses what it was told, or everything.
The code under test is the engine's own (`Ingest`, `ShardEvaluator`, `Store` with its Lua scripts in a real Redis). Only
Kafka is replaced, by lists; and the emitted records are kept, so that they can be compared with a golden run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from schemas.canonical import canonical_json
from schemas.outputs import DeadLetter, Engine
from schemas.series import SeriesKey
from schemas.words import CONTROLS_TOPIC
from stream.adapters import Decoder, Limits, decode_controls
from stream.adapters.otlp import OtlpReader
from stream.compaction import Compactor
from stream.core.checkpoint import Checkpoint, LayoutError, load, readable, save
from stream.core.deltas import Delta
from stream.core.fold import Batch, PartitionFold
from stream.core.machine import Outcome, ShardMachine
from stream.core.shards import ShardMap
from stream.core.ticks import NEVER, tick_of
from stream.evaluate import EvaluateSettings, Fenced, ShardEvaluator
from stream.ingest import Ingest, Resync
from stream.snapshots import newest, to_records
from stream.store import Birth, PartitionState, ShardMissing, Store
from tests.simulation.crashes import Crash, Points
from tests.simulation.recount import counts_of
from tests.simulation.tiny import LogRecord, TinyDetector
from tests.support.checkpoints import as_layout_1
from triage.registry import build as build_checks
from triage.settings import TriageSettings

CONTROLS = f"{CONTROLS_TOPIC}/0"
PARTITIONS = ("agent.interactions/0", "agent.interactions/1", "agent.authorizations/0", CONTROLS)
SHARDS = 2
WORKERS = 2
LATENESS_MS = 20_000
ANY_TIME = Limits(max_future_ms=None, max_age_ms=None)
ENGINE = Engine(version="0", config_hash="test")


TRIAGE = TriageSettings()
CHECKS = build_checks(TRIAGE)


def make_machine() -> ShardMachine:
    return ShardMachine([TinyDetector()], TRIAGE, ENGINE, checks=CHECKS)


@dataclass
class Worker:
    """One worker process: its memory is lost when it dies."""

    name: str
    points: Points
    ingest: Ingest
    evaluators: dict[int, ShardEvaluator] = field(default_factory=dict)
    resumed: bool = False


class World:
    """The logs, Redis, the workers, and what was emitted."""

    def __init__(
        self,
        redis: Redis,
        namespace: str,
        checkpoint_ticks: int,
        scripts: Mapping[str, str] | None = None,
        ingest_type: type[Ingest] = Ingest,
        evaluator_type: type[ShardEvaluator] = ShardEvaluator,
        store_type: type[Store] = Store,
    ) -> None:
        self.redis = redis
        self.namespace = namespace
        self._store = (store_type, scripts)
        self.store = self._make_store()
        self.logs: dict[str, list[LogRecord]] = {name: [] for name in PARTITIONS}
        self.emitted: dict[str, set[bytes]] = {}
        self.letters: set[bytes] = set()
        self.pieces: list[bytes] = []
        self.backup: dict[bytes, bytes] = {}
        self.kafka_committed: dict[str, int] = {}
        self.checkpoint_ticks = checkpoint_ticks
        self._types = (ingest_type, evaluator_type)
        self._born = 0
        self._loading: ShardEvaluator | None = None
        self.rebuilt = 0
        self.damaged = False
        self.workers = [self._fresh() for _ in range(WORKERS)]

    def _make_store(self) -> Store:
        store_type, scripts = self._store
        return store_type(self.redis, self.namespace, SHARDS, scripts)

    def _fresh(self) -> Worker:
        self._born += 1
        points = Points()
        store = self._make_store()
        decoder = Decoder(ANY_TIME, otlp=OtlpReader())
        ingest = self._types[0](store, decoder, self._dead_letters, LATENESS_MS, point=points)
        # Only mutants look at these.
        ingest.kafka = self.kafka_committed  # type: ignore[attr-defined]
        store.point = points  # type: ignore[attr-defined]
        return Worker(f"w{self._born}", points, ingest)

    async def _dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        self.letters.update(canonical_json(letter) for letter in letters)

    async def _publish(self, outcomes: Sequence[Outcome]) -> None:
        for identity, body in bodies(outcomes):
            self.emitted.setdefault(identity, set()).add(body)

    # What may happen. Each is one step of a history.

    def append(self, partition: int, values: Sequence[bytes]) -> None:
        log = self.logs[PARTITIONS[partition]]
        for value in values:
            log.append(LogRecord(len(log), 0, value))

    async def read(self, worker: int, partition: int, count: int, crash_after: int | None) -> None:
        """A worker takes up to `count` records of a partition, and may die at any point of it."""
        who = self.workers[worker]
        who.points.left = crash_after
        try:
            await self._read(who, PARTITIONS[partition], count)
        except Crash:
            self.workers[worker] = self._fresh()
        finally:
            who.points.left = None

    async def read_all(self, worker: int) -> None:
        """A worker takes all that there is, and lives."""
        for partition in range(len(PARTITIONS)):
            await self.read(worker, partition, 1000, None)

    async def move(self, worker: int, steal: bool, crash_after: int | None) -> None:
        """A worker takes all that there is and moves every shard on; it may die at the last one."""
        await self.read_all(worker)
        for shard in range(SHARDS):
            await self.evaluate(worker, shard, steal, crash_after if shard == SHARDS - 1 else None)

    async def idle_move(self, worker: int, crash_after: int | None) -> None:
        """The same, after the worker has said that the partitions are empty up to the newest event it knows."""
        await self.read_all(worker)
        who = self.workers[worker]
        if who.resumed and all(who.ingest.partitions[p] == len(self.logs[p]) for p in PARTITIONS):
            try:
                await who.ingest.touch({})  # how far the others are
                await who.ingest.touch(dict.fromkeys(PARTITIONS, max(who.ingest.newest_ms, 1)))
            except Resync:
                who.resumed = False
        await self.move(worker, steal=False, crash_after=crash_after)

    async def _read(self, who: Worker, partition: str, count: int) -> None:
        if not who.resumed:
            await self.resume(who)
        position = who.ingest.partitions[partition]
        records = self.logs[partition][position : position + count]
        try:
            await who.ingest.process({partition: records})
            self.kafka_committed[partition] = max(
                self.kafka_committed.get(partition, 0), who.ingest.partitions[partition]
            )
        except Resync:
            who.resumed = False

    async def resume(self, who: Worker) -> None:
        await self.ensure()
        await who.ingest.resume(dict.fromkeys(PARTITIONS, 0))
        who.resumed = True

    async def ensure(self) -> None:
        births = newest(self.pieces, SHARDS, readable=readable)
        for shard in range(SHARDS):
            await self.store.birth(shard, births.get(shard, Birth()))

    async def evaluate(self, worker: int, shard: int, steal: bool, crash_after: int | None) -> None:
        """A worker moves a shard on, taking its lease first if it has not got it; `steal` lets the lease run out."""
        who = self.workers[worker]
        who.points.left = crash_after
        try:
            await self._evaluate(who, shard, steal)
        except Crash:
            self.workers[worker] = self._fresh()
        except (Fenced, ShardMissing):
            who.evaluators.pop(shard, None)
        except LayoutError:
            # As `stream.rebuild` does it: set aside, and brought into being anew by whoever comes next.
            damaged = who.evaluators.pop(shard, None) or self._loading
            assert damaged is not None
            await self.store.forget(shard, damaged.token)
            self.rebuilt += 1
        finally:
            who.points.left = None

    async def _evaluate(self, who: Worker, shard: int, steal: bool) -> None:
        await self.ensure()
        await self._register()
        evaluator = who.evaluators.get(shard)
        if evaluator is None or steal:
            await self.redis.delete(self.store.key(shard, "lease"))
            settings = EvaluateSettings(LATENESS_MS, 0, self.checkpoint_ticks, 60_000)
            evaluator = self._types[1](self.store, shard, who.name, make_machine, self._publish, settings, who.points)
            evaluator.compactor = Compactor(self.store, shard, fewest=2)
            self._loading = evaluator
            if not await evaluator.acquire():
                return
            who.evaluators[shard] = evaluator
        await evaluator.advance()

    async def _register(self) -> None:
        starts = {name: PartitionState(0, NEVER) for name in PARTITIONS}
        for shard in range(SHARDS):
            await self.store.register(shard, starts)

    async def kafka_snapshot(self, worker: int, shard: int) -> None:
        """A worker that holds the shard publishes a snapshot of it to the compacted topic."""
        evaluator = self.workers[worker].evaluators.get(shard)
        if evaluator is None or not evaluator.machine.tick:
            return
        ends = await self.store.open_ends(shard, evaluator.token, evaluator.committed)
        if ends is not None:
            checkpoint = save(evaluator.machine, all_hours=True)
            self.pieces += [r.value for r in to_records(shard, SHARDS, len(self.pieces) % 2, checkpoint, *ends)]

    async def compact(self, worker: int, shard: int, between: str, again: bool) -> None:
        """A worker that holds the shard adds up what waits in it, and writes that when something else has happened.

        With `again` it writes it once more, after everything was read: as if it had not heard the answer.
        """
        evaluator = self.workers[worker].evaluators.get(shard)
        addition = await evaluator.compactor.read(evaluator.token) if evaluator is not None else None
        if evaluator is None or addition is None:
            return
        if between == "rollback":
            await self.redis_rollback()
        if between != "nothing":
            await self.read_all(1 - worker)
        await evaluator.compactor.write(evaluator.token, addition)
        if again:
            await self.read_all(worker)
            await evaluator.compactor.write(evaluator.token, addition)

    async def older_version(self) -> None:
        """All that is stored is as the version before this one would have stored it."""
        for shard in range(SHARDS):
            state: Any = await self.redis.get(self.store.key(shard, "state"))
            if state and readable(state):
                await self.redis.set(self.store.key(shard, "state"), as_layout_1(state))
                await self.redis.hset(self.store.key(shard, "meta"), "layout", "1")
        self.pieces = [
            record.value
            for shard, birth in newest(self.pieces, SHARDS, readable=readable).items()
            for record in to_records(
                shard, SHARDS, 0, Checkpoint(birth.tick, as_layout_1(birth.state), dict(birth.hours or {})),
                dict(birth.parts or {}), birth.inboxes, layout=1,
            )
        ]  # fmt: skip

    async def damage(self, shard: int) -> None:
        """What is stored of a shard loses its second half; whoever has it in memory does not notice."""
        state = await self.redis.get(self.store.key(shard, "state"))
        if state:
            await self.redis.set(self.store.key(shard, "state"), state[: len(state) // 2])
            self.damaged = True

    async def _keys(self) -> list[bytes]:
        return sorted([key async for key in self.redis.scan_iter(match=f"{{{self.namespace}:*", count=1000)])

    async def redis_backup(self) -> None:
        self.backup = {key: bytes(await self.redis.dump(key) or b"") for key in await self._keys()}

    async def redis_rollback(self) -> None:
        """Redis comes back as it was at the last backup (or empty, if there was none)."""
        await self.redis_wipe()
        for key, dump in self.backup.items():
            await self.redis.restore(key, 0, dump)

    async def redis_wipe(self) -> None:
        keys = await self._keys()
        if keys:
            await self.redis.delete(*keys)

    # The end: everything is read and evaluated, by a fresh worker.

    async def settle(self) -> None:
        for shard in range(SHARDS):
            await self.evaluate(0, shard, steal=True, crash_after=None)
        who = self._fresh()
        self.workers = [who, who]
        # A shard that turns out to be damaged is made anew, and its telemetry read again.
        for _ in range(2 if self.damaged else 1):
            await self._read_up(who)
            for shard in range(SHARDS):
                await self.evaluate(0, shard, steal=True, crash_after=None)
                await self.evaluate(0, shard, steal=False, crash_after=None)

    async def _read_up(self, who: Worker) -> None:
        for _ in range(3 + sum(len(log) for log in self.logs.values())):
            for partition in PARTITIONS:
                if not who.resumed:
                    await self.resume(who)
                await self._read(who, partition, 1000)
            try:
                await who.ingest.touch(dict.fromkeys(PARTITIONS, 1))
            except Resync:
                who.resumed = False
            if who.resumed and all(who.ingest.partitions[p] == len(self.logs[p]) for p in PARTITIONS):
                break

    async def windows(self) -> dict[tuple[SeriesKey, int], tuple[int, ...]]:
        """Counts of every series and minute, as Redis holds them: the last checkpoint and the inboxes behind it."""
        found: dict[tuple[SeriesKey, int], tuple[int, ...]] = {}
        for shard in range(SHARDS):
            meta = await self.store.meta(shard)
            assert meta is not None
            machine = make_machine()
            if meta.checkpoint:
                state, hours = await self.store.load(shard)
                load(machine, state, hours)
            token = await self.store.acquire(shard, "reader", 60_000)
            if token is None:
                await self.redis.delete(self.store.key(shard, "lease"))
                token = await self.store.acquire(shard, "reader", 60_000)
            assert token is not None
            inboxes = await self.store.seal(shard, token, 2**40, meta.checkpoint + 1)
            assert inboxes is not None
            found.update(counts_of(machine, inboxes))
        return found


def bodies(outcomes: Sequence[Outcome]) -> list[tuple[str, bytes]]:
    """Every record with its identity: a firing's records by id, tier and status, verdicts by id."""
    found = []
    for outcome in outcomes:
        for firing in outcome.firings:
            found.append((f"{firing.firing_id}/{firing.tier}/{firing.status}", canonical_json(firing)))
        for verdict in outcome.verdicts:
            found.append((verdict.verdict_id, canonical_json(verdict)))
            found.append((f"{verdict.incident_id}/{verdict.revision}", canonical_json(verdict)))
    return found


@dataclass(frozen=True)
class Golden:
    """What must come out: a straight run over the logs, without Redis, crashes or batches."""

    emitted: dict[str, bytes]
    windows: dict[tuple[SeriesKey, int], tuple[int, ...]]
    letters: int


def golden(logs: Mapping[str, Sequence[LogRecord]], fold_type: Callable[..., PartitionFold] = PartitionFold) -> Golden:
    """The golden run."""
    decoder = Decoder(ANY_TIME, otlp=OtlpReader())
    shards = ShardMap(SHARDS)
    inboxes: dict[int, dict[int, list[Delta]]] = {shard: {} for shard in range(SHARDS)}
    watermark, letters = 2**62, 0
    for name, records in logs.items():
        fold, batch = fold_type(LATENESS_MS), Batch()
        values = [(record.value, (), 0) for record in records]
        if name == CONTROLS:
            said = decode_controls(values, decoder.limits, decoder.counters)
            letters += len(said.rejections)
            fold.add_controls(said.controls, batch)
        else:
            decoded = decoder.decode_batch(values)
            letters += len(decoded.rejections)
            fold.add(decoded.events, batch)
        watermark = min(watermark, fold.newest_ms)
        for shard, ticks in batch.spread(shards).items():
            for tick, delta in ticks.items():
                inboxes[shard].setdefault(tick, []).append(delta)
    last = NEVER if watermark == NEVER else tick_of(watermark - LATENESS_MS)
    emitted: dict[str, bytes] = {}
    windows: dict[tuple[SeriesKey, int], tuple[int, ...]] = {}
    for shard in range(SHARDS):
        machine = make_machine()
        emitted.update(bodies(list(machine.run({t: d for t, d in inboxes[shard].items() if t <= last}, last))))
        windows.update(counts_of(machine, {t: d for t, d in inboxes[shard].items() if t > last}))
    return Golden(emitted, windows, letters)
