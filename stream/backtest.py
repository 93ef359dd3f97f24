"""`midwatch backtest`: what a detector would have fired on a history, and how good that would have been.

It runs the very detector that runs live, over the same windows, tick by tick. Without labels it says what fired; with
labels also recall, false alarms per series-week and time to detect.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from detectors.arrays import ArrayView, walk
from detectors.base import Claim, Detector
from detectors.registry import DETECTORS
from detectors.words import at
from schemas.base import JsonObject
from schemas.series import SeriesKey
from schemas.words import DetectorName, Tier
from stream.backtest_load import LAYOUTS, Layout, load_counts
from stream.backtest_metrics import Exposure, Interval, Label, TierMetrics, metrics
from stream.backtest_problems import BacktestError

_WEEK = 10_080


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


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What fired, and what was watched."""

    detector: DetectorName
    firings: tuple[BacktestFiring, ...]
    exposure: tuple[Exposure, ...]

    def intervals(self) -> list[Interval]:
        """The firings as intervals to measure."""
        return [Interval(one.key, one.tier, one.start, one.end) for one in self.firings]


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """A result, and its measures where there were labels."""

    result: BacktestResult
    metrics: dict[Tier, TierMetrics] | None

    def to_json(self) -> JsonObject:
        """One JSON object: `firings` and, with labels, `metrics` by tier."""
        report: JsonObject = {"firings": [firing.to_json() for firing in self.result.firings]}
        if self.metrics is not None:
            report["metrics"] = {tier: measured.summary() for tier, measured in self.metrics.items()}
        return report

    def table(self) -> str:
        """The same for people, as plain text."""
        console = Console(width=140, record=True, file=StringIO(), color_system=None)
        console.print(_firings_table(self.result))
        if self.metrics is not None:
            for table in _metrics_tables(self.metrics):
                console.print(table)
        return console.export_text()


def backtest(counts: Path, labels: Path | None, detector: str, settings: Mapping[str, Any]) -> BacktestReport:
    """Run `detector` with `settings` over the history in `counts`. Raises BacktestError that says what is wrong."""
    built = make_detector(detector, settings)
    layout = LAYOUTS[built.name]
    known = None if labels is None else load_labels(labels, layout)
    view = load_counts(counts, built.name)
    return measure(run(built, view), known)


def measure(result: BacktestResult, labels: Sequence[Label] | None) -> BacktestReport:
    """The report on a result."""
    return BacktestReport(result, None if labels is None else metrics(result.intervals(), labels, result.exposure))


def make_detector(name: str, settings: Mapping[str, Any]) -> Detector:
    """The built-in detector of this name. Raises BacktestError for an unknown name and for every bad setting."""
    if name not in LAYOUTS:
        raise BacktestError(f"no detector {name!r}; there are {', '.join(LAYOUTS)}")
    made = {known: cls for known, cls in DETECTORS.items() if known == name}
    known, cls = made.popitem()
    try:
        return cls(cls.Settings.model_validate(dict(settings)))
    except ValidationError as error:
        lines = [f"detectors.{known}.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise BacktestError("\n".join(lines)) from error


def run(detector: Detector, view: ArrayView) -> BacktestResult:
    """Every firing of the detector over the whole of the view."""
    running: dict[SeriesKey, list[_Open]] = {}
    ended: list[BacktestFiring] = []
    ticks = range(view.start + view.step, view.end + 1, view.step)
    for tick, _, claims in walk(detector, view, ticks):
        for claim in claims:
            key = view.keys[claim.series]
            if claim.change == "recovered":
                ended += [one.ended(detector.name, key, tick) for one in running.pop(key, [])]
            else:
                running.setdefault(key, []).extend(_begun(claim, tick, bool(running.get(key))))
    ended += [one.ended(detector.name, key, view.end, is_open=True) for key, begun in running.items() for one in begun]
    ended.sort(key=lambda firing: (firing.start, firing.key, firing.tier))
    return BacktestResult(detector.name, tuple(ended), tuple(_exposure(view)))


@dataclass(frozen=True, slots=True)
class _Open:
    tier: Tier
    start: int
    claim: Claim

    def ended(self, detector: DetectorName, key: SeriesKey, tick: int, *, is_open: bool = False) -> BacktestFiring:
        return BacktestFiring(
            detector, key, self.tier, self.start, tick, is_open, self.claim.onset_minute, self.claim.summary
        )


def _begun(claim: Claim, tick: int, is_warning: bool) -> Iterable[_Open]:
    """The tiers that a claim reaches: what opens at page passed the warning on its way."""
    if not is_warning:
        yield _Open("warning", tick, claim)
    if claim.tier == "page":
        yield _Open("page", tick, claim)


def _exposure(view: ArrayView) -> Iterable[Exposure]:
    totals = view.totals(0)
    for row, key in enumerate(view.keys):
        minutes = view.end - int(view.first_minute[row])
        yield Exposure(key, minutes / _WEEK, float(totals[row]) / minutes)


def load_labels(path: Path, layout: Layout) -> list[Label]:
    """The labels of a CSV file: `start`, `end`, environment, system, the dimension, `kind`.

    Raises BacktestError with every problem of every row.
    """
    wanted = ("start", "end", *layout.dimensions, "kind")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in wanted if name not in (reader.fieldnames or ())]
            if missing:
                raise BacktestError(f"{path}: there is no column {', '.join(missing)}; labels have {', '.join(wanted)}")
            rows = list(reader)
    except FileNotFoundError:
        raise BacktestError(f"{path}: there is no such file") from None
    labels, problems = [], []
    for number, row in enumerate(rows, 1):
        try:
            labels.append(_label(row, layout))
        except ValueError as error:
            problems.append(f"  row {number}: {error}")
    if problems:
        raise BacktestError(f"{path}:\n" + "\n".join(problems))
    return labels


def _label(row: Mapping[str, str | None], layout: Layout) -> Label:
    start, end = (_minute(row[name] or "", name) for name in ("start", "end"))
    if end < start:
        raise ValueError(f"it ends ({row['end']}) before it starts ({row['start']})")
    empty = [name for name in layout.dimensions if not row[name]]
    if empty:
        raise ValueError(f"{', '.join(empty)} is empty")
    environment, system, *dims = (row[name] or "" for name in layout.dimensions)
    return Label(SeriesKey(layout.kind, environment, system, tuple(dims)), start, end, row["kind"] or "")


def _minute(text: str, column: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{column} {text!r} is not a time such as 2024-01-31T09:30:00Z") from None
    if time.tzinfo is None:
        raise ValueError(f"{column} {text!r} has no zone; add Z for UTC")
    return int(time.timestamp()) // 60


def _firings_table(result: BacktestResult) -> Table:
    table = Table(title=f"{len(result.firings)} firings of {result.detector}", title_justify="left")
    for heading in ("from", "to", "tier", "series", "what"):
        table.add_column(heading, overflow="fold")
    for firing in result.firings:
        until = "open" if firing.is_open else at(firing.end)[:16]
        series = " ".join((firing.key.environment, firing.key.system, *firing.key.dims))
        table.add_row(at(firing.start)[:16], until, firing.tier, series, firing.summary)
    return table


def _metrics_tables(measured: Mapping[Tier, TierMetrics]) -> Iterable[Table]:
    table = Table(title="Against the labels", title_justify="left")
    headings = ("tier", "incidents", "recall", "false alarms", "per series-week", "minutes to detect", "p95")
    for heading in headings:
        table.add_column(heading)
    bands = Table(title="By volume", title_justify="left")
    for heading in ("tier", "a minute", "incidents", "recall", "false alarms per series-week", "minutes to detect"):
        bands.add_column(heading)
    for tier, one in measured.items():
        table.add_row(
            tier,
            str(len(one.labels)),
            _text(one.recall()),
            str(len(one.false_alarms)),
            _text(one.false_alarm_rate),
            _text(one.delay(0.5)),
            _text(one.delay(0.95)),
        )
        for band in one.by_volume():
            names = ("incidents", "recall", "false_alarms_per_series_week", "time_to_detect_median")
            bands.add_row(tier, str(band["per_minute"]), *(_text(band[name]) for name in names))
    return table, bands


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
