"""The signals of single series as Prometheus metrics: the ones that matter, up to a cap.

These are the only metrics whose labels hold names out of telemetry. The cap holds for the whole process, over all its
shards, and what it hides is counted, so a fleet that grows is seen without growing the monitoring system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from stream.core.machine import ShardMachine
from stream.core.signals import Family, OpenFiring, Signal, Signals, signals_of

SIGNAL_SECONDS: Final = 10.0
"""Seconds between two looks at one shard: while catching up, ticks pass far faster than anyone scrapes."""

GAUGES: Final[Mapping[tuple[Family, str], tuple[str, str]]] = {
    ("flow", "interactions"): ("flow_interactions", "Interactions of the last 30 minutes."),
    ("flow", "escalations"): ("flow_escalations", "Of those, escalated to a human."),
    ("flow", "failures"): ("flow_failures", "Of those, failed."),
    ("flow", "expected"): ("flow_expected_escalation_ratio", "Share that is expected to escalate at this hour."),
    ("agent", "requests"): ("agent_requests", "Authorization requests of the last 30 minutes."),
    ("agent", "denials"): ("agent_denials", "Of those, denied."),
    ("agent", "expected"): ("agent_expected_denial_ratio", "Share that is expected to be denied."),
    ("score", "scores"): ("evaluation_scores", "Scores of the last 24 full hours."),
    ("score", "mean"): ("evaluation_score_mean", "Their mean, of 1 to 5."),
    ("score", "expected"): ("evaluation_expected_score", "The mean that is expected."),
    ("budget", "day"): ("budget_day_usd", "Cost of the last 24 full hours."),
    ("budget", "spent"): ("budget_spent_usd", "Cost of the month, to the last full hour."),
    ("budget", "amount"): ("budget_amount_usd", "The month's budget."),
    ("budget", "forecast"): ("budget_forecast_usd", "Cost of the month at its end, as forecast."),
}
"""By family and value: the metric's name without `midwatch_`, and its help text."""

LABELS: Final[Mapping[Family, tuple[str, ...]]] = {
    "flow": ("environment", "system", "flow"),
    "agent": ("environment", "system", "agent"),
    "score": ("environment", "system", "flow", "criterion"),
    "budget": ("environment", "system", "budget"),
}
FIRING_LABELS: Final = ("detector", "tier", "environment", "system", "series")


class SignalCollector(Collector):
    """Holds the last signals of each shard that this process evaluates, and writes them out at a scrape.

    `look` and `forget` are called by one thread, `collect` by any: what it reads is replaced, never changed.
    """

    def __init__(self, registry: CollectorRegistry, cap: int) -> None:
        self._cap = cap
        self._shards: dict[int, Signals] = {}
        self._looked: dict[int, float] = {}
        registry.register(self)

    def look(self, shard: int, machine: ShardMachine, now: float) -> None:
        """Take a shard's signals, unless it was looked at just before; `now` in seconds of any steady clock."""
        if not self._cap or not machine.tick or now - self._looked.get(shard, float("-inf")) < SIGNAL_SECONDS:
            return
        self._looked[shard] = now
        self._shards = {**self._shards, shard: signals_of(machine, self._cap)}

    def forget(self, shard: int) -> None:
        """Show nothing more of a shard that another process evaluates now."""
        self._looked.pop(shard, None)
        self._shards = {key: value for key, value in self._shards.items() if key != shard}

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """All metrics, without samples."""
        return _empty()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All metrics with the samples of the series that are shown."""
        shards = [self._shards[shard] for shard in sorted(self._shards)]
        for family, labels in LABELS.items():
            shown = self._shown([signal for signals in shards for signal in signals.families[family]])
            for (of, value), (name, text) in GAUGES.items():
                if of == family:
                    yield _gauge(name, text, labels, value, shown)
        firings = sorted((f for signals in shards for f in signals.firings), key=_gravest_first)
        yield _firings(firings[: self._cap])
        yield self._hidden(shards, len(firings))

    def _shown(self, signals: list[Signal]) -> list[Signal]:
        return sorted(signals, key=lambda signal: (not signal.firing, -signal.events, signal.labels))[: self._cap]

    def _hidden(self, shards: list[Signals], firings: int) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily(*_HIDDEN, labels=("kind",))
        for family in LABELS:
            here = sum(len(signals.families[family]) for signals in shards)
            beyond = sum(signals.hidden[family] for signals in shards)
            gauge.add_metric((family,), beyond + max(here - self._cap, 0))
        gauge.add_metric(("firing",), max(firings - self._cap, 0))
        return gauge


_HIDDEN: Final = ("midwatch_series_hidden", "Series that these metrics do not show, for their cap.")
_FIRING: Final = ("midwatch_firing", "1 for a series with an open firing.")


def _empty() -> Iterator[GaugeMetricFamily]:
    for (family, _), (name, text) in GAUGES.items():
        yield GaugeMetricFamily(f"midwatch_{name}", text, labels=LABELS[family])
    yield GaugeMetricFamily(*_FIRING, labels=FIRING_LABELS)
    yield GaugeMetricFamily(*_HIDDEN, labels=("kind",))


def _gauge(name: str, text: str, labels: tuple[str, ...], value: str, shown: list[Signal]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"midwatch_{name}", text, labels=labels)
    for signal in shown:
        number = dict(signal.values).get(value)
        if number is not None:
            named = dict(signal.labels)
            gauge.add_metric([named[label] for label in labels], number)
    return gauge


def _firings(firings: list[OpenFiring]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(*_FIRING, labels=FIRING_LABELS)
    for firing in firings:
        values = (firing.detector, firing.tier, firing.environment, firing.system, firing.series)
        gauge.add_metric(values, 1)
    return gauge


def _gravest_first(firing: OpenFiring) -> tuple[bool, str, str, str, str]:
    return (firing.tier != "page", firing.detector, firing.environment, firing.system, firing.series)
