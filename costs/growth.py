"""The growth of a volume: a straight line through the logarithms of daily totals, with an effect for each weekday.

The interval is that of the fitted line (Student's t), widened where the residuals of neighbouring days go together
(first-order autocorrelation r: by sqrt((1 + r) / (1 - r))), as they do in most traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from costs.traffic import MINUTES_A_DAY, Floats

MIN_DAYS: Final = 14
"""Least number of whole days: every weekday twice."""

_EPOCH_WEEKDAY: Final = 3
_TOP_AUTOCORRELATION: Final = 0.9


class TooLittleHistory(ValueError):
    """Too few days to speak of growth; the message says how many there are."""


@dataclass(frozen=True)
class Growth:
    """A fitted line. Days count from 1970; the volume of a day is exp(trend), times `smear` for the mean of days."""

    first_day: int
    last_day: int
    days: int
    level: float
    slope: float
    smear: float
    confidence: float
    _quantile: float
    _covariance: Floats

    def volume(self, day: float) -> float:
        """The expected volume of a day, weekdays evened out."""
        return float(np.exp(self.level + self.slope * (day - self.first_day)) * self.smear)

    def band(self, days: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        """The expected volume of days, and the lower and upper end of its interval."""
        t = np.asarray(days - self.first_day, np.float64)
        x = np.stack([np.ones_like(t), t], axis=1)
        spread = self._quantile * np.sqrt(np.einsum("ij,jk,ik->i", x, self._covariance, x))
        line = self.level + self.slope * t + np.log(self.smear)
        top = np.log(np.finfo(np.float64).max) - 1
        middle, low, high = (np.exp(np.clip(one, -top, top)) for one in (line, line - spread, line + spread))
        return middle, low, high

    @property
    def monthly_percent(self) -> tuple[float, float, float]:
        """Growth in per cent a month of 365/12 days, and its interval."""
        spread = self._quantile * float(np.sqrt(self._covariance[1, 1]))
        slopes = (self.slope, self.slope - spread, self.slope + spread)
        growth, low, high = (100 * float(np.expm1(min(one * 365 / 12, 700.0))) for one in slopes)
        return growth, low, high


def daily_totals(volume: Floats, first_minute: int) -> tuple[NDArray[np.int64], Floats]:
    """The whole days that minutes cover, and each one's volume."""
    first = -(-first_minute // MINUTES_A_DAY)
    last = (first_minute + len(volume)) // MINUTES_A_DAY
    if last <= first:
        return np.zeros(0, np.int64), np.zeros(0)
    start = first * MINUTES_A_DAY - first_minute
    whole = volume[start : start + (last - first) * MINUTES_A_DAY]
    return np.arange(first, last), whole.reshape(-1, MINUTES_A_DAY).sum(axis=1)


def fit_growth(days: NDArray[np.int64], totals: Floats, confidence: float = 0.8) -> Growth:
    """Fit the line. Days without volume are left out: the logarithm of an outage says nothing about growth."""
    busy = totals > 0
    days, totals = days[busy], totals[busy]
    if len(days) < MIN_DAYS:
        whole = f"{len(days)} whole day{'s' if len(days) != 1 else ''}"
        raise TooLittleHistory(f"{whole} of traffic, too few to see growth: {MIN_DAYS} are needed")
    t = (days - days[0]).astype(np.float64)
    logs = np.log(totals)
    x = np.column_stack([np.ones_like(t), t, _weekdays(days)])
    inverse = np.linalg.pinv(x.T @ x)
    beta = inverse @ x.T @ logs
    residual = logs - x @ beta
    free = len(days) - int(np.linalg.matrix_rank(x))
    variance = float(residual @ residual) / free * _inflation(residual)
    trend = beta[0] + beta[1] * t
    return Growth(
        first_day=int(days[0]),
        last_day=int(days[-1]),
        days=len(days),
        level=float(beta[0]),
        slope=float(beta[1]),
        smear=float(totals.sum() / np.exp(trend).sum()),
        confidence=confidence,
        _quantile=float(stdtrit(free, 0.5 + confidence / 2)),
        _covariance=np.asarray(variance * inverse[:2, :2]),
    )


def _weekdays(days: NDArray[np.int64]) -> Floats:
    """[D, 6] weekday effects that sum to zero over a week, so that the line is the week's mean."""
    codes = (days + _EPOCH_WEEKDAY) % 7
    columns = np.zeros((len(days), 6))
    for weekday in range(6):
        columns[:, weekday] = (codes == weekday).astype(np.float64) - (codes == 6)
    return columns


def _inflation(residual: Floats) -> float:
    total = float(residual @ residual)
    together = float(residual[1:] @ residual[:-1]) / total if total > 0 else 0.0
    kept = min(max(together, 0.0), _TOP_AUTOCORRELATION)
    return (1 + kept) / (1 - kept)
