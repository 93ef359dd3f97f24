"""Bring the counts of a worker's parts to its metrics, and say whether it is well, ready, and moving."""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Tally
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from prometheus_client import Counter, Histogram

from schemas.series import KINDS, MICRO_USD
from stream.adapters import Counters
from stream.core.machine import ShardMachine
from stream.core.ticks import NEVER, tick_of
from stream.evaluate import ShardEvaluator
from stream.evaluate_loop import EvaluateLoop
from stream.health import Contacts, silences
from stream.http import Status
from stream.ingest_loop import IngestLoop
from stream.metrics import Metrics
from stream.signal_metrics import SignalCollector

READY_LAG_RECORDS: Final = 5_000
"""Records of lag up to which a worker counts as having caught up."""

READY_LAG_TICKS: Final = 2
"""Ticks between watermark and evaluation up to which it does."""

AT_WORK_SECONDS: Final = 5.0
"""How long a shard may take for a chunk of ticks before it is watched by itself."""


class CommitTimer:
    """A `Point` for ingest that measures commits: from the folded batch to its commit in every shard."""

    def __init__(self, histogram: Histogram, clock: Callable[[], float] = time.perf_counter) -> None:
        self._histogram = histogram
        self._clock = clock
        self._started: float | None = None

    def __call__(self, point: str) -> None:
        """Note a point of the protocol. A batch that failed leaves no measure."""
        if point == "folded":
            self._started = self._clock()
        elif point == "committed" and self._started is not None:
            self._histogram.observe(self._clock() - self._started)
            self._started = None


class Growth:
    """Raises counters by what tallies, which only grow, have gained since the last time."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, Tally[Any]] = {}

    def take(
        self,
        counter: Counter,
        labels: Sequence[str],
        counts: Mapping[Any, int],
        source: Hashable = None,
        *,
        unit: int = 1,
        examples: Mapping[Any, dict[str, str] | None] | None = None,
    ) -> None:
        """Bring `counts`, by the value (or tuple of values) of `labels`, to `counter`, in units of `unit`.

        `examples` by the same values are shown as exemplars, to scrapers that ask for OpenMetrics. A source of its
        own is a tally of its own: two shards that have each refused one series make two.
        """
        seen = self._seen.setdefault((counter, source), Tally())
        for key, total in counts.items():
            growth, seen[key] = total - seen[key], total
            if growth > 0:
                values = key if isinstance(key, tuple) else (key,)
                child = counter.labels(**dict(zip(labels, values, strict=True))) if labels else counter
                child.inc(growth / unit, examples.get(key) if examples else None)

    def forget(self, source: Hashable) -> None:
        """The tallies of a source start at zero again."""
        for key in [key for key in self._seen if isinstance(key, tuple) and key[1] == source]:
            del self._seen[key]


class Observer:
    """Copies tallies into counters and states into gauges; answers `/healthz` and `/readyz`."""

    def __init__(
        self,
        metrics: Metrics,
        ingest: IngestLoop,
        evaluate: EvaluateLoop,
        decoded: Counters,
        contacts: Contacts,
        wall_ms: Callable[[], int],
        stuck_seconds: float,
        signals: SignalCollector | None = None,
    ) -> None:
        self._signals = signals
        self._metrics = metrics
        self._ingest = ingest
        self._evaluate = evaluate
        self._decoded = decoded
        self._contacts = contacts
        self._wall_ms = wall_ms
        self._stuck_seconds = stuck_seconds
        self._growth = Growth()
        self._ticks: dict[int, int] = {}
        self._machines: dict[int, ShardMachine] = {}
        self._topics: set[str] = set()
        self._loops: dict[str, asyncio.Task[Any]] = {}

    def watch(self, loops: Mapping[str, asyncio.Task[Any]]) -> None:
        """The loops that must run for as long as the worker does."""
        self._loops = dict(loops)

    def observe(self) -> None:
        """Bring everything up to date."""
        self._observe_ingest()
        self._observe_evaluation()
        for shard, evaluator in self._evaluate.shards.items():
            self._observe_shard(shard, evaluator)
        self._ticks = {shard: evaluator.committed for shard, evaluator in self._evaluate.shards.items()}
        for name, contact in self._contacts.items():
            self._metrics.dependency_up.labels(dependency=name).set(int(contact.up))

    def _observe_ingest(self) -> None:
        metrics, tallies, grow = self._metrics, self._ingest.ingest.tallies, self._growth.take
        grow(metrics.records_read, ("topic",), tallies.by_topic)
        grow(metrics.events_folded, ("type",), tallies.fold.events)
        grow(metrics.events_late, ("type",), tallies.fold.late)
        grow(metrics.usage_unpriced, (), {"": sum(tallies.fold.unpriced.values())})
        if (spend := tallies.fold.spend) is not None:
            grow(metrics.usage_cost, (), {"": spend.total}, unit=MICRO_USD)
            grow(metrics.usage_untagged, ("tag",), spend.untagged, unit=MICRO_USD)
        grow(metrics.dead_letters, ("reason",), tallies.dead)
        grow(metrics.commits, ("result",), tallies.commits)
        grow(metrics.tombstones, (), {"": self._decoded.tombstones})
        grow(metrics.passed_over, ("format",), self._decoded.passed_over)
        unknown: Tally[str] = Tally()
        for (kind, _field), number in self._decoded.unknown_fields.counts.items():
            unknown[kind] += number
        grow(metrics.unknown_fields, ("type",), unknown)
        lags = self._ingest.lag()
        for topic in self._topics - lags.keys():
            metrics.lag.remove(topic)
        for topic, lag in lags.items():
            metrics.lag.labels(topic=topic).set(lag)
        self._topics = set(lags)
        metrics.back_pressure.set(int(self._ingest.paused))

    def _observe_evaluation(self) -> None:
        metrics, tallies, shards = self._metrics, self._evaluate.tallies, self._evaluate.shards
        durations, tallies.durations = tallies.durations, []
        for duration in durations:
            metrics.tick_duration.observe(duration)
        self._growth.take(metrics.ticks, (), {"": tallies.ticks})
        self._growth.take(metrics.leases_lost, (), {"": tallies.fenced})
        self._growth.take(metrics.shards_rebuilt, ("source",), tallies.rebuilt)
        last = tallies.examples
        self._growth.take(metrics.firings, ("detector", "tier", "status"), tallies.firings, examples=last)
        self._growth.take(metrics.verdicts, ("status", "triage_result"), tallies.verdicts, examples=last)
        self._growth.take(metrics.verdicts_muted, ("status",), tallies.muted)
        self._growth.take(metrics.verdicts_stale, ("status",), tallies.stale)
        self._growth.take(metrics.verdicts_standing, (), {"": tallies.standing})
        metrics.leases.set(len(shards))
        for gone in self._ticks.keys() - shards.keys():
            metrics.forget_shard(gone)
            if self._signals is not None:
                self._signals.forget(gone)
            self._machines.pop(gone, None)
        series: Tally[str] = Tally()
        for evaluator in shards.values():
            series.update({kind: len(windows) for kind, windows in evaluator.machine.windows.items()})
        for kind in KINDS:
            metrics.series.labels(kind=kind).set(series[kind])

    def _observe_shard(self, shard: int, evaluator: ShardEvaluator) -> None:
        metrics, machine, label = self._metrics, evaluator.machine, str(shard)
        if evaluator.committed != self._ticks.get(shard):
            metrics.heartbeat.labels(shard=label).set(self._wall_ms() / 1000)
            if self._signals is not None:
                self._signals.look(shard, machine, time.monotonic())
        if evaluator.watermark_ms != NEVER:
            metrics.watermark.labels(shard=label).set(evaluator.watermark_ms / 1000)
        metrics.open_incidents.labels(shard=label).set(machine.incidents.open_count)
        active = machine.evidence.controls.at(machine.tick).silences if machine.tick else ()
        metrics.silences.labels(shard=label).set(len(active))
        progress = self._ingest.ingest.progress.get(shard)
        if progress is not None:
            metrics.inbox_bytes.labels(shard=label).set(progress.pending)
        if self._machines.get(shard) is not machine:
            # A machine that was loaded again counts from zero.
            self._machines[shard] = machine
            self._growth.forget(shard)
        grow = self._growth.take
        grow(metrics.events_duplicate, ("type",), {"evaluation": machine.tallies.duplicate_scores}, shard)
        grow(metrics.detector_failures, ("detector",), machine.tallies.failed_detectors, shard)
        grow(metrics.series_refused, ("kind",), machine.tallies.refused_series, shard)
        grow(metrics.evidence_dropped, ("kind",), machine.evidence.dropped, shard)
        grow(metrics.events_folded, ("type",), +machine.tallies.traced, shard)
        metrics.open_traces.labels(shard=label).set(len(machine.traces))
        grow(metrics.traces, ("by",), machine.traces.finished, shard)
        grow(metrics.spans_left_out, ("reason",), machine.traces.left_out, shard)
        grow(metrics.incidents_refused, (), {"": machine.incidents.refused_incidents}, shard)
        grow(metrics.firings_refused, (), {"": machine.incidents.refused_firings}, shard)

    def healthy(self) -> Status:
        """Well: the loops run, and Kafka and Redis have answered within `stuck_seconds`. Else: start it anew."""
        ended = sorted(name for name, task in self._loops.items() if task.done())
        silent = any(contact.silent_seconds > self._stuck_seconds for contact in self._contacts.values())
        facts: dict[str, Any] = {"ended": ended} if ended else {}
        return Status(not ended and not silent, {**facts, **silences(self._contacts)})

    def ready(self) -> Status:
        """Ready: well, with partitions or shards in hand, and caught up with their telemetry."""
        partitions, shards = len(self._ingest.ingest.partitions), len(self._evaluate.shards)
        lag, ticks_behind = sum(self._ingest.lag().values()), self._ticks_behind()
        in_hand = partitions + shards > 0 and not self._ingest.unsettled and self._all_asked()
        caught_up = lag <= READY_LAG_RECORDS and ticks_behind <= READY_LAG_TICKS
        facts = {"partitions": partitions, "shards": shards, "lag": lag, "ticks_behind": ticks_behind}
        well = self.healthy()
        return Status(well.ok and in_hand and caught_up, {**well.facts, **facts})

    def _all_asked(self) -> bool:
        """Whether the broker has told the end of every partition assigned: before that, no lag is known."""
        consumer = self._ingest.consumer
        return all(consumer.highwater(tp) is not None for tp in consumer.assignment())

    def progress(self, part: str) -> int:
        """A number that stays as it is for as long as a part, or a contact, does not get on.

        What is read again and again without being committed is no progress, and neither is that of other shards while
        one of them does not get on.
        """
        if part in self._contacts:
            return self._contacts[part].answers
        if part == "ingest":
            return self._ingest.ingest.tallies.commits["applied"]
        since = self.stuck_since(part)
        return self._evaluate.tallies.moves if since is None else -round(since * 1000)

    def stuck_since(self, part: str) -> float | None:
        """Since when, on the monotonic clock, one shard or the leases of a part do not get on, if they should have."""
        since = self._evaluate.stuck_since() if part == "evaluate" else None
        return since if since is not None and time.monotonic() - since > AT_WORK_SECONDS else None

    def behind(self, part: str) -> bool:
        """Whether a part has work: records to read, or ticks that the watermark has passed; a contact always has.

        A server that does not answer cannot say whether telemetry waits.
        """
        if part in self._contacts:
            return True
        if part == "ingest":
            return self._ingest.unsettled or (any(self._ingest.lag().values()) and not self._ingest.waiting)
        return self.stuck_since(part) is not None or self._ticks_behind() > 0

    def _ticks_behind(self) -> int:
        """The most ticks that a shard in hand has between its watermark and its evaluation."""
        return max(map(_ticks_behind_of, self._evaluate.shards.values()), default=0)


def _ticks_behind_of(evaluator: ShardEvaluator) -> int:
    if evaluator.watermark_ms == NEVER:
        return 0
    if not evaluator.committed:
        # Not begun: there is no tick to count from, and it has not caught up.
        return READY_LAG_TICKS + 1
    return max(tick_of(evaluator.watermark_ms) - evaluator.committed, 0)
