"""Trends of quality: means by criterion, flow, version and bucket of time, weighted back, with their intervals. Pure.

Scores come as sums by hour and sampling rate, as the engine's windows hold them (`schemas.series`, kind
`score_stratum`). A bucket's mean is Hajek's estimate over its rates (`triage.estimates`), so a day on which the budget
thinned the sampling, or on which more was escalated, does not look like a day of worse work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from schemas.base import JsonObject
from schemas.series import rate_of
from stream.core.ticks import rfc3339
from triage.case import ScoreSummary
from triage.estimates import Stratum, estimate, interval

HOUR_MS: Final = 3_600_000

MOST_BUCKETS: Final = 1_000
"""Most buckets of one trend: four weeks by the hour are 672."""


class Place(NamedTuple):
    """Whose scores; `version` is empty where the events name none."""

    environment: str
    system: str
    flow: str
    criterion: str
    version: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Scores of one place, hour (from 1970) and rate: how many, their sum in thousandths, of squares in millionths."""

    place: Place
    hour: int
    rate: float
    scores: int
    total: int
    squares: int


@dataclass(frozen=True, slots=True)
class Question:
    """Which scores, None for all; from which hour to which (not included), and how many hours make a bucket."""

    first_hour: int
    end_hour: int
    bucket_hours: int
    environment: str | None = None
    system: str | None = None
    flow: str | None = None
    criterion: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        hours = self.end_hour - self.first_hour
        if hours <= 0 or self.bucket_hours <= 0:
            raise ValueError("there is no hour between the first and the last")
        if hours / self.bucket_hours > MOST_BUCKETS:
            raise ValueError(
                f"{hours:,} hours in buckets of {self.bucket_hours} are more than {MOST_BUCKETS:,} buckets: take "
                "longer ones, or a shorter time"
            )

    def asks_for(self, cell: Cell) -> bool:
        """Whether a cell is part of the answer."""
        wanted = (self.environment, self.system, self.flow, self.criterion, self.version)
        return self.first_hour <= cell.hour < self.end_hour and all(
            name is None or name == has for name, has in zip(wanted, cell.place, strict=True)
        )

    def bucket_of(self, hour: int) -> int:
        """The first hour of the bucket that an hour is in. Buckets begin at multiples of their length since 1970."""
        return hour // self.bucket_hours * self.bucket_hours


@dataclass(frozen=True, slots=True)
class Mean:
    """A weighted mean over some hours, with its 95 % interval (None for fewer than two scores)."""

    start_ms: int
    end_ms: int
    summary: ScoreSummary
    low: float | None
    high: float | None

    def to_json(self) -> JsonObject:
        """As JSON; means in points, to three digits."""
        found: JsonObject = {"start": rfc3339(self.start_ms), "end": rfc3339(self.end_ms), "scores": self.summary.count}
        if self.summary.count:
            found |= {"mean": round(self.summary.mean, 3), "effective_scores": round(self.summary.size, 1)}
        if self.low is not None and self.high is not None:
            found |= {"low": round(self.low, 3), "high": round(self.high, 3)}
        return found


@dataclass(frozen=True, slots=True)
class Trend:
    """One criterion of one flow over time; `version` is None for all versions together.

    `buckets` are those with scores, in time; `rates` says at which rates how many scores were drawn, highest first.
    """

    environment: str
    system: str
    flow: str
    criterion: str
    version: str | None
    whole: Mean
    buckets: tuple[Mean, ...]
    rates: tuple[tuple[float, int], ...]

    def to_json(self) -> JsonObject:
        """As JSON."""
        return {
            "environment": self.environment,
            "system": self.system,
            "flow": self.flow,
            "criterion": self.criterion,
            "version": self.version,
            **{name: value for name, value in self.whole.to_json().items() if name not in ("start", "end")},
            "rates": [{"rate": rate, "scores": scores} for rate, scores in self.rates],
            "buckets": [bucket.to_json() for bucket in self.buckets],
        }


def trends(cells: Iterable[Cell], question: Question) -> list[Trend]:
    """The trends that answer a question, by system, flow and criterion: all versions together, then each of several."""
    groups: dict[tuple[str, str, str, str], list[Cell]] = {}
    for cell in cells:
        if question.asks_for(cell):
            groups.setdefault(cell.place[:4], []).append(cell)
    found = []
    for _, group in sorted(groups.items()):
        versions = sorted({cell.place.version for cell in group})
        if question.version is None:
            found.append(_trend(group, None, question))
        if question.version is not None or len(versions) > 1:
            found.extend(
                _trend([cell for cell in group if cell.place.version == one], one, question) for one in versions
            )
    return found


def _trend(cells: Sequence[Cell], version: str | None, question: Question) -> Trend:
    buckets: dict[int, list[Cell]] = {}
    rates: dict[float, int] = {}
    for cell in cells:
        buckets.setdefault(question.bucket_of(cell.hour), []).append(cell)
        rates[cell.rate] = rates.get(cell.rate, 0) + cell.scores
    place = cells[0].place
    return Trend(
        *place[:4],
        version,
        _mean(cells, question.first_hour, question.end_hour),
        tuple(
            _mean(group, max(start, question.first_hour), min(start + question.bucket_hours, question.end_hour))
            for start, group in sorted(buckets.items())
        ),
        tuple(sorted(rates.items(), reverse=True)),
    )


def _mean(cells: Sequence[Cell], first_hour: int, end_hour: int) -> Mean:
    sums: dict[float, list[int]] = {}
    for cell in cells:
        known = sums.setdefault(cell.rate, [0, 0, 0])
        for index, value in enumerate((cell.scores, cell.total, cell.squares)):
            known[index] += value
    summary = estimate([Stratum(rate, *three) for rate, three in sums.items()])
    low, high = interval(summary) or (None, None)
    return Mean(first_hour * HOUR_MS, end_hour * HOUR_MS, summary, low, high)


def cell_of(key: Sequence[str], hour: int, counts: Sequence[int]) -> Cell:
    """A cell from a series of kind `score_stratum`: environment, system, flow, criterion, version, stratum."""
    *place, stratum = key
    return Cell(Place(*place), hour, rate_of(int(stratum)), *(int(count) for count in counts))
