"""The picture of one series: what was labelled and what fired, the signal, and the score that decides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np

from stream.backtest_metrics import TIERS
from stream.backtest_plot_style import COLOURS
from stream.backtest_report import BacktestReport
from stream.backtest_trace import Course, Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHTS = (7.0, 4.5)
_LANE = 0.7
"""Relative heights: of signal and score, and of a lane."""

_TALLEST = 2.5
"""A score is drawn up to so many times what pages: how far beyond it goes matters little."""


def draw_course(part: Any, course: Course, reports: Sequence[BacktestReport]) -> None:
    """Draw a course into a (sub)figure."""
    scene = course.scene
    count = (reports[0].metrics is not None) + len(TIERS) * len(reports)
    heights = (_LANE * max(count, 3), *_HEIGHTS)
    lanes, signal, score = part.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": heights})
    part.suptitle(scene.title, fontweight="bold", fontsize=10, x=0.01, ha="left")
    lanes.set_title(scene.words or "nothing fired", fontsize=9)
    _draw_lanes(lanes, scene, reports)
    _draw_signal(signal, course)
    _draw_score(score, course)
    for axes in (signal, score):
        for start, end, colour in _spans(scene, reports[0]):
            axes.axvspan(_date(start), _date(end), color=colour, alpha=0.1, linewidth=0)
    _date_axis(score, scene)


def _date(minute: int) -> float:
    """A minute as Matplotlib counts dates: in days since 1970."""
    return minute / 1440


def _date_axis(axes: Axes, scene: Scene) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=5, maxticks=12, tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    axes.set_xlim(_date(scene.begin), _date(scene.end))
    axes.set_xlabel("time, UTC")


def _within(scene: Scene, start: int, end: int) -> tuple[int, int] | None:
    start, end = max(start, scene.begin), min(end, scene.end)
    return (start, end) if start < end else None


def _spans(scene: Scene, report: BacktestReport) -> list[tuple[int, int, str]]:
    """What happened within the scene, to shade: the labels."""
    labels = (label for label in report.labels if label.key == scene.key)
    seen = (_within(scene, label.start, label.end) for label in labels)
    return [(*one, COLOURS["label"]) for one in seen if one]


def _draw_lanes(axes: Axes, scene: Scene, reports: Sequence[BacktestReport]) -> None:
    """A lane for the labels, and one for each tier of each configuration, as bars over time."""
    lanes: list[tuple[str, str, list[tuple[int, int]], bool]] = []
    if reports[0].metrics is not None:
        labels = [(one.start, one.end) for one in reports[0].labels if one.key == scene.key]
        lanes.append(("label", COLOURS["label"], labels, False))
    for tier in TIERS:
        for number, report in enumerate(reports):
            fired = [(one.start, one.end) for one in report.result.firings if (one.key, one.tier) == (scene.key, tier)]
            name = tier if len(reports) == 1 else f"{tier}, {report.config}"
            lanes.append((name, COLOURS[tier], fired, bool(number)))
    for place, (_, colour, spans, hatched) in enumerate(lanes):
        for span in spans:
            seen = _within(scene, *span)
            if seen:
                width = _date(seen[1]) - _date(seen[0])
                axes.barh(
                    -place,
                    width,
                    left=_date(seen[0]),
                    height=0.7,
                    color=colour,
                    hatch="////" if hatched else None,
                    edgecolor="white" if hatched else colour,
                    linewidth=0.0,
                )
    axes.set_yticks([-place for place in range(len(lanes))], [name for name, *_ in lanes], fontsize=8)
    axes.set_ylim(-len(lanes) + 0.4, 0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="both", length=0, labelbottom=False)
    axes.spines["left"].set_visible(False)


def _draw_signal(axes: Axes, course: Course) -> None:
    if not course.sights:
        return
    unit = course.sights[0].unit
    scale = 100.0 if " per " in unit else 1.0
    when = [_date(tick) for tick in course.ticks]
    observed, baseline, threshold = (scale * course.line(name) for name in ("observed", "baseline", "threshold"))
    axes.plot(when, observed, color=COLOURS["observed"], linewidth=1.3, label=course.sights[0].signal)
    axes.plot(when, baseline, color=COLOURS["baseline"], linewidth=1.6, label="baseline")
    if np.isfinite(threshold).any():
        axes.plot(
            when,
            threshold,
            color=COLOURS["page"],
            linewidth=1.1,
            linestyle=(0, (4, 2)),
            label="would page at",
        )
    axes.set_ylabel(unit.replace(" per ", "\nper ") + (", %" if scale > 1 else ""))
    _limit(axes, observed, baseline, threshold)
    _legend(axes)


def _limit(axes: Axes, observed: Any, baseline: Any, threshold: Any) -> None:
    """Fit the signal; a threshold far above it may leave the picture, but not squeeze the signal flat."""
    low = np.nanmin(np.concatenate([observed, baseline])) if np.isfinite(observed).any() else 0.0
    high = np.nanmax(np.concatenate([observed, baseline, [1e-9]]))
    limits = threshold[np.isfinite(threshold)]
    if limits.size:
        high = max(high, min(float(np.median(limits)), 3.0 * high))
        low = min(low, float(limits.min())) if limits.min() > 0.5 * low else low
    floor = 0.0 if low < 0.5 * high else low - 0.1 * (high - low)
    axes.set_ylim(floor, high + 0.08 * (high - floor))


def _legend(axes: Axes) -> None:
    """Above the axes, where no curve runs."""
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.1)


def _draw_score(axes: Axes, course: Course) -> None:
    if not course.sights:
        return
    when = [_date(tick) for tick in course.ticks]
    score, warning, page = (course.line(name) for name in ("score", "warning", "page"))
    axes.plot(when, score, color=COLOURS["observed"], linewidth=1.2, label="score")
    for tier, line in (("warning", warning), ("page", page)):
        axes.plot(when, line, color=COLOURS[tier], linewidth=1.1, linestyle=(0, (4, 2)), label=f"{tier} from here")
    axes.set_ylabel(course.sights[0].score_name)
    top = min(float(np.max(score)), _TALLEST * float(np.max(page)))
    axes.set_ylim(0, 1.08 * max(top, float(np.max(page))))
    _legend(axes)
