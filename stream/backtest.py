"""`midwatch backtest`: what a detector would have fired on a history, and how good that would have been.

It runs the very detector that runs live, over the same windows, tick by tick. Without labels it says what fired; with
labels also recall, false alarms per series-week and time to detect; with a second configuration, both side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detectors.arrays import ArrayView, walk
from detectors.base import Claim, Detector
from detectors.registry import DETECTORS, available
from detectors.words import at
from schemas.base import JsonObject
from schemas.series import SeriesKey
from schemas.words import DetectorName, Tier
from stream.backtest_compare import Comparison, changed_settings, compare
from stream.backtest_labels import load_labels
from stream.backtest_layout import LAYOUTS, name_of
from stream.backtest_load import History, load_history
from stream.backtest_metrics import Exposure
from stream.backtest_problems import BacktestError, UnknownDetectorError
from stream.backtest_report import BacktestFiring, BacktestReport, BacktestResult, measure
from stream.backtest_sizes import with_sizes

__all__ = [
    "Backtest",
    "BacktestFiring",
    "BacktestReport",
    "BacktestResult",
    "Config",
    "backtest",
    "make_detector",
    "run",
]

_WEEK = 10_080
_NOTED_BUDGETS = 5

Progress = Callable[[int, int], None]
"""Is told how many of how many ticks are done."""


def _no_progress(done: int, of: int) -> None:
    del done, of


@dataclass(frozen=True, slots=True)
class Config:
    """A detector's settings, and what to call them: the file that they come from."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Backtest:
    """What came of a backtest: the report, with a second configuration the other one, and the history for a plot."""

    report: BacktestReport
    view: ArrayView
    notes: tuple[str, ...]
    comparison: Comparison | None = None
    configs: tuple[Config, ...] = field(default=())

    def to_json(self) -> JsonObject:
        """One JSON object: `firings`, with labels `metrics` by tier, and what else is worth knowing."""
        made = self.report.to_json()
        made["notes"] = list(self.notes)
        if self.comparison is not None:
            made["compare"] = self.comparison.to_json()
        return made


def backtest(
    counts: Path,
    labels: Path | None,
    detector: str,
    config: Config,
    other: Config | None = None,
    since: int | None = None,
    progress: Progress = _no_progress,
) -> Backtest:
    """Run `detector` with the settings of `config`, and of `other`, over the history in `counts`.

    From minute `since` on is measured; before it the detector learns. Raises BacktestError that says what is wrong.
    """
    configs = (config,) if other is None else (config, other)
    built = [make_detector(detector, one.settings) for one in configs]
    name = built[0].name
    history = load_history(counts, name)
    view = history.view
    view.tick = view.end
    notes = [*history.notes, *_notes(name, history, configs, since)]
    known = None
    if labels is not None:
        found = load_labels(labels, LAYOUTS[name], view, since)
        notes += found.notes
        known = with_sizes(found.labels, name, view, config.settings)
    reports = []
    for number, (one, each) in enumerate(zip(configs, built, strict=True)):
        result = run(each, view, since, _share(progress, number, len(configs)))
        reports.append(measure(result, known, history, one.name))
    comparison = None
    if other is not None:
        comparison = compare(reports[0], reports[1], changed_settings(config.settings, other.settings))
    return Backtest(reports[0], view, tuple(notes), comparison, configs)


def _share(progress: Progress, number: int, of: int) -> Progress:
    return lambda done, total: progress(number * total + done, of * total)


def make_detector(name: str, settings: Mapping[str, Any]) -> Detector:
    """The built-in detector of this name. Raises BacktestError for an unknown name and for every bad setting."""
    if name not in LAYOUTS:
        if name in available():
            raise UnknownDetectorError(f"{name} comes from another package: no layout of a history is known for it")
        raise UnknownDetectorError(f"no detector {name!r}; there are {', '.join(LAYOUTS)}")
    made = {known: cls for known, cls in DETECTORS.items() if known == name}
    known, cls = made.popitem()
    try:
        return cls(cls.Settings.model_validate(dict(settings)))
    except ValidationError as error:
        lines = [f"detectors.{known}.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise BacktestError("\n".join(lines)) from error


def _notes(name: DetectorName, history: History, configs: Iterable[Config], since: int | None) -> Iterable[str]:
    """What the settings and the history together make surprising. Raises BacktestError where nothing can come of it."""
    view = history.view
    if since is not None and not view.start <= since < view.end:
        raise BacktestError(f"the history runs from {at(view.start)} to {at(view.end)}; {at(since)} lies outside it")
    learns = LAYOUTS[name].learns
    if view.end - view.start <= learns * 60:
        yield (
            f"the history spans {(view.end - view.start) // 60} h, and {name} says nothing before {learns} h of it: "
            "nothing can fire"
        )
    for config in configs:
        if not config.settings.get("enabled", True):
            yield f"{name} is switched off by {config.name}; it was run all the same"
        if name == "burn_rate":
            yield from _unbudgeted(config, view)


def _unbudgeted(config: Config, view: ArrayView) -> Iterable[str]:
    budgets = config.settings.get("budgets", {})
    unknown = [name_of(key) for key in view.keys if key.dims[0] not in budgets]
    if len(unknown) == len(view.keys):
        raise BacktestError(
            f"none of the history's budgets has an amount in {config.name}, so nothing can be over it. Say it there:\n"
            f"  [budgets.{view.keys[0].dims[0]}]\n  amount_usd = 10000.0"
        )
    if unknown:
        more = f" and {len(unknown) - _NOTED_BUDGETS} more" if len(unknown) > _NOTED_BUDGETS else ""
        yield f"no amount in {config.name} for {', '.join(unknown[:_NOTED_BUDGETS])}{more}: nothing fires for them"


def run(
    detector: Detector, view: ArrayView, since: int | None = None, progress: Progress = _no_progress
) -> BacktestResult:
    """Every firing of the detector over the whole of the view, from minute `since` on if that is given."""
    running: dict[SeriesKey, list[_Open]] = {}
    ended: list[BacktestFiring] = []
    ticks = range(view.start + view.step, view.end + 1, view.step)
    for done, (tick, _, claims) in enumerate(walk(detector, view, ticks)):
        if done % _WEEK == 0:
            progress(done, len(ticks))
        for claim in claims:
            key = view.keys[claim.series]
            if claim.change == "recovered":
                ended += [one.ended(detector.name, key, tick) for one in running.pop(key, [])]
            else:
                running.setdefault(key, []).extend(_begun(claim, tick, bool(running.get(key))))
    ended += [one.ended(detector.name, key, view.end, is_open=True) for key, begun in running.items() for one in begun]
    ended = [firing for firing in ended if since is None or firing.start >= since]
    ended.sort(key=lambda firing: (firing.start, firing.key, firing.tier))
    return BacktestResult(detector.name, tuple(ended), tuple(_exposure(view, detector.name, since)), since)


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


def _exposure(view: ArrayView, name: DetectorName, since: int | None) -> Iterable[Exposure]:
    layout = LAYOUTS[name]
    column = layout.volume_counter
    totals = view.totals(column)
    unit = layout.counters[column][1] / layout.volume.per
    for row, key in enumerate(view.keys):
        first = int(view.first_minute[row])
        watched = view.end - max(first, since or first)
        yield Exposure(key, watched / _WEEK, float(totals[row]) / (view.end - first) / unit)
