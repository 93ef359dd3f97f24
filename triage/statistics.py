"""The exact tests that the checks share.

Every test is one-sided and compares a recent sample with a reference, allowing for a stated natural variation: an odds
ratio, a ratio of rates or a margin in points that is not yet news. A sample without observations proves nothing, so
its p-value is 1. Counts that contradict themselves (more hits than trials) are clipped, never an error.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.special import betainc, gammaln, stdtr

from triage.case import Rate, ScoreSummary

MAX_SUPPORT: Final = 100_000
"""Widest table that Fisher's test sums term by term; above it the conditional binomial test stands in."""


def _table(recent: Rate, reference: Rate) -> tuple[int, int, int, int]:
    m, n = max(recent.total, 0), max(reference.total, 0)
    return min(max(recent.hits, 0), m), m, min(max(reference.hits, 0), n), n


def fisher_greater(recent: Rate, reference: Rate, odds: float = 1.0) -> float:
    """P-value of H0 "the odds of a hit are at most `odds` times the reference's" (Fisher's exact test).

    The tail of Fisher's noncentral hypergeometric distribution, given both margins; with `odds` 1 it is the usual test.
    Where the table is too wide to sum, the conditional binomial test of rates takes its place, which is conservative.
    """
    x, m, y, n = _table(recent, reference)
    if x == 0 or n == 0:
        return 1.0
    low, high = max(0, x + y - n), min(m, x + y)
    if high - low > MAX_SUPPORT:
        return conditional_greater(x, m, y, n, odds)
    hits = np.arange(low, high + 1, dtype=np.float64)
    drawn = float(x + y)
    weights = hits * math.log(odds) - (
        gammaln(hits + 1) + gammaln(m - hits + 1) + gammaln(drawn - hits + 1) + gammaln(n - drawn + hits + 1)
    )
    terms = np.exp(weights - weights.max())
    return float(min(1.0, terms[x - low :].sum() / terms.sum()))


def fisher_less(recent: Rate, reference: Rate, odds: float = 1.0) -> float:
    """P-value of H0 "the odds of a hit are at least `odds` times the reference's": small proves that they are lower."""
    x, m, y, n = _table(recent, reference)
    if m == 0 or n == 0:
        return 1.0
    missed = Rate(m - x, m, recent.minutes), Rate(n - y, n, reference.minutes)
    if x == m:
        return 1.0
    return fisher_greater(*missed, odds=1.0 / odds)


def conditional_greater(x: int, exposure: float, y: int, reference_exposure: float, ratio: float = 1.0) -> float:
    """P-value of H0 "the rate `x / exposure` is at most `ratio` times `y / reference_exposure`".

    The conditional test of two Poisson rates (Przyborowski and Wilenski 1940): given `x + y`, the first count is
    binomial. Exposures are minutes or trials; without either the answer is 1.
    """
    if x <= 0 or exposure <= 0 or reference_exposure <= 0:
        return 1.0
    share = ratio * exposure / (ratio * exposure + reference_exposure)
    return binomial_greater(x, x + max(y, 0), share)


def binomial_greater(hits: int, trials: int, probability: float) -> float:
    """P(X >= hits) for X binomial(`trials`, `probability`): the exact binomial test, upper side."""
    if hits <= 0:
        return 1.0
    if hits > trials:
        return 0.0
    return float(betainc(hits, trials - hits + 1, min(max(probability, 0.0), 1.0)))


def welch_less(recent: ScoreSummary, reference: ScoreSummary, margin: float = 0.0, floor: float = 0.0) -> float:
    """P-value of H0 "the recent mean is at most `margin` points below the reference mean" (Welch's t test).

    `floor` is the least variance believed: a handful of equal scores does not prove that scores do not vary.
    Fewer than two scores on either side prove nothing.
    """
    return _welch(recent, reference, -margin, floor)


def welch_greater(recent: ScoreSummary, reference: ScoreSummary, margin: float = 0.0, floor: float = 0.0) -> float:
    """P-value of H0 "the recent mean is `margin` points or more below the reference mean": small proves it is not."""
    flipped = ScoreSummary(recent.count, -recent.mean, recent.variance, recent.effective)
    past = ScoreSummary(reference.count, -reference.mean, reference.variance, reference.effective)
    return _welch(flipped, past, margin, floor)


def _welch(recent: ScoreSummary, reference: ScoreSummary, shift: float, floor: float) -> float:
    if min(recent.size, reference.size) <= 1 or min(recent.count, reference.count) < 2:
        return 1.0
    a = max(recent.variance, floor) / recent.size
    b = max(reference.variance, floor) / reference.size
    difference = recent.mean - reference.mean - shift
    if a + b <= 0.0:
        return 0.0 if difference < 0 else 1.0
    freedom = (a + b) ** 2 / (a**2 / (recent.size - 1) + b**2 / (reference.size - 1))
    return float(stdtr(freedom, difference / math.sqrt(a + b)))


def bonferroni(p_value: float, tests: int) -> float:
    """The p-value of the best of `tests` tests."""
    return min(1.0, p_value * max(tests, 1))


def rounded(value: float, digits: int = 4) -> float:
    """`value` to `digits` significant digits, so that evidence reads well and is the same on every platform."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else 0.0
