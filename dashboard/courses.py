"""Courses over time from the engine's windows, with what the detectors expect: pure, values in, charts out.

Recent values come by minutes, and so do those of the last day as far as the page has kept them (`dashboard.fine`);
older ones by full hours. What is expected is the detector's own: the rate that it has
learned, or, for the hours before, its level at that hour of the day. The band holds 99 % of what the scatter that it
has learned lets happen: for n trials at the rate p over w minutes, with clumps K,

    var(X) = K n p + (n p)^2 (doubt + flutter / w)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from dashboard.fine import STEP as FINE_STEP
from dashboard.shards import ShardView
from dashboard.views import Filter, Line, Point, Span
from detectors.base import MINUTES, Counts, Floats
from detectors.escalation_rate import EscalationRate
from detectors.evaluation_drop import EvaluationDrop
from schemas.series import SCORE_UNIT, SeriesKey, SeriesKind
from schemas.words import DetectorName
from stream.core.hours import HourBlock
from stream.core.ticks import time_of

HOURS_BACK: Final[dict[Span, int]] = {"3h": 3, "24h": 24, "7d": 168}
STEP: Final[dict[Span, int]] = {"3h": 5, "24h": 60, "7d": 60}
"""Minutes of a point, as far as minutes are kept."""

SCORE_STEP: Final[dict[Span, int]] = {"3h": 30, "24h": 60, "7d": 60}
Z99: Final = 2.5758
LINES: Final = 8
_SCATTER: Final = ("doubt", "flutter", "clump")


HasMinutes: TypeAlias = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Stretches of time, oldest first: `edges` in minutes, one more than there are stretches."""

    starts: tuple[int, ...]
    minutes: tuple[int, ...]

    @classmethod
    def between(cls, first: int, end: int, tick: int, step: int, has_minutes: HasMinutes = lambda _: False) -> Buckets:
        """From the full hour of minute `first` to `end`, at most `tick`, the minute that the windows have come to.

        Stretches of `step` minutes in hours that the windows hold by minutes, and in those of which `has_minutes` says
        so by their first minute; of every other hour all of it.
        """
        ring = -(-(tick - MINUTES) // 60) * 60
        found: list[tuple[int, int]] = []
        for hour in range(first // 60 * 60, end, 60):
            if hour >= ring or has_minutes(hour):
                until = min(hour + 60, end)
                found += [(start, min(step, until - start)) for start in range(hour, until, step)]
            else:
                found.append((hour, 60))
        return cls(tuple(start for start, _ in found), tuple(length for _, length in found))


def fine_hours(views: Sequence[ShardView], kind: SeriesKind) -> HasMinutes:
    """Which hours the page has kept by minutes, in every shard."""
    return lambda hour: bool(views) and all(view.fine.has_hour(kind, hour) for view in views)


def sums(view: ShardView, kind: SeriesKind, rows: Sequence[int], buckets: Buckets) -> Counts:
    """[R, B, C] counts of some rows in each bucket."""
    windows = view.machine.windows[kind]
    tick = windows.tick
    reach = min(MINUTES, max(tick, 1))
    minutes = windows.minutes(reach)[list(rows)]
    made = np.zeros((len(rows), len(buckets.starts), windows.width), np.int64)
    place = {row: index for index, row in enumerate(rows)}
    for bucket, (start, length) in enumerate(zip(buckets.starts, buckets.minutes, strict=True)):
        if start >= tick - reach:
            made[:, bucket] = minutes[:, start - tick + reach : start - tick + reach + length].sum(axis=1)
        else:
            for block in _blocks(view, kind, start, length):
                for index, row in enumerate(block.rows.tolist()):
                    if row in place:
                        made[place[row], bucket] += block.counts[index]
    return made


def _blocks(view: ShardView, kind: SeriesKind, start: int, length: int) -> list[HourBlock]:
    if length == 60:
        found = [view.machine.windows[kind].hour_blocks.get(start // 60)]
    else:
        found = [view.fine.block(kind, at) for at in range(start, start + length, FINE_STEP)]
    return [block for block in found if block is not None]


def chosen(keys: Iterable[SeriesKey], asked: Filter) -> list[int]:
    """The rows of the series that a filter asks for; series without a flow answer to environment and system alone."""
    found = []
    for row, key in enumerate(keys):
        labels = key.labels()
        wanted = ((asked.environment, key.environment), (asked.system, key.system))
        flow = asked.flow is None or labels.get("flow") == asked.flow
        if flow and all(one in (None, has) for one, has in wanted):
            found.append(row)
    return found


@dataclass
class _Sum:
    """Sums over series and shards, by bucket."""

    total: Floats
    hits: Floats
    expected: Floats
    variance: Floats

    @classmethod
    def of(cls, size: int) -> _Sum:
        return cls(*(np.zeros(size) for _ in range(4)))

    def add(
        self, counts: Counts, rates: Floats, doubt: Floats, flutter: Floats, clump: Floats, minutes: Floats
    ) -> None:
        """Counts [R, B, 2 and more] and what was expected of them: rates [R, B], the scatter [R]."""
        trials = counts[:, :, 0].astype(np.float64)
        mean = trials * rates
        scatter = doubt[:, None] + flutter[:, None] / minutes[None, :]
        self.total += trials.sum(axis=0)
        self.hits += counts[:, :, 1].sum(axis=0)
        self.expected += mean.sum(axis=0)
        self.variance += (np.maximum(clump, 1.0)[:, None] * mean + mean**2 * scatter).sum(axis=0)

    def points(self, buckets: Buckets) -> tuple[Point, ...]:
        """A point for each bucket, at its middle."""
        return tuple(
            _rate_point(at, length, *cell)
            for at, length, *cell in zip(
                buckets.starts,
                buckets.minutes,
                self.total.tolist(),
                self.hits.tolist(),
                self.expected.tolist(),
                self.variance.tolist(),
                strict=True,
            )
        )


def _rate_point(at: int, length: int, total: float, hits: float, expected: float, variance: float) -> Point:
    when = time_of(at + length // 2)
    if total <= 0:
        return Point(at=when, value=None, count=0)
    half = Z99 * variance**0.5 / total
    usual = expected / total
    return Point(
        at=when,
        value=hits / total,
        expected=usual,
        low=max(usual - half, 0.0),
        high=min(usual + half, 1.0),
        count=total,
    )


def rate_line(
    name: str, views: Sequence[tuple[ShardView, list[int]]], detector: DetectorName, kind: SeriesKind, buckets: Buckets
) -> Line | None:
    """The rate over several series together, of all shards; None where there is nothing."""
    whole = _Sum.of(len(buckets.starts))
    for view, rows in views:
        if rows and (detector, kind) in view.detectors:
            state = view.state(detector, kind)
            rates = np.stack([rate[rows] for rate in _rates(view, detector, kind, buckets)], axis=1)
            doubt, flutter, clump = (state[field][rows].astype(np.float64) for field in _SCATTER)
            lengths = np.array(buckets.minutes, np.float64)
            whole.add(sums(view, kind, rows, buckets), rates, doubt, flutter, clump, lengths)
    if not whole.total.any():
        return None
    return Line(name=name, unit="fraction", points=whole.points(buckets))


def _rates(view: ShardView, detector: DetectorName, kind: SeriesKind, buckets: Buckets) -> list[Floats]:
    """[B] of [S]: what the detector expects in each bucket."""
    state, windows, one = view.state(detector, kind), view.machine.windows[kind], view.detectors[detector, kind]
    now = state["rate"].astype(np.float64)
    if not isinstance(one, EscalationRate):
        return [now] * len(buckets.starts)
    earlier = sorted({start // 60 for start in buckets.starts if start < windows.tick - MINUTES})
    usual = {hour: one.usual(windows, state, hour * 60 + 30) for hour in earlier}
    return [usual.get(start // 60, now) if start < windows.tick - MINUTES else now for start in buckets.starts]


@dataclass(frozen=True, slots=True)
class Expected:
    """What `evaluation_drop` expects of the scores of its fair sample, by bucket; `known` of them have a baseline."""

    scores: Floats
    total: Floats
    known: Floats
    base: Floats
    variance: Floats
    drift: float

    def band(self, index: int, size: float, z: float) -> tuple[float | None, float | None, float | None]:
        """The baseline, and between what `size` scores are to lie; nothing where not every score has a baseline."""
        known = float(self.known[index])
        if known <= 0 or known < self.scores[index]:
            return None, None, None
        usual = float(self.base[index]) / known
        half = z * (float(self.variance[index]) / known / size + self.drift**2) ** 0.5
        return usual, max(usual - half, 1.0), min(usual + half, 5.0)


def expected_scores(views: Sequence[tuple[ShardView, list[int]]], kind: SeriesKind, buckets: Buckets) -> Expected:
    """The fair sample of several series together, against the baseline of `evaluation_drop`."""
    size = len(buckets.starts)
    n, total, base, variance, known = (np.zeros(size) for _ in range(5))
    drift = 0.0
    for view, rows in views:
        detector = view.detectors.get(("evaluation_drop", kind))
        if not rows:
            continue
        counts = sums(view, kind, rows, buckets).astype(np.float64)
        n += counts[:, :, 0].sum(axis=0)
        total += counts[:, :, 1].sum(axis=0) / SCORE_UNIT
        if isinstance(detector, EvaluationDrop):
            state = view.state("evaluation_drop", kind)
            judged = state["base_n"][rows] > 1
            weight = counts[:, :, 0] * judged[:, None]
            known += weight.sum(axis=0)
            base += (weight * state["base_mean"][rows][:, None]).sum(axis=0)
            variance += (weight * state["base_var"][rows][:, None]).sum(axis=0)
            drift = detector.judge_drift
    return Expected(n, total, known, base, variance, drift)


def fair_score_line(
    name: str, views: Sequence[tuple[ShardView, list[int]]], kind: SeriesKind, buckets: Buckets
) -> Line | None:
    """What `evaluation_drop` sees: the plain mean of the fair sample, against its baseline."""
    seen = expected_scores(views, kind, buckets)
    if not seen.scores.any():
        return None
    points = []
    for index, (at, length) in enumerate(zip(buckets.starts, buckets.minutes, strict=True)):
        n = float(seen.scores[index])
        usual, low, high = seen.band(index, n, Z99) if n > 0 else (None, None, None)
        value = float(seen.total[index]) / n if n > 0 else None
        points.append(Point(at=time_of(at + length // 2), value=value, expected=usual, low=low, high=high, count=n))
    return Line(name=name, unit="score", points=tuple(points))
