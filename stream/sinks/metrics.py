"""What the delivery process tells Prometheus. The label `sink` is a name of the configuration."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

DELAYS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


class SinkMetrics:
    """All instruments, by attribute. `registry` is what `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.deliveries = self._counter(
            "deliveries_total", "Messages that the destination took, by what they said.", "what"
        )
        self.failures = self._counter("failures_total", "Tries that failed, by reason.", "reason")
        self.retries = self._counter("retries_total", "Tries after the first.")
        self.skipped = self._counter("skipped_total", "Verdicts that were not told, by reason.", "reason")
        self.undelivered = self._counter("undelivered_total", "Verdicts that were given up, by reason.", "reason")
        self.up = self._gauge("up", "1 if the destination took the last message, 0 if it did not.")
        self.waiting = self._gauge("waiting_records", "Verdicts read and not yet done with.")
        self.lag = self._gauge("lag_records", "Verdicts not yet done with, of the partitions assigned.")
        self.oldest = self._gauge("oldest_waiting_seconds", "Age of the oldest verdict that waits; 0 if none does.")
        self.last_success = self._gauge("last_success_timestamp_seconds", "When the destination last took a message.")
        self.standing = self._gauge("standing_incidents", "Incidents that stand open at the destination.")
        self.delay = Histogram(
            "midwatch_sink_delay_seconds", "Time from a verdict's publication to its delivery.", ["sink"],
            buckets=DELAYS, registry=self.registry,
        )  # fmt: skip

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"midwatch_sink_{name}", text, ("sink", *labels), registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"midwatch_sink_{name}", text, ("sink",), registry=self.registry)
