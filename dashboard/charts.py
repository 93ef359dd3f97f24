"""The geometry of a chart: values in, numbers of a drawing out. `templates/chart.html` writes it as SVG.

Everything across is a percentage of the chart's width, whatever that is, so that one drawing fits a phone and a wall
while its texts keep their size. Lines and bands live in a box of `WIDE` by `TALL` units that is stretched over the plot
(`preserveAspectRatio="none"`, strokes do not scale).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, TypeAlias

from dashboard.views import Chart, Line, Mark, Point

Across: TypeAlias = Callable[[datetime], float]
"""Places a time, 0 to 1 from the left."""

Down: TypeAlias = Callable[[float], float]
"""Places a value, 0 to 1 from the top."""

MOST_LINES: Final = 6
"""Lines that an eye tells apart; the table has all."""

WIDE: Final = 1000
TALL: Final = 100

_APART: Final = 7.0
"""Least distance of two marks on one level, in percent of the width: a mark's chip on a phone."""

_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080)
"""Distances of time ticks, in minutes."""

_MOST_TICKS: Final = 6
_LEVELS: Final = 3
_SMALLEST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of an axis: its place in percent (from the left, or from the top), and its text; `at` for times."""

    place: float
    value: float
    at: datetime | None = None
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Course:
    """A line as paths (a gap in the data is a gap in the line), its band of what was expected, its expectation."""

    line: Line
    style: int
    path: str
    band: str
    expected: str
    lone: tuple[tuple[float, float], ...]
    """Points without neighbours, in percent from left and top: a path would not show them."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A mark with its number, its place in percent from the left, and the level that keeps it clear of the others."""

    mark: Mark
    number: int
    place: float
    level: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart, ready to be written out."""

    chart: Chart
    unit: str
    courses: tuple[Course, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    flags: tuple[Flag, ...]
    levels: int
    target: float | None
    """Place of the target, in percent from the top."""
    onset: float | None
    """Place of the onset, in percent from the left: what lies behind it is shaded."""

    @property
    def has_data(self) -> bool:
        """Whether any line has any value."""
        return any(point.value is not None for course in self.courses for point in course.line.points)


def draw(chart: Chart) -> Drawing:
    """The drawing of a chart. All lines share the first one's unit; a chart without values has axes all the same."""
    unit = chart.lines[0].unit if chart.lines else "count"
    bottom, top, step = _bounds(chart, unit)
    span = max((chart.ends_at - chart.starts_at).total_seconds(), 1.0)

    def x(at: datetime) -> float:
        return min(max((at - chart.starts_at).total_seconds() / span, 0.0), 1.0)

    def y(value: float) -> float:
        return 1.0 - min(max((value - bottom) / (top - bottom), 0.0), 1.0)

    flags = _flags(chart, x)
    onset = next((flag.place for flag in flags if flag.mark.kind == "onset"), None)
    ticks = round((top - bottom) / step)
    return Drawing(
        chart=chart,
        unit=unit,
        courses=tuple(_course(line, style, x, y) for style, line in enumerate(chart.lines[:MOST_LINES])),
        across=_time_ticks(chart, x),
        up=tuple(Tick(_place(y(bottom + step * i)), bottom + step * i) for i in range(ticks + 1)),
        flags=flags,
        levels=1 + max((flag.level for flag in flags), default=-1),
        target=_place(y(chart.target)) if chart.target is not None else None,
        onset=onset,
    )


def _place(fraction: float) -> float:
    return round(fraction * 100, 2)


def _bounds(chart: Chart, unit: str) -> tuple[float, float, float]:
    """Least and greatest value of the axis, and the step of its ticks: from 0 up, scores within 1 to 5."""
    values = [
        value
        for line in chart.lines
        for point in line.points
        for value in (point.value, point.high, point.low, point.expected)
        if value is not None and math.isfinite(value)
    ]
    if chart.target is not None:
        values.append(chart.target)
    if unit == "score":
        return 1.0, 5.0, 1.0
    greatest = max(values, default=1.0)
    least = min(0.0, min(values, default=0.0))
    # A range that is nothing to the eye, and too small to divide, is drawn as none.
    step = nice_step((greatest - least) / 4 if greatest - least > _SMALLEST else 0.25)
    if unit in {"count", "tokens"}:
        step = max(step, 1.0)
    return math.floor(least / step) * step, max(math.ceil(greatest / step * 0.98), 1) * step, step


def nice_step(rough: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten, at or above `rough` (above 0)."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))


def _time_ticks(chart: Chart, x: Across) -> tuple[Tick, ...]:
    minutes = (chart.ends_at - chart.starts_at).total_seconds() / 60
    step = next((step for step in _STEPS if minutes / step <= _MOST_TICKS), _STEPS[-1])
    start = chart.starts_at.astimezone(UTC)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + timedelta(minutes=math.ceil((start - midnight).total_seconds() / 60 / step) * step)
    ticks: list[Tick] = []
    while at <= chart.ends_at and len(ticks) <= _MOST_TICKS + 1:
        place = _place(x(at))
        anchor = "start" if place < 0.5 else "end" if place > 96 else "middle"
        if not 0.5 <= place < 4:  # Its text would leave the plot, or crowd the next.
            ticks.append(Tick(place, minutes, at, anchor))
        at += timedelta(minutes=step)
    return tuple(ticks)


def _flags(chart: Chart, x: Across) -> tuple[Flag, ...]:
    """Marks by time, numbered, each on the lowest level where it covers no other; the last level takes the rest."""
    taken: list[float] = []
    flags = []
    seen = sorted((mark for mark in chart.marks if chart.starts_at <= mark.at <= chart.ends_at), key=lambda m: m.at)
    for number, mark in enumerate(seen, start=1):
        place = _place(x(mark.at))
        level = next((level for level, last in enumerate(taken) if place - last >= _APART), len(taken))
        if level == len(taken) and level < _LEVELS:
            taken.append(place)
        level = min(level, _LEVELS - 1)
        taken[level] = place
        flags.append(Flag(mark, number, place, level))
    return tuple(flags)


def _course(line: Line, style: int, x: Across, y: Down) -> Course:
    runs = [[(x(at), y(value)) for at, value in run] for run in _runs(line.points)]
    return Course(
        line=line,
        style=style,
        path="".join(_path(run) for run in runs if len(run) > 1),
        band=_band(line.points, x, y),
        expected=_path([(x(p.at), y(p.expected)) for p in line.points if p.expected is not None]),
        lone=tuple((_place(run[0][0]), _place(run[0][1])) for run in runs if len(run) == 1),
    )


def _runs(points: Iterable[Point]) -> list[list[tuple[datetime, float]]]:
    """Stretches of points with values."""
    runs: list[list[tuple[datetime, float]]] = [[]]
    for point in points:
        if point.value is not None:
            runs[-1].append((point.at, point.value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _path(places: Iterable[tuple[float, float]]) -> str:
    """An SVG path through points given as fractions: absolute start, relative steps, which pack well."""
    units = [(round(across * WIDE), round(down * TALL, 1)) for across, down in places]
    if not units:
        return ""
    steps = (f"{b[0] - a[0]} {b[1] - a[1]:.1f}" for a, b in pairwise(units))
    return f"M{units[0][0]} {units[0][1]:g}l{' '.join(steps)}" if len(units) > 1 else ""


def _band(points: Sequence[Point], x: Across, y: Down) -> str:
    """The area between `low` and `high`, one for each stretch that has both."""
    areas = []
    run: list[tuple[float, float, float]] = []
    for point in points:
        if point.low is not None and point.high is not None:
            run.append((x(point.at), y(point.low), y(point.high)))
        elif run:
            areas.append(run)
            run = []
    if run:
        areas.append(run)
    paths = (
        _path([*((across, high) for across, _, high in area), *((across, low) for across, low, _ in reversed(area))])
        for area in areas
        if len(area) > 1
    )
    return "".join(f"{path}z" for path in paths if path)
