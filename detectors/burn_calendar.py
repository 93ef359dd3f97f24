"""Calendar months in UTC, and how spend spreads over the week: what `burn_rate` measures with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from detectors.base import HOURS, Floats

_HOUR, _DAY, _WEEK = 60, 24, 168
_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday."""

_LEAST = 0.02
"""Least weight of an hour against the mean: nothing is so quiet that a cent in it means a flood."""


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in UTC; hours are counted from 1970."""

    first_hour: int
    end_hour: int

    @classmethod
    def of(cls, minute: int) -> Month:
        """The month that holds `minute`."""
        first = datetime.fromtimestamp(minute * 60, UTC).replace(day=1, hour=0, minute=0, second=0)
        after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return cls(int(first.timestamp()) // 3600, int(after.timestamp()) // 3600)

    def days_left(self, hour: int) -> float:
        """Days from `hour` to the end."""
        return (self.end_hour - hour) / _DAY


@dataclass(frozen=True, slots=True)
class SpendProfile:
    """The weight of each hour of the week for each budget, mean about 1 over the hours seen."""

    week: Floats
    """[S, 168] from Monday 00:00 UTC."""
    first: NDArray[np.int64]
    """[S] the first hour that is known."""
    covered: NDArray[np.int64]
    """[S] hours that are known, at most 28 days."""

    @classmethod
    def of(cls, cost: Floats, hour: int, first_hour: NDArray[np.int64]) -> SpendProfile:
        """From the spend [S, 672] of the hours before `hour`; hours before `first_hour` [S] are unknown, not zero."""
        first = np.maximum(first_hour, hour - HOURS)
        known = np.arange(hour - HOURS, hour) >= first[:, None]
        index = (np.arange(hour - HOURS, hour) + _EPOCH_WEEKDAY * _DAY) % _WEEK
        by_week = np.zeros((len(cost), _WEEK))
        seen = np.zeros((len(cost), _WEEK))
        for week in range(HOURS // _WEEK):
            part = slice(week * _WEEK, (week + 1) * _WEEK)
            by_week[:, index[part]] += np.where(known[:, part], cost[:, part], 0.0)
            seen[:, index[part]] += known[:, part]
        by_day, seen_day = by_week.reshape(-1, 7, _DAY), seen.reshape(-1, 7, _DAY)
        hourly = _relative(by_day.sum(axis=1), seen_day.sum(axis=1))
        # Days are compared by what their hours would be worth, so that half a day is not half as dear.
        daily = _relative(by_day.sum(axis=2), (seen_day * hourly[:, None, :]).sum(axis=2))
        return cls((daily[:, :, None] * hourly[:, None, :]).reshape(-1, _WEEK), first, hour - first)

    def weight(self, start: int, end: int) -> Floats:
        """[S] weight of the known hours in `start` to `end`; at most as many as the view holds."""
        hours = np.arange(start, end)
        weights = self.week[:, (hours + _EPOCH_WEEKDAY * _DAY) % _WEEK]
        return np.asarray(np.where(hours >= self.first[:, None], weights, 0.0).sum(axis=1))

    def ahead(self, start: int, end: int) -> Floats:
        """[S] weight of the hours from `start` to `end`, which lie ahead."""
        slots = (np.arange(start, end) + _EPOCH_WEEKDAY * _DAY) % _WEEK
        return np.asarray(self.week @ np.bincount(slots, minlength=_WEEK).astype(np.float64))

    def reaches(self, row: int, rate: float, left: float, month: Month, hour: int) -> int | None:
        """The minute at which a pace of `rate` a weight uses up `left`, or None where it does not this month."""
        if left <= 0:
            return hour * _HOUR
        hours = np.arange(hour, month.end_hour)
        spend = rate * np.cumsum(self.week[row, (hours + _EPOCH_WEEKDAY * _DAY) % _WEEK])
        over = np.flatnonzero(spend >= left)
        return None if over.size == 0 else int(hours[over[0]] + 1) * _HOUR


def _relative(total: Floats, seen: Floats) -> Floats:
    """Means of each column relative to the row's mean; 1 where nothing is known of it."""
    overall = total.sum(axis=1, keepdims=True) / np.maximum(seen.sum(axis=1, keepdims=True), 1e-9)
    mean = total / np.maximum(seen, 1e-9)
    factor = np.where((seen > 0) & (overall > 0), mean / np.maximum(overall, 1e-12), 1.0)
    return np.asarray(np.maximum(factor, _LEAST))
