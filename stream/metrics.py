"""What the engine tells Prometheus about itself.

One object, made once in a process and passed to whoever counts; it has its own registry, so tests and several engines
in one process do not mix. Every label has a closed or capped set of values: types, reasons, kinds, detectors, topics,
shards. No label ever holds an identifier of a conversation, a trace, a user or a series.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SHORT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Buckets for round trips to Redis and for checks."""

TICK_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets for the evaluation of one tick of one shard."""


class Metrics:
    """All instruments, by attribute. `registry` is what `/metrics` shows."""

    def __init__(self, version: str, config_hash: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Info("midwatch_build", "Version and configuration of the engine.", registry=self.registry).info(
            {"version": version, "config_hash": config_hash}
        )
        self._ingest()
        self._commits()
        self._evaluation()
        self._answers()
        self._costs()

    def forget_shard(self, shard: int) -> None:
        """Drop what is shown of a shard whose lease this process has lost."""
        for gauge in (
            self.inbox_bytes, self.watermark, self.heartbeat, self.open_incidents, self.silences, self.open_traces
        ):  # fmt: skip
            gauge.remove_by_labels({"shard": str(shard)})

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"midwatch_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"midwatch_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"midwatch_{name}", text, labels, buckets=buckets, registry=self.registry)

    def _ingest(self) -> None:
        self.records_read = self._counter("records_read_total", "Records taken from Kafka.", "topic")
        self.tombstones = self._counter("tombstones_total", "Records without a value, skipped.")
        self.events_folded = self._counter("events_folded_total", "Valid events counted in windows.", "type")
        self.events_late = self._counter("events_late_total", "Events behind their partition's watermark.", "type")
        self.events_duplicate = self._counter("events_duplicate_total", "Evaluations whose id came before.", "type")
        self.passed_over = self._counter(
            "passed_over_total", "Parts of other tools' records that say nothing Midwatch keeps.", "format"
        )
        self.unknown_fields = self._counter("unknown_fields_total", "Fields that no event of the type has.", "type")
        self.usage_unpriced = self._counter("usage_unpriced_total", "Usage of models without a price, counted as free.")
        self.usage_cost = self._counter("usage_cost_usd_total", "Cost of usage by the call; flat costs are not in it.")
        self.usage_untagged = self._counter(
            "usage_untagged_usd_total", "Of that, the cost of usage without a tag that the policy requires.", "tag"
        )
        self.dead_letters = self._counter("dead_letters_total", "Records that could not be read.", "reason")
        self.lag = self._gauge("consumer_lag_records", "Records not yet read, of the partitions assigned.", "topic")

    def _commits(self) -> None:
        self.commits = self._counter(
            "commits_total", "Batches by what became of them: applied, stale (another offset stored), failed.", "result"
        )
        self.commit_duration = self._histogram(
            "commit_duration_seconds", "Time from a folded batch to its commit in every shard.", SHORT_SECONDS
        )
        self.inbox_bytes = self._gauge("inbox_bytes", "Committed and not yet trimmed, in Redis.", "shard")
        self.back_pressure = self._gauge("ingest_paused", "1 while ingest waits for evaluation.")
        self.dependency_up = self._gauge("dependency_up", "1 if Kafka or Redis answered the last time.", "dependency")

    def _evaluation(self) -> None:
        self.leases = self._gauge("shard_leases_held", "Shards that this process evaluates.")
        self.leases_lost = self._counter("shard_leases_lost_total", "Shards that passed to another worker unasked.")
        self.watermark = self._gauge("watermark_timestamp_seconds", "Event time up to which all is seen.", "shard")
        self.heartbeat = self._gauge("heartbeat_timestamp_seconds", "Wall time of the last committed tick.", "shard")
        self.shards_rebuilt = self._counter(
            "shards_rebuilt_total", "Shards made anew because their state could not be read, by what from.", "source"
        )
        self.ticks = self._counter("ticks_total", "Event-time ticks evaluated and committed.")
        self.tick_duration = self._histogram("tick_duration_seconds", "Time of one shard's tick.", TICK_SECONDS)
        self.series = self._gauge("series", "Series that windows are held for.", "kind")
        self.detector_failures = self._counter("detector_failures_total", "Ticks that a detector failed.", "detector")
        self.series_refused = self._counter("series_refused_total", "New series refused at the cap.", "kind")
        self.evidence_dropped = self._counter(
            "evidence_dropped_total", "Deployments, breakers, ids of scores and controls dropped at a cap.", "kind"
        )

        self.open_traces = self._gauge("traces_open", "OpenTelemetry traces that are not finished.", "shard")
        self.traces = self._counter(
            "traces_total", "Traces finished, by what did it: root, local_root, gap, longest, cap.", "by"
        )
        self.spans_left_out = self._counter(
            "spans_left_out_total",
            "Spans of agents that came late, were repeated or over a trace's cap; ids of traces forgotten at theirs.",
            "reason",
        )

    def _answers(self) -> None:
        self.firings = self._counter("firings_total", "Firings published.", "detector", "tier", "status")
        self.verdicts = self._counter("verdicts_total", "Verdicts published.", "status", "triage_result")
        self.verdicts_muted = self._counter(
            "verdicts_muted_total", "Of these, those that are muted: for the record, nobody is paged.", "status"
        )
        self.verdicts_stale = self._counter(
            "verdicts_stale_total", "Of these, those that spoke of the past, marked: nobody is paged.", "status"
        )
        self.verdicts_standing = self._counter(
            "verdicts_standing_total", "Verdicts said again at the end of catching up, because they still held."
        )
        self.open_incidents = self._gauge("open_incidents", "Incidents that are not resolved.", "shard")
        self.incidents_refused = self._counter("incidents_refused_total", "Incidents refused at the cap.")
        self.firings_refused = self._counter(
            "firings_refused_total", "Firings kept out of an incident at its cap; they are published all the same."
        )
        self.silences = self._gauge("silences_active", "Silences and maintenance windows in force.", "shard")
        self.feedback = self._gauge(
            "feedback_verdicts",
            "Incidents judged by humans: confirmed, other_cause (confirmed, with another one), refuted.",
            "detector",
            "check",
            "judgement",
        )
        self.precision = self._gauge(
            "feedback_precision_ratio",
            "Share of the judged incidents of the last days in which something was wrong.",
            "detector",
            "check",
            "window",
        )
        self.check_duration = self._histogram("check_duration_seconds", "Time of one check.", SHORT_SECONDS, "check")
        self.checks = self._counter("checks_total", "Checks by outcome.", "check", "status")

    def _costs(self) -> None:
        self.cost_reports = self._counter("cost_reports_total", "Quarterly cost reports published.")
        self.cost_payg = self._gauge("cost_payg_usd", "A month as pay-as-you-go, by the last report.", "model")
        self.cost_best = self._gauge("cost_best_usd", "A month in the cheapest way, by the last report.", "model")
        self.cost_flip = self._gauge(
            "cost_flip_timestamp_seconds", "When the recommendation flips, by the last report.", "model", "term"
        )
