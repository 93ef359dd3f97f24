"""What the ingest process tells Prometheus about itself; its own registry, for it is a process of its own."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class IngestMeters:
    """All instruments. Routes, codes, topics and reasons are closed vocabularies."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = self._counter("requests_total", "Requests.", "route", "code")
        self.records = self._counter("records_total", "Records stored.", "topic")
        self.bytes = self._counter("bytes_total", "Bytes of bodies, as sent.", "route")
        self.refused = self._counter("refused_total", "Records refused.", "reason")
        self.passed_over = self._counter("passed_over_total", "Records with nothing to keep.")
        self.pending = Gauge("midwatch_ingest_pending_bytes", "Bytes that wait for Kafka.", registry=self.registry)
        self.duration = Histogram(
            "midwatch_ingest_duration_seconds",
            "Time of a request until its answer.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"midwatch_ingest_{name}", text, labels, registry=self.registry)
