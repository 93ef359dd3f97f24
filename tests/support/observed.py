"""An observer over parts that a test moves by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import TopicPartition

from schemas.outputs import Engine
from stream.adapters import Counters
from stream.core.machine import ShardMachine
from stream.core.ticks import MINUTE_MS
from stream.evaluate_tallies import EvaluateTallies
from stream.health import Contact
from stream.ingest import Tallies
from stream.metrics import Metrics
from stream.observe import Observer
from triage.settings import TriageSettings

TICK = 29_540_160
PARTITION = TopicPartition("agent.interactions", 0)


@dataclass
class FakeConsumer:
    """A consumer that has one partition in hand."""

    end: int | None = 10

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    def highwater(self, _partition: TopicPartition) -> int | None:
        return self.end


@dataclass
class FakeIngest:
    """An ingest loop in one of its states."""

    ingest: Any
    consumer: FakeConsumer = field(default_factory=FakeConsumer)
    paused: bool = False
    unsettled: bool = False
    waiting: bool = False
    lags: dict[str, int] = field(default_factory=dict)

    def lag(self) -> dict[str, int]:
        return self.lags


def machine() -> ShardMachine:
    return ShardMachine((), TriageSettings(), Engine(version="1", config_hash="h"))


class Stage:
    """An observer over parts that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.answers = {"kafka": True, "redis": True}
        self.metrics = Metrics("1", "h")
        self.tallies = Tallies()
        in_hand = {"agent.interactions/0": 5}
        self.ingest = FakeIngest(SimpleNamespace(tallies=self.tallies, partitions=in_hand, progress={}))
        self.evaluators: dict[int, Any] = {}
        self.due: list[float] = []
        self.evaluate = SimpleNamespace(
            tallies=EvaluateTallies(), shards=self.evaluators, stuck_since=lambda: min(self.due, default=None)
        )
        self.decoded = Counters()
        self.contacts = {name: Contact(self._asker(name), lambda: self.now) for name in self.answers}
        self.observer = Observer(
            self.metrics,
            cast("Any", self.ingest),
            cast("Any", self.evaluate),
            self.decoded,
            self.contacts,
            lambda: 1_700_000_000_000,
            60.0,
        )

    def _asker(self, name: str) -> Any:
        async def ask() -> bool:
            return self.answers[name]

        return ask

    def take_shard(self, shard: int = 0) -> Any:
        """A shard in hand, evaluated up to its watermark."""
        evaluator = SimpleNamespace(committed=TICK, watermark_ms=TICK * MINUTE_MS, machine=machine())
        self.evaluators[shard] = evaluator
        return evaluator

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"midwatch_{name}", labels)
