"""Values brought into the shape in which a template writes them: tables, stories, data for the chart's readout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from dashboard.charts import MOST_LINES
from dashboard.pages_format import age
from dashboard.views import Chart, Filter, IncidentView, Point, TraceStep

MOST_ROWS: Final = 40
"""Rows of a chart's table: enough to read a course by ear, few enough for a phone."""

_SPAN_WORDS: Final = {"3h": "3 hours", "24h": "24 hours", "7d": "7 days"}


def tick(at: datetime, starts_at: datetime, ends_at: datetime) -> str:
    """A time on an axis: "02:15" within two days, else "3 Mar"; with the hour where a day has several ticks."""
    at = at.astimezone(UTC)
    if ends_at - starts_at <= timedelta(days=2):
        return f"{at:%H:%M}"
    return f"{at.day} {at:%b}" if at.hour == at.minute == 0 else f"{at.day} {at:%b %H:%M}"


def table(chart: Chart) -> list[tuple[datetime, list[Point | None]]]:
    """Rows of a chart's table, newest last: at most `MOST_ROWS`, evenly chosen, the last one always."""
    times = sorted({point.at for line in chart.lines for point in line.points})
    every = max(1, -(-len(times) // MOST_ROWS))
    by_line = [{point.at: point for point in line.points} for line in chart.lines]
    return [(at, [points.get(at) for points in by_line]) for at in times[::-1][::every][::-1]]


def courses_json(chart: Chart) -> str:
    """The values behind the lines for the readout: name, start and step in seconds, values rounded to four digits."""
    return json.dumps(
        [_course(chart, index) for index in range(min(len(chart.lines), MOST_LINES))], separators=(",", ":")
    )


def _course(chart: Chart, index: int) -> dict[str, Any]:
    line = chart.lines[index]
    rows = [[round((p.at - chart.starts_at).total_seconds()), *_numbers(p, banded=index == 0)] for p in line.points]
    return {"name": line.name, "points": rows}


def _numbers(point: Point, *, banded: bool) -> list[float | None]:
    kept = [point.value, point.low, point.high] if banded and point.low is not None else [point.value]
    return [None if value is None else float(f"{value:.4g}") for value in kept]


def story(view: IncidentView) -> Iterator[tuple[datetime, str, str, str | None, bool | None]]:
    """Revisions and actions in one course, newest first: when, who, what, more, whether it worked."""
    told = [(one.at, "Midwatch", one.text, f"revision {one.revision}, {one.status}", None) for one in view.revisions]
    done = [(one.at, one.by, one.what, one.detail, one.ok) for one in view.actions]
    yield from sorted([*told, *done], key=lambda entry: entry[0], reverse=True)


def query(asked: Filter) -> str:
    """The query string of a filter."""
    return urlencode({name: value for name, value in asked.model_dump().items() if value is not None})


def lasted(until: datetime, since: datetime) -> str:
    """How long it went on."""
    return age(since, until)


def end_ms(step: TraceStep) -> float:
    """When a step ended, from the start of its request."""
    return step.start_ms + step.duration_ms


SHAPES: Final[dict[str, Callable[..., Any]]] = {
    "tick": tick,
    "table": table,
    "courses_json": courses_json,
    "story": story,
    "query": query,
    "span": lasted,
    "span_words": _SPAN_WORDS.__getitem__,
    "end_ms": end_ms,
}
