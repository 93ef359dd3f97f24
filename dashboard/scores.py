"""Courses of scores, weighted back for their sampling as the table and `midwatch evaluate trends` do: pure.

Scores are drawn with a probability that depends on the outcome. What is shown as a mean is always Hajek's estimate over
all of them (`triage.estimates`), so a chart and the table below it say one number for one thing. What detectors expect
is learned from the fair sample alone, which estimates the same mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np

from dashboard.courses import LINES, SCORE_STEP, Z99, Buckets, Expected, expected_scores, sums
from dashboard.panels import APPROPRIATENESS, Frame, Views, rows_of
from dashboard.shards import ShardView
from dashboard.views import Chart, Filter, Line, Point
from detectors.base import Counts
from schemas.series import SeriesKey, SeriesKind, rate_of
from stream.core.ticks import time_of
from triage.case import ScoreSummary
from triage.estimates import Stratum, estimate, interval
from triage.words import quoted

VERSIONS: Final = 5
"""Most versions of a flow that have a line each; with more there is one line for all."""

KIND: Final[SeriesKind] = "score_stratum"
Rows: TypeAlias = Sequence[tuple[ShardView, list[int]]]


def quality_charts(views: Views, asked: Filter) -> tuple[Chart, ...]:
    """A chart for each criterion: its mean with 95 % intervals, by version where one flow with several is left."""
    frame = Frame.of(views, asked, KIND, SCORE_STEP[asked.span])
    rows = rows_of(views, KIND, asked)
    every = sorted({key.dims[1] for view, some in rows for key in _keys(view, some)})
    charts = (_quality_chart(frame, name, _only(rows, criterion=name)) for name in every[:LINES])
    return tuple(chart for chart in charts if chart is not None)


def _quality_chart(frame: Frame, criterion: str, rows: Rows) -> Chart | None:
    title = _title(criterion)
    versions = sorted({key.dims[2] for view, some in rows for key in _keys(view, some)})
    flows = {(key.environment, key.system, key.dims[0]) for view, some in rows for key in _keys(view, some)}
    if len(flows) == 1 and 1 < len(versions) <= VERSIONS:
        lines = [
            mean_line(quoted(version) or "no version", _only(rows, version=version), frame.buckets)
            for version in versions
        ]
    else:
        lines = [mean_line(title, rows, frame.buckets)]
    chart = frame.chart(f"score-{quoted(criterion)}", title, lines)
    if chart is None:
        return None
    return chart.model_copy(update={"summary": _summary(title, rows, frame.buckets), "band": "interval"})


def appropriateness_chart(views: Views, asked: Filter) -> Chart | None:
    """The mean appropriateness of escalations, against what its detector expects."""
    frame = Frame.of(views, asked, KIND, SCORE_STEP[asked.span])
    rows = _only(rows_of(views, KIND, asked), criterion=APPROPRIATENESS)
    title = _title(APPROPRIATENESS)
    fair = [
        (view, [row for row in some if view.machine.windows["score"].keys[row].dims[1] == APPROPRIATENESS])
        for view, some in rows_of(views, "score", asked)
    ]
    line = mean_line(title, rows, frame.buckets, expected_scores(fair, "score", frame.buckets))
    return frame.chart(f"score-{APPROPRIATENESS}", title, [line])


def mean_line(name: str, rows: Rows, buckets: Buckets, expected: Expected | None = None) -> Line | None:
    """The weighted mean in each bucket, with its 95 % interval, or with what was expected of it; None without any."""
    means = [estimate(strata) for strata in _strata(rows, buckets)]
    if not any(mean.count for mean in means):
        return None
    points = []
    for index, mean in enumerate(means):
        at = time_of(buckets.starts[index] + buckets.minutes[index] // 2)
        if not mean.count:
            points.append(Point(at=at, value=None, count=0))
            continue
        usual, low, high = _band(mean, expected, index)
        points.append(Point(at=at, value=mean.mean, expected=usual, low=low, high=high, count=mean.count))
    return Line(name=name, unit="score", points=tuple(points))


def _band(mean: ScoreSummary, expected: Expected | None, index: int) -> tuple[float | None, float | None, float | None]:
    if expected is None:
        return (None, *(interval(mean) or (None, None)))
    return expected.band(index, max(mean.size, 1.0), Z99)


def _summary(title: str, rows: Rows, buckets: Buckets) -> str:
    together: dict[float, Counter[str]] = {}
    for one in (one for strata in _strata(rows, buckets) for one in strata):
        sum_of = together.setdefault(one.rate, Counter())
        sum_of.update(count=one.count, total=one.total, squares=one.squares)
    mean = estimate([Stratum(rate, **sum_of) for rate, sum_of in together.items()])
    sure = interval(mean)
    between = f" ({sure[0]:.2f} to {sure[1]:.2f})" if sure is not None else ""
    return f"{title}: {mean.mean:.2f} of 5{between} over {mean.count:,} scores."


def _strata(rows: Rows, buckets: Buckets) -> list[list[Stratum]]:
    """The sums by sampling rate in each bucket."""
    by_rate: dict[int, Counts] = {}
    for view, some in rows:
        if not some:
            continue
        counts = sums(view, KIND, some, buckets)
        for key, course in zip(_keys(view, some), counts, strict=True):
            stratum = int(key.dims[3])
            by_rate[stratum] = by_rate.get(stratum, np.zeros_like(course)) + course
    return [
        [Stratum(rate_of(stratum), *map(int, course[index])) for stratum, course in sorted(by_rate.items())]
        for index in range(len(buckets.starts))
    ]


def _only(rows: Rows, criterion: str | None = None, version: str | None = None) -> Rows:
    def wanted(key: SeriesKey) -> bool:
        return criterion in (None, key.dims[1]) and version in (None, key.dims[2])

    return [(view, [row for row in some if wanted(view.machine.windows[KIND].keys[row])]) for view, some in rows]


def _keys(view: ShardView, rows: Iterable[int]) -> Iterator[SeriesKey]:
    """The series of some rows; their dimensions are flow, criterion, version and stratum."""
    keys = view.machine.windows[KIND].keys
    return (keys[row] for row in rows)


def _title(criterion: str) -> str:
    return quoted(criterion).replace("_", " ").capitalize()
