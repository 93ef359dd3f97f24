"""A backtest as tables for people."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from detectors.words import at
from stream.backtest import Backtest
from stream.backtest_compare import COMPARED, Comparison
from stream.backtest_layout import name_of, size_text
from stream.backtest_metrics import TIERS, Label
from stream.backtest_report import BacktestFiring, BacktestReport, by_weight, lasting

_MOST_FIRINGS: Final = 40
_MOST_MISSED: Final = 15
_MOST_DIFFERENT: Final = 10
_WIDTH: Final = 140
_NARROWEST: Final = 80


def text(found: Backtest) -> str:
    """The whole of it as plain text, as wide as the terminal."""
    width = max(_NARROWEST, min(_WIDTH, shutil.get_terminal_size((_WIDTH, 0)).columns))
    console = Console(width=width, record=True, file=StringIO(), color_system=None)
    report = found.report
    console.print(_head(report), soft_wrap=True)
    console.print(_firings(report))
    if report.metrics is not None:
        if report.labels:
            console.print(_missed(report) if _unfound(report) else "every labelled incident pages\n")
        for table in _measures(report):
            console.print(table)
    if found.comparison is not None:
        for part in _comparison(found.comparison):
            console.print(part)
    return "\n".join(line.rstrip() for line in console.export_text().rstrip().splitlines())


def _head(report: BacktestReport) -> str:
    facts = report.history
    since = f", measured from {facts['since'][:16]}Z on" if "since" in facts else ""
    return (
        f"{report.result.detector} with {report.config}: {facts['series']} series, {facts['start'][:16]}Z to "
        f"{facts['end'][:16]}Z, {facts['series_weeks']:g} series-weeks{since}\n"
    )


def _firings(report: BacktestReport) -> Table | str:
    firings = report.result.firings
    if not firings:
        return "nothing fired\n"
    counts = ", ".join(f"{sum(one.tier == tier for one in firings)} at tier {tier}" for tier in TIERS)
    shown = firings
    if len(firings) > _MOST_FIRINGS:
        # What pages matters most, and of that what was wrong.
        order = sorted(firings, key=lambda one: (one.tier != "page", one.interval() not in report.false_alarms))
        shown = tuple(sorted(order[:_MOST_FIRINGS], key=lambda one: (one.start, one.key, one.tier)))
    table = _table(f"Fired: {counts}", "from", "to", "tier", *(["alarm"] if report.metrics else []), "series", "what")
    for firing in shown:
        until = "open" if firing.is_open else _minute(firing.end)
        false = [] if report.metrics is None else ["false" if firing.interval() in report.false_alarms else "true"]
        table.add_row(_minute(firing.start), until, firing.tier, *false, name_of(firing.key), firing.summary)
    return _cut(table, len(firings), len(shown))


def _unfound(report: BacktestReport) -> list[Label]:
    """Labels that do not page, those that are the hardest to excuse first."""
    found = (report.metrics or {})["page"].found
    return by_weight(report, (label for label in report.labels if label not in found))


def _missed(report: BacktestReport) -> Table:
    missed = _unfound(report)
    volumes = {one.key: one.volume for one in report.result.exposure}
    table = _table(f"Does not page: {len(missed)} of {len(report.labels)} incidents", "from", "lasts", "series", "kind")
    for heading in (report.layout.size.unit, report.layout.volume.unit, "warning"):
        table.add_column(heading, justify="right")
    warned = (report.metrics or {})["warning"].found
    for label in missed[:_MOST_MISSED]:
        after = f"after {lasting(warned[label])}" if label in warned else "-"
        facts = (_minute(label.start), lasting(label.end - label.start), name_of(label.key), label.kind)
        table.add_row(*facts, _size(report, label), f"{volumes.get(label.key, 0.0):.2g}", after)
    return _cut(table, len(missed), _MOST_MISSED)


def _size(report: BacktestReport, label: Label) -> str:
    return "-" if label.size is None else size_text(label.size) + report.layout.size.suffix


def _measures(report: BacktestReport) -> Iterable[Table]:
    summaries = {tier: one.summary() for tier, one in (report.metrics or {}).items()}
    whole = _table("Against the labels", "tier", *(_SHOWN[name] for name in COMPARED))
    for tier, one in summaries.items():
        whole.add_row(tier, *(_text(one[name]) for name in COMPARED))
    yield whole
    yield _by_band("By size", "size", summaries, ("incidents", "detected", *_FOUND))
    yield _by_band(
        "By volume", "volume", summaries, ("series", "false_alarms_per_series_week", "incidents", "detected", *_FOUND)
    )


_FOUND: Final = ("recall", "time_to_detect_median", "time_to_detect_p95")
_SHOWN: Final = {
    "series": "series",
    "incidents": "incidents",
    "detected": "found",
    "recall": "recall",
    "false_alarms": "false alarms",
    "false_alarms_per_series_week": "per series-week",
    "time_to_detect_median": "minutes, median",
    "time_to_detect_p95": "p95",
}


def _by_band(title: str, name: str, summaries: dict[Any, Any], figures: Sequence[str]) -> Table:
    """The figures of each band, tier by tier."""
    unit = next((band["unit"] for one in summaries.values() for band in one[f"by_{name}"]), "")
    table = _table(title, "tier", unit, *(_SHOWN[figure] for figure in figures))
    for tier, one in summaries.items():
        for band in one[f"by_{name}"]:
            table.add_row(tier, band[name], *(_text(band[figure]) for figure in figures))
        table.add_section()
    return table


def _comparison(found: Comparison) -> Iterable[Table | str]:
    this, other = found.this.config, found.other.config
    if found.changes:
        settings = _table(f"{this} and {other} differ in", "setting", this, other)
        for change in found.changes:
            settings.add_row(change.key, _setting(change.this), _setting(change.other))
        yield settings
    else:
        yield f"{this} and {other} have the same settings for {found.this.result.detector}\n"
    table = _table("Side by side", "tier", "figure", this, other, "difference")
    for tier in TIERS:
        for name, left, right, less in found.figures(tier):
            shown = "-" if less is None else f"{less:+.4g}"
            table.add_row(tier, _SHOWN.get(name, name.replace("_", " ")), _text(left), _text(right), shown)
        one = found.firings[tier]
        counts = (f"{one.both} in both", f"{len(one.only_this)} alone", f"{len(one.only_other)} alone")
        table.add_row(tier, "of the firings", f"{counts[1]}, {counts[0]}", counts[2], "")
        table.add_section()
    yield table
    for tier in TIERS:
        yield from _differences(found, tier)


def _differences(found: Comparison, tier: Any) -> Iterable[Table]:
    """What only one of them finds, and what only one of them fires."""
    sides = (found.this.config, found.other.config)
    for config, labels in zip(sides, found.incidents(tier), strict=True):
        if labels:
            table = _table(
                f"Incidents that only {config} finds at tier {tier}: {len(labels)}", "from", "series", "kind"
            )
            table.add_column(found.this.layout.size.unit, justify="right")
            for label in sorted(labels, key=lambda label: -(label.size or 0.0))[:_MOST_DIFFERENT]:
                table.add_row(_minute(label.start), name_of(label.key), label.kind, _size(found.this, label))
            yield _cut(table, len(labels))
    one = found.firings[tier]
    for report, firings in zip((found.this, found.other), (one.only_this, one.only_other), strict=True):
        # With labels, those that find an incident are in the tables above.
        shown = [firing for firing in firings if not report.metrics or firing.interval() in report.false_alarms]
        if shown:
            kind = "False alarms" if report.metrics else "Firings"
            table = _table(f"{kind} of {report.config} alone at tier {tier}: {len(shown)}", "from", "series", "what")
            for firing in shown[:_MOST_DIFFERENT]:
                table.add_row(*_what(firing))
            yield _cut(table, len(shown))


def _what(firing: BacktestFiring) -> tuple[str, str, str]:
    return _minute(firing.start), name_of(firing.key), firing.summary


def _cut(table: Table, rows: int, shown: int = _MOST_DIFFERENT) -> Table:
    if rows > shown:
        table.caption = f"{rows - shown:,} more with --json"
        table.caption_justify = "left"
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, overflow="fold", min_width=16 if heading == "from" else None)
    return table


def _minute(minute: int) -> str:
    return at(minute)[:16].replace("T", " ")


def _setting(value: Any) -> str:
    return "(none)" if value is None else str(value)


def _text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if value % 1 else f"{value:,.0f}"
