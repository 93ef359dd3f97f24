"""The panels of signals, quality and costs, and an incident's chart: from shards to the values of the page. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from dashboard.courses import (
    HOURS_BACK,
    LINES,
    STEP,
    Buckets,
    chosen,
    fair_score_line,
    fine_hours,
    rate_line,
    sums,
)
from dashboard.methods import Methods
from dashboard.shards import ShardView
from dashboard.views import (
    Chart,
    Choices,
    Filter,
    IncidentCard,
    Line,
    Mark,
    Point,
    ScoreRow,
)
from detectors import words
from detectors.base import MINUTES
from evaluation.trends import Question, Trend, trends
from evaluation.trends_read import cells_of
from schemas.outputs import Verdict
from schemas.series import SeriesKind
from stream.core.ticks import MINUTE_MS, datetime_of, ms_of, time_of
from triage.words import quoted

MARKS: Final = 60
"""Most marks on a chart, the newest."""

CHOICES: Final = 500
ROWS: Final = 200
APPROPRIATENESS: Final = "escalation_appropriateness"
BEFORE: Final = timedelta(hours=1)
"""What a chart of an incident shows before its onset."""

AFTER: Final = timedelta(minutes=30)
"""What it shows behind its end."""

CALM: Final = 15
FINE_MINUTES: Final = 12 * 60
"""Longest chart of an incident by five minutes: 144 points."""

_KIND_OF: Final[dict[str, SeriesKind]] = {"authorization_denials": "agent", "evaluation_drop": "score"}

Views = Sequence[ShardView]


def choices_of(views: Views) -> Choices:
    """What there is to filter by."""
    keys = [key for view in views for key in view.machine.windows["flow"].keys]
    return Choices(
        environments=tuple(sorted({key.environment for key in keys}))[:CHOICES],
        systems=tuple(sorted({key.system for key in keys}))[:CHOICES],
        flows=tuple(sorted({key.dims[0] for key in keys}))[:CHOICES],
    )


def newest_tick(views: Views) -> int:
    """The newest tick of the shards; 0 without any."""
    return max((view.machine.tick for view in views), default=0)


@dataclass(frozen=True, slots=True)
class Frame:
    """What is drawn: a part of the fleet over stretches of time."""

    asked: Filter
    buckets: Buckets

    @classmethod
    def of(cls, views: Views, asked: Filter, kind: SeriesKind, step: int) -> Frame:
        """The span that is asked about, up to the newest tick."""
        tick = newest_tick(views)
        first = tick - HOURS_BACK[asked.span] * 60
        return cls(asked, Buckets.between(first, tick, tick, step, fine_hours(views, kind)))

    def chart(self, key: str, title: str, lines: Sequence[Line | None], marks: Sequence[Mark] = ()) -> Chart | None:
        """A chart of the lines that there are, None if there are none."""
        drawn = tuple(line for line in lines if line is not None)
        if not drawn:
            return None
        starts, ends = time_of(self.buckets.starts[0]), time_of(self.buckets.starts[-1] + self.buckets.minutes[-1])
        inside = [mark for mark in sorted(marks, key=lambda mark: mark.at) if starts <= mark.at <= ends]
        return Chart(
            key=key,
            title=title,
            summary=summary_of(drawn, len(inside)),
            starts_at=starts,
            ends_at=ends,
            lines=drawn,
            marks=tuple(inside[-MARKS:]),
        )


def summary_of(lines: Sequence[Line], marks: int) -> str:
    """What a chart shows, in words."""
    said = []
    for line in lines[:3]:
        known = [point for point in line.points if point.value is not None]
        if known:
            last, top = known[-1], max(point.value or 0.0 for point in known)
            usual = f", expected {_value(last.expected, line.unit)}" if last.expected is not None else ""
            said.append(
                f"{quoted(line.name)}: now {_value(last.value, line.unit)}{usual}, highest {_value(top, line.unit)}"
            )
    more = f"; {len(lines) - 3} more lines" if len(lines) > 3 else ""
    drawn = f"; {marks} events marked" if marks else ""
    return f"{'; '.join(said) or 'nothing in this time'}{more}{drawn}."


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    match unit:
        case "fraction":
            return words.percent(value)
        case "usd":
            return f"${value:,.2f}"
        case "score":
            return f"{value:.2f} of 5"
        case _:
            return f"{value:,.0f}"


def escalation_chart(views: Views, asked: Filter, cards: Iterable[IncidentCard] = ()) -> Chart | None:
    """The escalation rate of what is asked about, all its flows together."""
    rows = rows_of(views, "flow", asked)
    frame = Frame.of(views, asked, "flow", max(STEP[asked.span], calm_step(rows, "flow")))
    line = rate_line("Escalation rate", rows, "escalation_rate", "flow", frame.buckets)
    return frame.chart("escalation", "Escalation rate", [line], marks_of(views, asked) + _onsets(cards))


def denials_chart(views: Views, asked: Filter) -> Chart | None:
    """The denial rate by agent, the most denied agents first."""
    rows = rows_of(views, "agent", asked.model_copy(update={"flow": None}))
    frame = Frame.of(views, asked, "agent", max(STEP[asked.span], calm_step(rows, "agent", each=True)))
    denied: Counter[tuple[int, int]] = Counter()
    for index, (view, some) in enumerate(rows):
        totals = sums(view, "agent", some, frame.buckets)[:, :, 1].sum(axis=1)
        denied.update({(index, row): int(total) for row, total in zip(some, totals, strict=True) if total})
    lines = []
    for (index, row), _count in denied.most_common(LINES):
        view = rows[index][0]
        key = view.machine.windows["agent"].keys[row]
        name = f"{quoted(key.dims[0])} ({quoted(key.system)})"
        lines.append(rate_line(name, [(view, [row])], "authorization_denials", "agent", frame.buckets))
    drawn = [line for line in lines if line is not None]
    shown = drawn if len(drawn) == 1 else [_bare(line) for line in drawn]
    return frame.chart("denials", "Share of calls denied", shown)


def _bare(line: Line) -> Line:
    """A line without its band: several bands over each other say nothing."""
    points = tuple(point.model_copy(update={"low": None, "high": None}) for point in line.points)
    return line.model_copy(update={"points": points})


def incident_chart(views: Views, verdict: Verdict) -> Chart | None:
    """The signal that fired, with what happened about it: from an hour before the onset until after its end."""
    scope, detector = verdict.scope, verdict.trigger.detector
    tick = newest_tick(views)
    end = min(tick, ms_of(verdict.decided_at + AFTER) // MINUTE_MS) if verdict.status == "resolved" else tick
    first = max(ms_of(verdict.onset_at - BEFORE) // MINUTE_MS, tick - HOURS_BACK["7d"] * 60)
    kind = _KIND_OF.get(detector, "flow")
    asked = Filter(environment=scope.environment, system=scope.system, flow=scope.flow)
    fine = calm_step(rows_of(views, kind, asked), kind, each=kind == "agent")
    step = 60 if kind == "score" or end - first > FINE_MINUTES else fine
    frame = Frame(asked, Buckets.between(min(first, end - 1), end, tick, step, fine_hours(views, kind)))
    lines, title = _signal(views, verdict, frame)
    marks = [*marks_of(views, asked), Mark(at=verdict.onset_at, kind="onset", text="The incident began")]
    if verdict.status == "resolved":
        marks.append(Mark(at=verdict.decided_at, kind="resolved", text="Every firing has recovered"))
    if verdict.acknowledged is not None:
        by = quoted(verdict.acknowledged.by)
        marks.append(Mark(at=verdict.acknowledged.at, kind="acknowledged", text=f"{by} took it in hand"))
    return frame.chart("incident", title, lines, marks)


def _signal(views: Views, verdict: Verdict, frame: Frame) -> tuple[list[Line | None], str]:
    scope, asked = verdict.scope, frame.asked
    if verdict.trigger.detector == "authorization_denials":
        rows = rows_of(views, "agent", asked.model_copy(update={"flow": None}))
        mine = [
            (view, [r for r in some if view.machine.windows["agent"].keys[r].dims[0] == scope.agent])
            for view, some in rows
        ]
        return [rate_line("Denied calls", mine, "authorization_denials", "agent", frame.buckets)], "Denied calls"
    if verdict.trigger.detector == "evaluation_drop":
        kind: SeriesKind = "score_version" if scope.version is not None else "score"
        wanted = tuple(one for one in (scope.flow, scope.criterion, scope.version) if one is not None)
        rows = rows_of(views, kind, asked)
        mine = [(view, [r for r in some if view.machine.windows[kind].keys[r].dims == wanted]) for view, some in rows]
        return [fair_score_line("Mean of the fair sample", mine, kind, frame.buckets)], "Mean score, fair sample"
    if verdict.trigger.detector == "silence":
        return [_volume(rows_of(views, "flow", asked), frame.buckets)], "Requests"
    rows = rows_of(views, "flow", asked)
    return [rate_line("Escalation rate", rows, "escalation_rate", "flow", frame.buckets)], "Escalation rate"


def _volume(rows: Sequence[tuple[ShardView, list[int]]], buckets: Buckets) -> Line | None:
    if not any(some for _, some in rows):
        return None
    total = sum(sums(view, "flow", some, buckets)[:, :, 0].sum(axis=0) for view, some in rows if some)
    cells = zip(buckets.starts, buckets.minutes, list(total), strict=True)
    points = tuple(Point(at=time_of(at + w // 2), value=float(n) * 60 / w, count=float(n)) for at, w, n in cells)
    return Line(name="Requests an hour", unit="count", points=points)


def calm_step(rows: Sequence[tuple[ShardView, list[int]]], kind: SeriesKind, *, each: bool = False) -> int:
    """Minutes of a point in which `CALM` requests are usual, all together or in each series: rates of fewer only jump.

    Five to fifteen, by the counts of the last two hours.
    """
    total, series, minutes = 0, 0, 1
    for view, some in rows:
        windows = view.machine.windows[kind]
        minutes = max(minutes, min(MINUTES, windows.tick))
        total += int(windows.minutes(min(MINUTES, max(windows.tick, 1)))[some, :, 0].sum()) if some else 0
        series += len(some)
    usual = total / minutes / (max(series, 1) if each else 1)
    return next((step for step in (5, 10, 15) if step * usual >= CALM), 15)


def rows_of(views: Views, kind: SeriesKind, asked: Filter) -> list[tuple[ShardView, list[int]]]:
    """The rows of each shard's series that are asked about."""
    return [(view, chosen(view.machine.windows[kind].keys, asked)) for view in views]


def marks_of(views: Views, asked: Filter) -> list[Mark]:
    """Deployments and breaker changes of the systems that are asked about."""
    found: list[Mark] = []
    for view in views:
        evidence = view.machine.evidence
        for system, records in evidence.deployments.items():
            if _is_asked(asked, system):
                for record in records.values():
                    event = evidence.parse(record)
                    share = "" if event.phase in ("completed", "rolled_back") else f" to {event.canary_percent:g} %"
                    said = f"{quoted(event.component)} {quoted(event.version)} {event.phase.replace('_', ' ')}{share}"
                    found.append(Mark(at=event.time, kind="deployment", text=said))
        for system, breakers in evidence.breakers.items():
            if _is_asked(asked, system):
                found += _breaker_marks(breakers)
    return sorted(found, key=lambda mark: mark.at)[-4 * MARKS :]


def _breaker_marks(breakers: Any) -> Iterator[Mark]:
    for (dependency, _, _), readings in breakers.items():
        before = None
        for at in sorted(readings):
            reading = readings[at]
            if before is not None and reading.state != before:
                said = f"Breaker of {quoted(dependency)}: {reading.state.replace('_', ' ')}"
                yield Mark(at=datetime_of(reading.ms), kind="breaker", text=said)
            before = reading.state


def _is_asked(asked: Filter, system: tuple[str, str]) -> bool:
    return asked.environment in (None, system[0]) and asked.system in (None, system[1])


def _onsets(cards: Iterable[IncidentCard]) -> list[Mark]:
    return [Mark(at=card.onset_at, kind="onset", text=card.headline, incident_id=card.incident_id) for card in cards]


def score_rows(views: Views, asked: Filter, methods: Methods | None = None) -> tuple[ScoreRow, ...]:
    """The means of the span by flow, criterion and version, weighted back for their sampling, with 95 % intervals.

    They are those of `midwatch evaluate trends`. Where there are several versions, all together come first.
    """
    # The hours of the charts, see `Frame.of`.
    tick = newest_tick(views)
    end = max(-(-tick // 60), 1)
    question = Question(
        max(tick - HOURS_BACK[asked.span] * 60, 0) // 60, end, end, asked.environment, asked.system, asked.flow
    )
    cells = [cell for view in views for cell in cells_of(view.machine.windows["score_stratum"])]
    versions: dict[tuple[str, ...], set[str]] = {}
    for cell in cells:
        if question.asks_for(cell):
            versions.setdefault(cell.place[:4], set()).add(cell.place.version)
    found = [
        _score_row(trend, versions[trend.environment, trend.system, trend.flow, trend.criterion], methods)
        for trend in trends(cells, question)
    ]
    return tuple(sorted(found, key=lambda one: (one.flow, one.criterion))[:ROWS])


def _score_row(trend: Trend, versions: set[str], methods: Methods | None) -> ScoreRow:
    mean, only = trend.whole, next(iter(versions)) if len(versions) == 1 else None
    version = trend.version if trend.version is not None else only
    place = (trend.environment, trend.system, trend.flow, trend.criterion, version)
    return ScoreRow(
        criterion=trend.criterion,
        flow=trend.flow,
        version="all versions" if version is None else version or None,
        mean=mean.summary.mean,
        low=mean.low,
        high=mean.high,
        scores=mean.summary.count,
        method=methods.of(*place) if methods is not None else None,
    )


def since(now: datetime, asked: Filter) -> datetime:
    """Where a span begins."""
    return now - timedelta(hours=HOURS_BACK[asked.span])
