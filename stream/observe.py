"""Bring the counts of a worker's parts to its metrics, and say whether it is ready and whether it moves."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import Counter

from stream.core.ticks import NEVER, tick_of
from stream.evaluate_loop import EvaluateLoop
from stream.http import Status
from stream.ingest_loop import IngestLoop
from stream.metrics import Metrics


class Observer:
    """Copies tallies, which only grow, into counters, and states into gauges."""

    def __init__(
        self, metrics: Metrics, ingest: IngestLoop, evaluate: EvaluateLoop, wall_ms: Callable[[], int]
    ) -> None:
        self._metrics = metrics
        self._ingest = ingest
        self._evaluate = evaluate
        self._wall_ms = wall_ms
        self._seen: Tally[tuple[str, str]] = Tally()
        self._ticks: dict[int, int] = {}

    def observe(self) -> None:
        """Bring everything up to date."""
        metrics, ingest = self._metrics, self._ingest.ingest
        self._grow(metrics.events_folded, "type", ingest.tallies.fold.events)
        self._grow(metrics.events_late, "type", ingest.tallies.fold.late)
        self._grow(metrics.dead_letters, "reason", ingest.tallies.dead)
        self._grow(metrics.records_read, "topic", ingest.tallies.by_topic)
        self._grow(metrics.commits, "result", ingest.tallies.commits)
        for topic, lag in self._ingest.lag().items():
            metrics.lag.labels(topic=topic).set(lag)
        metrics.back_pressure.set(int(self._ingest.paused))
        self._observe_shards()

    def _observe_shards(self) -> None:
        metrics, tallies = self._metrics, self._evaluate.tallies
        durations, tallies.durations = tallies.durations, []
        for duration in durations:
            metrics.tick_duration.observe(duration)
        self._grow(metrics.ticks, None, {"": tallies.ticks})
        self._grow(metrics.firings, ("detector", "tier", "status"), tallies.firings)
        self._grow(metrics.verdicts, ("status", "triage_result"), tallies.verdicts)
        shards = self._evaluate.shards
        metrics.leases.set(len(shards))
        for gone in self._ticks.keys() - shards.keys():
            metrics.forget_shard(gone)
        series: Tally[str] = Tally()
        for shard, evaluator in shards.items():
            label = str(shard)
            if evaluator.committed != self._ticks.get(shard):
                metrics.heartbeat.labels(shard=label).set(self._wall_ms() / 1000)
            if evaluator.watermark_ms != NEVER:
                metrics.watermark.labels(shard=label).set(evaluator.watermark_ms / 1000)
            metrics.open_incidents.labels(shard=label).set(evaluator.machine.incidents.open_count)
            for kind, windows in evaluator.machine.windows.items():
                series[kind] += len(windows)
        self._ticks = {shard: evaluator.committed for shard, evaluator in shards.items()}
        for kind, number in series.items():
            metrics.series.labels(kind=kind).set(number)
        for shard, progress in self._ingest.ingest.progress.items():
            if shard in shards:
                metrics.inbox_bytes.labels(shard=str(shard)).set(progress.pending)

    def _grow(self, counter: Counter, labels: str | tuple[str, ...] | None, counts: Mapping[Any, int]) -> None:
        """Raise a counter by what its tally has grown since the last time."""
        name = counter._name  # noqa: SLF001  # the library has no public name
        for key, total in counts.items():
            growth = total - self._seen[name, str(key)]
            self._seen[name, str(key)] = total
            if growth > 0:
                self._labelled(counter, labels, key).inc(growth)

    @staticmethod
    def _labelled(counter: Counter, labels: str | tuple[str, ...] | None, key: Any) -> Counter:
        if labels is None:
            return counter
        if isinstance(labels, str):
            return counter.labels(**{labels: key})
        return counter.labels(**dict(zip(labels, key, strict=True)))

    def ready(self) -> Status:
        """Ready: partitions or shards are in hand, and the last answers came."""
        partitions, shards = len(self._ingest.ingest.partitions), len(self._evaluate.shards)
        facts = {
            "partitions": partitions,
            "shards": shards,
            "lag": sum(self._ingest.lag().values()),
            "ticks": dict(sorted((str(shard), tick) for shard, tick in self._ticks.items())),
        }
        return Status(partitions + shards > 0, facts)

    def progress(self) -> int:
        """A number that grows with every record read and every tick evaluated."""
        return self._ingest.ingest.tallies.read + self._evaluate.tallies.ticks

    def behind(self) -> bool:
        """Whether there is work: records to read, or ticks that the watermark has passed."""
        if any(self._ingest.lag().values()) or self._ingest.unsettled:
            return True
        return any(
            e.watermark_ms != NEVER and tick_of(e.watermark_ms) > e.committed for e in self._evaluate.shards.values()
        )


