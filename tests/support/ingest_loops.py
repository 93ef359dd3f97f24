"""The ingest loop around a consumer and a store that are none: what tests of it begin with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError

from stream import ingest_loop
from stream.adapters import Decoder, Limits
from stream.fetch import RecordSource
from stream.ingest import Ingest
from stream.ingest_loop import IngestLoop
from stream.settings import settings_model
from stream.settings_sections import EngineSettings
from tests.simulation.tiny import LogRecord
from tests.support.memory_store import START_MS, MemoryStore, log

TP0, TP1 = TopicPartition("agent.interactions", 0), TopicPartition("agent.interactions", 1)
LIMIT = 65_536

Batch = dict[TopicPartition, list[LogRecord]]


class FakeConsumer:
    """Hands out logs in memory from the positions that were sought. `before_return` runs inside each `getmany`."""

    def __init__(self, logs: Mapping[TopicPartition, list[LogRecord]]) -> None:
        self.logs = dict(logs)
        self.positions: dict[TopicPartition, int] = {}
        self.paused_now: set[TopicPartition] = set()
        self.before_return: list[Callable[[], Any]] = []
        self.fetched: list[Batch] = []
        self.on_empty: Callable[[], None] = lambda: None
        self.asked_ms = 0

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self.logs)

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self.logs[tp]) for tp in tps}

    async def beginning_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._assigned(tp)
        self.positions[tp] = offset

    def _assigned(self, *tps: TopicPartition) -> None:
        """As the client does."""
        for tp in tps:
            if tp not in self.logs:
                raise IllegalStateError(f"No current assignment for partition {tp}")

    def paused(self) -> set[TopicPartition]:
        return self.paused_now

    def pause(self, *tps: TopicPartition) -> None:
        self._assigned(*tps)
        self.paused_now |= set(tps)

    def resume(self, *tps: TopicPartition) -> None:
        self._assigned(*tps)
        self.paused_now -= set(tps)

    async def position(self, tp: TopicPartition) -> int:
        return self.positions[tp]

    def highwater(self, tp: TopicPartition) -> int:
        return len(self.logs[tp])

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        pass

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Batch:
        assert timeout_ms > 0
        await asyncio.sleep(0)
        found: Batch = {}
        for tp, records in self.logs.items():
            batch = records[self.positions[tp] :][:max_records] if tp not in self.paused_now else []
            if batch:
                found[tp] = batch
                self.positions[tp] = batch[-1].offset + 1
        if self.before_return:
            outcome = self.before_return.pop(0)()
            if outcome is not None:
                await outcome
        self.fetched.append(found)
        if not found:
            self.on_empty()
        return found


class FakeSource(RecordSource):
    """The newest fetch that was answered was sent at the consumer's `asked_ms`, by the clock of the test."""

    def __init__(self, consumer: FakeConsumer, wall_ms: Callable[[], int]) -> None:
        super().__init__(consumer, 20_000, 100)
        self._fake = consumer
        self._wall_ms = wall_ms

    def asked_ago_ms(self, _tp: TopicPartition) -> float | None:
        return self._wall_ms() - self._fake.asked_ms if self._fake.asked_ms else None


async def no_letters(_letters: Sequence[object]) -> None:
    raise AssertionError("no record of these tests is bad")


def store_without_servers(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """A store in which no shard is missing; the loop makes no consumer of its own."""

    async def nothing_missing(_store: object, _kafka: object, _starts: object) -> list[int]:
        return []

    monkeypatch.setattr(ingest_loop, "ensure_shards", nothing_missing)
    monkeypatch.setattr(ingest_loop, "AIOKafkaConsumer", lambda **_options: None)
    return MemoryStore()


def make(
    store: MemoryStore,
    logs: Mapping[TopicPartition, list[LogRecord]],
    clock: str = "stream",
    wall_ms: int = START_MS,
) -> tuple[IngestLoop, FakeConsumer, asyncio.Event]:
    """A loop that stops when there is nothing left to read."""
    sections: dict[str, Any] = {"engine": EngineSettings(clock=clock, pending_bytes_limit=LIMIT)}  # type: ignore[arg-type]
    ingest = Ingest(store, Decoder(Limits(max_future_ms=None, max_age_ms=None)), no_letters, 20_000)  # type: ignore[arg-type]
    loop = IngestLoop(settings_model()(**sections), store, ingest, lambda: wall_ms, "test")  # type: ignore[arg-type]
    consumer, stop = FakeConsumer(logs), asyncio.Event()
    loop.consumer, consumer.on_empty = consumer, stop.set

    def wall_now() -> int:
        return loop._wall_ms()

    loop.source = FakeSource(consumer, wall_now)
    return loop, consumer, stop


def two_logs() -> dict[TopicPartition, list[LogRecord]]:
    return {TP0: log(*["resolve"] * 6), TP1: log(*["resolve"] * 3)}
