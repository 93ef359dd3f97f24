"""What the evaluation plane tells Prometheus. Labels come from closed or capped sets: kinds, criteria, reasons."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class PlaneMetrics:
    """All instruments, by attribute. `registry` is what `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.seen = self._counter("interactions_seen_total", "Interactions read.", "kind")
        self.sampled = self._counter("interactions_sampled_total", "Interactions drawn to be judged.", "kind")
        self.repeated = self._counter("interactions_repeated_total", "Interactions that were judged before.")
        self.skipped = self._counter("interactions_skipped_total", "Drawn and not judged, by reason.", "reason")
        self.rejected = self._counter("records_rejected_total", "Records that could not be read.", "reason")
        self.judged = self._counter("scores_total", "Scores published.", "criterion", "purpose")
        self.no_data = self._counter("no_data_total", "Judgements without a score, by reason.", "reason")
        self.tokens = self._counter("tokens_total", "Tokens of the judge.", "purse")
        self.micro_usd = self._counter("cost_usd_total", "Dollars of the judge.", "purse")
        self.unpriced = self._counter("unpriced_total", "Judgements by a model without a price, counted as free.")
        self.bursts = self._counter("bursts_total", "Bursts by what became of them.", "result")
        self.failed = self._counter("failures_total", "What failed and cost a sample.", "part")
        self.factor = self._gauge("sampling_factor", "By how much the budget thins the sampling; 1 is not at all.")
        self.budget_left = self._gauge("budget_left_ratio", "Share of the day's budget that is left.", "purse", "unit")
        self.in_flight = self._gauge("in_flight", "Records that are being worked on.")
        self.given_up = self._gauge("given_up", "Judgements that were given up and do not end.")
        self.batches = self._gauge("batches", "Batches that are remembered, by state.", "state")
        self.batch_age = self._gauge("batch_open_seconds", "Age of the oldest batch that has not been collected.")
        self.lag = self._gauge("lag_seconds", "Age of the newest interaction read, at its record's timestamp.")
        self.redis_up = self._gauge("redis_up", "1 if Redis answered the last time.")
        self.duration = Histogram(
            "midwatch_judge_duration_seconds", "Time of one interaction's judging.", buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"midwatch_judge_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"midwatch_judge_{name}", text, labels, registry=self.registry)
