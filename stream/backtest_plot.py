"""A backtest as a picture: how good each tier is, and what the detector saw of a few series.

Drawn by Matplotlib, which is imported here alone: the engine itself has no use for it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.arrays import ArrayView
from schemas.words import Tier
from stream.backtest import Backtest, make_detector
from stream.backtest_metrics import TIERS
from stream.backtest_plot_course import draw_course
from stream.backtest_plot_style import COLOURS, STYLE
from stream.backtest_problems import BacktestError
from stream.backtest_report import BacktestReport
from stream.backtest_text import text
from stream.backtest_trace import Chooser, courses
from stream.outfile import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMATS: Final = (".png", ".svg", ".html")
_WIDTH, _TOP, _EACH = 12.0, 4.3, 4.6
"""Inches."""

_WEEK: Final = 10_080

_HATCH: Final = "////"
_DASH: Final = {False: "-", True: "--"}
"""Mark the second configuration."""


def check_plot(path: Path) -> None:
    """Raise BacktestError where no picture can be drawn to `path`: before a long run, not after it."""
    if path.suffix.lower() not in _FORMATS:
        raise BacktestError(f"{path}: a plot is a {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]} file")
    if not path.resolve().parent.is_dir():
        raise BacktestError(f"{path}: there is no directory {path.resolve().parent}")


def draw(found: Backtest, path: Path, series: Sequence[str] = ()) -> None:
    """Write the picture to `path`. Raises BacktestError for a series that there is not, OSError."""
    import matplotlib as mpl

    check_plot(path)
    kind = path.suffix.lower()
    with mpl.rc_context(STYLE):
        figure = _figure(found, series)
        if kind == ".html":
            content = _page(found, figure).encode()
        else:
            image = BytesIO()
            figure.savefig(image, format=kind[1:], metadata=_dateless(kind))
            content = image.getvalue()
    with whole_file(path) as file:
        file.write(content)


def _dateless(kind: str) -> dict[str, Any]:
    """Metadata that leave the time of drawing out, so that the same backtest gives the same bytes."""
    return {"Date": None} if kind in (".svg", ".html") else {}


def _page(found: Backtest, figure: Figure) -> str:
    """One file that needs no other: the picture as SVG, the tables below it."""
    image = StringIO()
    figure.savefig(image, format="svg", metadata=_dateless(".html"))
    svg = image.getvalue()
    svg = svg[svg.index("<svg") :]
    title = html.escape(f"Backtest of {found.report.result.detector}")
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
        "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:1rem auto;padding:0 1rem}"
        "svg{width:100%;height:auto}pre{overflow-x:auto;font-size:13px;line-height:1.35}</style>\n"
        f'<h1>{title}</h1>\n<figure role="img" aria-label="{title}: quality by tier, and the course of some series">\n'
        f"{svg}</figure>\n<pre>{html.escape(text(found))}</pre>\n</html>\n"
    )


def _figure(found: Backtest, series: Sequence[str]) -> Figure:
    from matplotlib.figure import Figure

    report, other = found.report, None if found.comparison is None else found.comparison.other
    detector = make_detector(report.result.detector, found.configs[0].settings)
    drawn = courses(detector, found.view, Chooser(report, found.view, other).scenes(series))
    figure = Figure(figsize=(_WIDTH, _TOP + _EACH * len(drawn)), layout="constrained", dpi=110)
    parts = figure.subfigures(1 + len(drawn), 1, height_ratios=[_TOP, *[_EACH] * len(drawn)], squeeze=False)[:, 0]
    reports = [report] if other is None else [report, other]
    facts = report.history
    parts[0].suptitle(
        f"{report.result.detector} with {report.config}"
        + (f", beside {other.config} (hatched)" if other is not None else "")
        + f"\n{facts['series']} series, {facts['start'][:10]} to {facts['end'][:10]}, "
        f"{facts['series_weeks']:,.0f} series-weeks",
        fontsize=12,
    )
    axes = parts[0].subplots(1, 3)
    if report.metrics is None:
        _over_time(axes[0], reports, found.view)
        _rates(axes[1], reports)
        _durations(axes[2], reports)
    else:
        _by_size(axes[0], reports)
        _by_volume(axes[1], reports)
        _found_within(axes[2], reports)
    handles, names = axes[0].get_legend_handles_labels()
    parts[0].legend(handles, names, loc="outside lower center", ncols=len(names))
    for part, course in zip(parts[1:], drawn, strict=True):
        draw_course(part, course, reports)
    return figure


def _name(report: BacktestReport, reports: Sequence[BacktestReport], tier: Tier) -> str:
    return tier if len(reports) == 1 else f"{tier}, {report.config}"


def _bars(
    axes: Axes,
    names: Sequence[str],
    reports: Sequence[BacktestReport],
    rows: Mapping[tuple[int, Tier], Sequence[float]],
) -> None:
    """Grouped bars, one for each report and tier, with their values above them."""
    width = 0.8 / len(rows)
    for place, ((number, tier), values) in enumerate(rows.items()):
        at = np.arange(len(names)) + (place - (len(rows) - 1) / 2) * width
        bars = axes.bar(
            at,
            np.nan_to_num(np.array(values, dtype=np.float64)),
            width * 0.92,
            label=_name(reports[number], reports, tier),
            color=COLOURS[tier],
            hatch=_HATCH if number else None,
            edgecolor="white" if number else COLOURS[tier],
            linewidth=0.0 if number else 0.5,
        )
        if len(rows) == len(TIERS):
            axes.bar_label(bars, [f"{value:.2g}" if value else "0" for value in values], fontsize=7, padding=1)
    axes.set_xticks(np.arange(len(names)), names, fontsize=8)
    axes.set_xlim(-0.6 - (len(names) < 3), len(names) - 0.4 + (len(names) < 3))
    axes.margins(y=0.12)
    axes.set_ylim(bottom=0)


def _banded(reports: Sequence[BacktestReport], by: str, figure: str) -> tuple[list[dict[str, Any]], dict[Any, Any]]:
    """The bands of the first report, and the figure of each band by report and tier."""
    rows: dict[tuple[int, Tier], list[float]] = {}
    bands: list[dict[str, Any]] = []
    for tier in TIERS:
        for number, report in enumerate(reports):
            bands = (report.metrics or {})[tier].summary()[f"by_{by}"]
            rows[number, tier] = [band[figure] or 0.0 for band in bands]
    return bands, rows


def _by_size(axes: Axes, reports: Sequence[BacktestReport]) -> None:
    bands, rows = _banded(reports, "size", "recall")
    _bars(axes, [f"{_wrapped(band['size'])}\n(n={band['incidents']})" for band in bands], reports, rows)
    axes.set(title="Incidents found, by size", ylabel="share found", ylim=(0, 1.1))
    axes.set_xlabel(reports[0].layout.size.unit)


def _by_volume(axes: Axes, reports: Sequence[BacktestReport]) -> None:
    bands, rows = _banded(reports, "volume", "false_alarms_per_series_week")
    _bars(axes, [f"{_wrapped(band['volume'])}\n({band['series']} series)" for band in bands], reports, rows)
    axes.set(title="False alarms, by volume", ylabel="per series-week")
    axes.set_xlabel(reports[0].layout.volume.unit)


def _wrapped(band: str) -> str:
    return band.replace(" to ", "\nto ").replace("below ", "below\n").replace(" and more", "\nand more")


def _found_within(axes: Axes, reports: Sequence[BacktestReport]) -> None:
    """The share of all incidents that are found within so many minutes or hours."""
    delays = {
        (number, tier): sorted((report.metrics or {})[tier].found.values())
        for tier in TIERS
        for number, report in enumerate(reports)
    }
    longest = max((max(values) for values in delays.values() if values), default=60)
    unit, name = (1440, "days") if longest > 5 * 1440 else (60, "hours") if longest > 300 else (1, "minutes")
    total = max(len(reports[0].labels), 1)
    for (number, tier), values in delays.items():
        times = np.concatenate([[0.0], np.array(values) / unit, [longest / unit]])
        shares = np.concatenate([[0.0], np.arange(1, len(values) + 1) / total, [len(values) / total]])
        axes.step(times, shares, where="post", color=COLOURS[tier], linestyle=_DASH[bool(number)], linewidth=1.8)
    axes.set(title="Incidents found within", xlabel=name, ylabel="share found", ylim=(0, 1.1))
    axes.set_xlim(left=0)


def _over_time(axes: Axes, reports: Sequence[BacktestReport], view: ArrayView) -> None:
    weeks = -(-(view.end - view.start) // _WEEK)
    rows = {
        (number, tier): [
            float(sum((start - view.start) // _WEEK == week for start in _starts(report, tier)))
            for week in range(weeks)
        ]
        for tier in TIERS
        for number, report in enumerate(reports)
    }
    _bars(axes, [str(week + 1) for week in range(weeks)], reports, rows)
    axes.set(title="Firings, by week", xlabel="week of the history", ylabel="firings")


def _by_week(starts: Sequence[int], begin: int, weeks: int) -> list[float]:
    week = (np.array(starts, dtype=np.int64) - begin) // _WEEK
    return [float(count) for count in np.bincount(week, minlength=weeks)]


def _starts(report: BacktestReport, tier: Tier) -> list[int]:
    return [firing.start for firing in report.result.firings if firing.tier == tier]


def _rates(axes: Axes, reports: Sequence[BacktestReport]) -> None:
    volume = reports[0].layout.volume
    names = volume.names()
    bands = {one.key: volume.index(one.volume) for one in reports[0].result.exposure}
    weeks = np.zeros(len(names))
    for one in reports[0].result.exposure:
        weeks[bands[one.key]] += one.weeks
    rows = {}
    for tier in TIERS:
        for number, report in enumerate(reports):
            fired = np.zeros(len(names))
            for firing in report.result.firings:
                fired[bands[firing.key]] += firing.tier == tier
            rows[number, tier] = (fired / np.maximum(weeks, 1e-9))[weeks > 0].tolist()
    _bars(axes, [_wrapped(name) for name, watched in zip(names, weeks, strict=True) if watched], reports, rows)
    axes.set(title="Firings, by volume", ylabel="per series-week", xlabel=volume.unit)


def _durations(axes: Axes, reports: Sequence[BacktestReport]) -> None:
    for number, report in enumerate(reports):
        for tier in TIERS:
            hours = sorted(_hours(report, tier))
            shares = np.arange(1, len(hours) + 1) / max(len(hours), 1)
            axes.step(
                hours, shares, where="post", color=COLOURS[tier], linestyle="--" if number else "-", linewidth=1.8
            )
    axes.set(title="Firings that end within", xlabel="hours", ylabel="share", ylim=(0, 1.1))
    axes.set_xlim(left=0)


def _hours(report: BacktestReport, tier: Tier) -> Iterable[float]:
    return ((one.end - one.start) / 60 for one in report.result.firings if one.tier == tier and not one.is_open)
