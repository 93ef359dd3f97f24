"""What a judge tells Prometheus about itself. Every label has a closed set of values."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram

SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 90.0)


class JudgeMetrics:
    """All instruments, by attribute; `registry` is a collector of its own, for another registry to show."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.judged = Counter(
            "midwatch_judge_judgements_total",
            "Judgements by method, scored or not.",
            ("status", "method"),
            registry=self.registry,
        )
        self.no_data = Counter(
            "midwatch_judge_unscored_total", "Judgements without a score.", ("reason",), registry=self.registry
        )
        self.failures = Counter(
            "midwatch_judge_call_failures_total",
            "Calls that gave no answer to use; most are made again.",
            ("reason",),
            registry=self.registry,
        )
        self.tokens = Counter(
            "midwatch_judge_call_tokens_total",
            "Tokens spent, also for no score.",
            ("direction",),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "midwatch_judge_seconds",
            "Time for one interaction, with all retries.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge("midwatch_judge_calls_in_flight", "Calls being made.", registry=self.registry)
        self.circuit = Enum(
            "midwatch_judge_circuit",
            "Whether the judge is asked (closed), counts as down and is not (open), or is tried (half_open).",
            states=["closed", "half_open", "open"],
            registry=self.registry,
        )
        self.circuit_opened = Counter(
            "midwatch_judge_circuit_opened_total", "Times that the judge came to count as down.", registry=self.registry
        )
        self.not_asked = Counter(
            "midwatch_judge_calls_not_made_total", "Calls not made, as the judge was down.", registry=self.registry
        )
        self.without_logprobs = Gauge(
            "midwatch_judge_without_logprobs",
            "1 if log-probabilities were asked for and the model gives none, so that samples are averaged.",
            registry=self.registry,
        )
        self.anchor_error = self._by_criterion(
            "midwatch_judge_anchor_error", "Mean distance of the anchors' scores from the known ones, in points."
        )
        self.anchor_shift = self._by_criterion(
            "midwatch_judge_anchor_shift", "Mean shift of the anchors' scores from the reference, in points."
        )
        self.changed = self._by_criterion(
            "midwatch_judge_changed", "1 if that shift is larger than a wavering judge's would be."
        )
        self.anchors_skipped = Counter(
            "midwatch_judge_anchors_skipped_total",
            "Anchors not judged, as the day's budget is spent.",
            registry=self.registry,
        )
        self.anchor_rounds = Counter("midwatch_judge_anchor_rounds_total", "Rounds of anchors.", registry=self.registry)

    def _by_criterion(self, name: str, text: str) -> Gauge:
        """Criteria with known scores are the shipped ones: a closed set."""
        return Gauge(name, text, ("criterion",), registry=self.registry)
