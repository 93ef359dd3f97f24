"""When it began: the change point by maximum likelihood.

With `e` events expected in each minute before the change and `q e` after it, a change at minute `k` is as likely as

    llr(k) = X_k log(X_k / E_k) - (X_k - E_k),      X_k, E_k = sums from k to now,  q = X_k / E_k > 1

(Poisson, `q` at its maximum). The estimate is the `k` with the largest `llr`. All `k` within `SLACK` of it are
plausible too (Hinkley 1970): they bound when it began, and what was deployed after the last of them did not cause it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

from detectors.base import Counts, Floats

SLACK = 2.0
"""Units of log-likelihood below the maximum that still count as plausible: about 95 % for one parameter."""


class Onset(NamedTuple):
    """Minutes: the best estimate, and the earliest and latest that are plausible."""

    minute: int
    earliest: int
    latest: int


def rise(count: Counts, expected: Floats, end: int) -> Onset:
    """The minute in which `count` [M] began to exceed `expected` [M]; the last of the minutes is `end - 1`.

    Without any excess the answer is the last minute.
    """
    later = np.cumsum(count[::-1])[::-1].astype(np.float64)
    norm = np.maximum(np.cumsum(expected[::-1])[::-1], 1e-9)
    llr = np.where(later > norm, xlogy(later, later / norm) - (later - norm), 0.0)
    # A change can only begin with an event; a start in an empty minute would put it too early.
    llr = np.where(count > 0, llr, -np.inf)
    start = end - len(count)
    best = int(np.argmax(llr))
    if not llr[best] > 0:
        return Onset(end - 1, end - 1, end - 1)
    plausible = np.flatnonzero(llr >= llr[best] - SLACK)
    return Onset(start + best, start + int(plausible[0]), start + int(plausible[-1]))


def fall(count: Counts, total: Floats, expected: float, variance: float, end: int) -> Onset:
    """The minute in which the mean of scores began to fall below `expected`; by the hour, up to the full hour `end`.

    `count` [H] and `total` [H] are the scores of each hour and their sum. The log-likelihood ratio of a change of mean
    at hour `k` is `n_k (expected - mean_k)^2 / (2 variance)` over the hours from `k` on (normal scores).
    """
    n = np.cumsum(count[::-1])[::-1].astype(np.float64)
    lack = n * expected - np.cumsum(total[::-1])[::-1]
    llr = np.where((lack > 0) & (count > 0), lack**2 / (2 * np.maximum(n, 1) * max(variance, 1e-6)), -np.inf)
    start = end // 60 - len(count)
    best = int(np.argmax(llr))
    if not llr[best] > 0:
        return Onset(end - 60, end - 60, end - 60)
    plausible = np.flatnonzero(llr >= llr[best] - SLACK)
    return Onset(60 * (start + best), 60 * (start + int(plausible[0])), 60 * (start + int(plausible[-1])))
