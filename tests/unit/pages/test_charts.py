"""The geometry of charts: within the plot, honest about gaps, marks that can be told apart."""

import re
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from dashboard import views as v
from dashboard.charts import draw, nice_step
from dashboard.pages_shape import MOST_ROWS, table
from tests.support.dashboard_fleet import NOW, ago, chart

VALUES = st.lists(st.none() | st.floats(0, 1e9, allow_nan=False), max_size=60)


def of(values: list[float | None], **changes: object) -> v.Chart:
    points = tuple(v.Point(at=ago(60 - minute), value=value) for minute, value in enumerate(values))
    line = v.Line(name="x", unit="count", points=points)
    base = {"key": "x", "title": "x", "summary": "x", "starts_at": ago(60), "ends_at": NOW, "lines": (line,)}
    return v.Chart.model_validate(base | changes)


@given(VALUES)
def test_everything_is_drawn_within_the_plot(values: list[float | None]) -> None:
    """Whatever the values, each point lies within the box, and the axis covers them with a handful of round ticks."""
    drawing = draw(of(values))
    course = drawing.courses[0]
    across, down = 0.0, 0.0
    for kind, text in re.findall(r"([Ml])([^Ml]*)", course.path):
        numbers = [float(number) for number in text.split()]
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            across, down = (dx, dy) if kind == "M" else (across + dx, down + dy)
            assert 0 <= across <= 1000
            assert -0.5 <= down <= 100.5
    assert 2 <= len(drawing.up) <= 7
    known = [value for value in values if value is not None]
    assert drawing.has_data == bool(known)
    assert drawing.up[-1].value >= max(known, default=0) * 0.97


@given(st.floats(1e-6, 1e9))
def test_steps_are_round_and_large_enough(rough: float) -> None:
    """A step is 1, 2, 2.5 or 5 times a power of ten, and no more than two and a half times what was asked."""
    step = nice_step(rough)
    assert rough * 0.999 <= step <= rough * 2.51
    assert f"{step:.1e}"[:3] in {"1.0", "2.0", "2.5", "5.0"}


def test_a_gap_in_the_data_is_a_gap_in_the_line() -> None:
    """A missing value breaks the line; a value alone between gaps becomes a dot."""
    course = draw(of([1, 2, None, 3, None, 4, 5])).courses[0]
    assert course.path.count("M") == 2
    assert len(course.lone) == 1


def test_marks_that_are_close_stand_on_levels_of_their_own() -> None:
    """Marks nearer than a chip on a phone are not on one level; a mark outside the time is not drawn."""
    marks = tuple(v.Mark(at=ago(minute), kind="deployment", text="x") for minute in (90, 40, 30.5, 30, 29.5, 5))
    flags = draw(of([1.0], marks=marks)).flags
    assert [flag.number for flag in flags] == [1, 2, 3, 4, 5]
    assert [flag.level for flag in flags] == [0, 0, 1, 2, 0]


def test_the_onset_shades_what_lies_behind_it() -> None:
    """The onset's place in the time is the share of the time that went before."""
    drawing = draw(of([1.0], marks=(v.Mark(at=ago(15), kind="onset", text="began"),)))
    assert drawing.onset == 75


def test_scores_have_their_own_scale() -> None:
    """Scores are drawn from 1 to 5, whatever they are."""
    line = v.Line(name="x", unit="score", points=(v.Point(at=ago(1), value=4.2),))
    assert [tick.value for tick in draw(of([], lines=(line,))).up] == [1, 2, 3, 4, 5]


def test_the_table_is_short_and_ends_with_the_newest() -> None:
    """The table of a chart thins to a length that can be listened to, and keeps the last value."""
    rows = table(chart())
    assert len(rows) <= MOST_ROWS
    assert rows[-1][0] == NOW
    assert rows[0][0] < rows[1][0]


def test_ticks_of_a_week_are_days() -> None:
    """Over seven days the ticks stand at midnights."""
    week = of([1.0], starts_at=NOW - timedelta(days=7))
    assert {tick.at.hour for tick in draw(week).across if tick.at} == {0}
