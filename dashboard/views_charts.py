"""A chart as values: lines over the same time, what was expected of them, and what happened meanwhile."""

from __future__ import annotations

from typing import Literal

from schemas.base import Model, Time

MarkKind = Literal["onset", "fired", "resolved", "deployment", "breaker", "acknowledged", "action"]


class Point(Model):
    """One value of a course over time. `low` to `high` is what was expected; None where there is nothing to say."""

    at: Time
    value: float | None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    count: float | None = None
    """How many observations stand behind `value`."""


class Line(Model):
    """A named course over time."""

    name: str
    unit: Literal["fraction", "score", "count", "usd", "ms", "tokens"]
    points: tuple[Point, ...]


class Mark(Model):
    """Something that happened, drawn on a chart at its time."""

    at: Time
    kind: MarkKind
    text: str
    incident_id: str | None = None
    """The incident that the mark is about, where it has a page to go to."""


class Chart(Model):
    """Lines over the same time, and what happened meanwhile. `summary` says in words what the chart shows."""

    key: str
    title: str
    summary: str
    starts_at: Time
    ends_at: Time
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...] = ()
    band: Literal["expected", "interval"] = "expected"
    """What `low` to `high` is: what was expected, or the 95 % interval of the value itself."""
    target: float | None = None
    """A level to compare with: a budget, a threshold."""
