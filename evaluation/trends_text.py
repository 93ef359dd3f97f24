"""Trends as a table that is read on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from evaluation.trends import Mean, Trend
from stream.core.ticks import rfc3339

_BAR: Final = 20
"""Characters from 1 to 5 points."""


def trend_lines(found: Sequence[Trend]) -> Iterator[str]:
    """One block a trend."""
    for trend in found:
        version = "" if trend.version is None else f", version {trend.version or '(none named)'}"
        yield f"{trend.criterion}  {trend.environment}/{trend.system}, {trend.flow}{version}"
        yield f"  all  {_numbers(trend.whole)}; drawn at {_rates(trend)}"
        for bucket in trend.buckets:
            yield f"  {rfc3339(bucket.start_ms)[:16]}Z  {_numbers(bucket):<42}{_bar(bucket)}"


def _numbers(mean: Mean) -> str:
    said = f"{mean.summary.mean:.2f}"
    if mean.low is not None and mean.high is not None:
        said += f" [{mean.low:.2f}, {mean.high:.2f}]"
    return f"{said:<19} {mean.summary.count:,} score{'s' if mean.summary.count != 1 else ''}"


def _bar(mean: Mean) -> str:
    """The scale from 1 to 5, the interval as a line and the mean as a dot on it."""
    places = ["·"] * (_BAR + 1)
    if mean.low is not None and mean.high is not None:
        for place in range(_place(mean.low), _place(mean.high) + 1):
            places[place] = "─"
    places[_place(mean.summary.mean)] = "●"
    return "1 " + "".join(places) + " 5"


def _place(score: float) -> int:
    return round((score - 1) / 4 * _BAR)


def _rates(trend: Trend) -> str:
    return ", ".join(f"{rate:.3g} ({scores:,})" for rate, scores in trend.rates)
