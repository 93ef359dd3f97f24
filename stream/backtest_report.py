"""What a backtest found, as values and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from detectors.words import at, rounded, span
from schemas.base import JsonObject
from schemas.series import SeriesKey
from schemas.words import DetectorName, Tier
from stream.backtest_layout import LAYOUTS, Layout
from stream.backtest_load import History
from stream.backtest_metrics import Exposure, Interval, Label, TierMetrics, metrics


@dataclass(frozen=True, slots=True)
class BacktestFiring:
    """One firing at one tier; what became a page has a record of either tier, each from when it was reached."""

    detector: DetectorName
    key: SeriesKey
    tier: Tier
    start: int
    end: int
    is_open: bool
    onset: int
    summary: str

    def to_json(self) -> JsonObject:
        """As the contract of `midwatch backtest --json` has it. `end` of an open firing is the end of the history."""
        record: JsonObject = {"detector": self.detector, **self.key.labels(), "tier": self.tier}
        record |= {"start": at(self.start), "end": at(self.end), "onset": at(self.onset), "summary": self.summary}
        return record | ({"open": True} if self.is_open else {})

    def interval(self) -> Interval:
        """The firing as an interval to measure."""
        return Interval(self.key, self.tier, self.start, self.end)


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What fired, and what was watched, from minute `since` on or all the time."""

    detector: DetectorName
    firings: tuple[BacktestFiring, ...]
    exposure: tuple[Exposure, ...]
    since: int | None = None

    def intervals(self) -> list[Interval]:
        """The firings as intervals to measure."""
        return [firing.interval() for firing in self.firings]


@dataclass(frozen=True)
class BacktestReport:
    """A result, and its measures where there were labels."""

    config: str
    result: BacktestResult
    metrics: dict[Tier, TierMetrics] | None
    labels: tuple[Label, ...]
    history: JsonObject

    @property
    def layout(self) -> Layout:
        """How the history is laid out."""
        return LAYOUTS[self.result.detector]

    @cached_property
    def false_alarms(self) -> frozenset[Interval]:
        """The intervals that no label accounts for; without labels none is known to be false."""
        tiers = (self.metrics or {}).values()
        return frozenset(interval for one in tiers for interval in one.false_alarms)

    def per_series_week(self, tier: Tier) -> float:
        """Firings of a tier per series-week."""
        weeks = sum(one.weeks for one in self.result.exposure)
        return sum(firing.tier == tier for firing in self.result.firings) / weeks if weeks else 0.0

    def firing_json(self, firing: BacktestFiring) -> JsonObject:
        """One firing; with labels also whether it is a false alarm."""
        record = firing.to_json()
        if self.metrics is not None:
            record["false_alarm"] = firing.interval() in self.false_alarms
        return record

    def incident_json(self, label: Label) -> JsonObject:
        """One label: its size, and for each tier the minutes until it was found, or null."""
        record: JsonObject = {"start": at(label.start), "end": at(label.end), **label.key.labels(), "kind": label.kind}
        record["size"] = None if label.size is None else rounded(label.size, 3)
        record["detected"] = {tier: one.found.get(label) for tier, one in (self.metrics or {}).items()}
        return record

    def to_json(self) -> JsonObject:
        """One JSON object: `firings` and, with labels, `metrics` by tier and the `incidents`."""
        report: JsonObject = {
            "detector": self.result.detector,
            "config": self.config,
            "history": self.history,
            "firings": [self.firing_json(firing) for firing in self.result.firings],
            "firings_per_series_week": {tier: rounded(self.per_series_week(tier)) for tier in ("warning", "page")},
        }
        if self.metrics is not None:
            report["metrics"] = {tier: measured.summary() for tier, measured in self.metrics.items()}
            report["incidents"] = [self.incident_json(label) for label in self.labels]
        return report


def measure(result: BacktestResult, labels: Sequence[Label] | None, history: History, config: str) -> BacktestReport:
    """The report on a result."""
    layout, view = LAYOUTS[result.detector], history.view
    facts: JsonObject = {"rows": history.rows, "series": len(view.keys), "start": at(view.start), "end": at(view.end)}
    facts["series_weeks"] = round(sum(one.weeks for one in result.exposure), 3)
    if result.since is not None:
        facts["since"] = at(result.since)
    measured = None
    if labels is not None:
        measured = metrics(result.intervals(), labels, result.exposure, layout.grace, layout.volume, layout.size)
    return BacktestReport(config, result, measured, tuple(labels or ()), facts)


def by_weight(report: BacktestReport, labels: Iterable[Label]) -> list[Label]:
    """Labels with those first that are the hardest to excuse when missed: large, on a busy series."""
    volume = {one.key: one.volume for one in report.result.exposure}
    return sorted(labels, key=lambda label: (-(label.size or 0.0) * volume.get(label.key, 0.0), label.start))


def lasting(minutes: int) -> str:
    """`11 min`, `6 h`, `16.2 d`: a time to detect."""
    return span(minutes) if minutes < 3000 else f"{minutes / 1440:.1f} d"
