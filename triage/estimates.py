"""Means weighted back for the sampling rates, with their intervals. Pure.

Interactions are drawn with a probability that depends on their outcome, so a plain mean over the scores would speak
of the sample. The estimate is Hajek's: each score weighs one over its rate,

    mean = sum(w y) / sum(w)        var(mean) = n / (n - 1) * sum(w^2 (y - mean)^2) / sum(w)^2

(Taylor linearisation; Saerndal, Swensson and Wretman 1992, section 5.7). Scores of one rate share a stratum, whose
count, sum and sum of squares are integers; with one stratum this is the plain mean with its usual standard error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scipy.special import stdtrit

from schemas.series import SCORE_UNIT
from triage.case import ScoreSummary

LEVEL: Final = 0.95
"""Coverage of the intervals that are shown."""

LEAST_VARIANCE: Final = 1e-12
"""Below this, in squared points, all scores are equal and what is left is rounding."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Scores of one sampling rate: how many, their sum in thousandths, their sum of squares in millionths."""

    rate: float
    count: int
    total: int
    squares: int


def estimate(strata: Sequence[Stratum]) -> ScoreSummary:
    """The summary of what the scores were drawn from; `effective` is the size of a plain sample as exact."""
    filled = sorted((s for s in strata if s.count > 0), key=lambda s: s.rate)
    n = sum(s.count for s in filled)
    if n == 0:
        return ScoreSummary(0, 0.0, 0.0)
    if len(filled) == 1:
        return plain(n, filled[0].total, filled[0].squares)
    weight = math.fsum(s.count / s.rate for s in filled)
    mean = math.fsum(s.total / s.rate for s in filled) / weight / SCORE_UNIT
    around = [max(s.squares / SCORE_UNIT**2 - 2 * mean * s.total / SCORE_UNIT + s.count * mean**2, 0.0) for s in filled]
    correction = n / max(n - 1, 1)
    spread = correction * math.fsum(a / s.rate for a, s in zip(around, filled, strict=True)) / weight
    error = correction * math.fsum(a / s.rate**2 for a, s in zip(around, filled, strict=True)) / weight**2
    kish = weight**2 / math.fsum(s.count / s.rate**2 for s in filled)
    return ScoreSummary(n, mean, spread, kish if spread <= LEAST_VARIANCE else spread / error)


def plain(count: int, total: int, squares: int) -> ScoreSummary:
    """Count, mean and unbiased variance from sums in fixed point."""
    if count == 0:
        return ScoreSummary(0, 0.0, 0.0)
    mean = total / count / SCORE_UNIT
    variance = (squares - total * total / count) / max(count - 1, 1) / SCORE_UNIT**2
    return ScoreSummary(count, mean, max(variance, 0.0))


def interval(summary: ScoreSummary, level: float = LEVEL) -> tuple[float, float] | None:
    """Student's interval for the mean, within the scale of 1 to 5; None for fewer than two scores."""
    if summary.count < 2 or summary.size <= 1.0:
        return None
    half = float(stdtrit(summary.size - 1, 0.5 + level / 2)) * math.sqrt(summary.variance / summary.size)
    return max(1.0, summary.mean - half), min(5.0, summary.mean + half)
