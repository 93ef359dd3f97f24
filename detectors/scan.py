"""The negative-binomial scan: it looks for a recent window with more events than chance gives.

A window of `w` minutes holds `X` events where `E` are expected. Counts of real traffic scatter more than Poisson's, and
`E` is itself an estimate, so `X` is taken as negative binomial with mean `mu` (`E`, raised by a margin of indifference)
and shape `r`, where `1/r` is the squared coefficient of variation that `E` has for all reasons together:

    P(Y >= X) = I_{mu / (mu + r)}(X, r)             (regularised incomplete beta function)
    score     = -log10 P(Y >= X) - max(0, log10(30 / w))

The second term pays for the looks: there are more short windows in a day than long ones. The largest score over the
windows decides. Where events come in clumps of K, X and E are divided by K (quasi-Poisson, as in Farrington et al.
1996). Source: scan statistics (Naus 1965; Kulldorff 1997), the gamma-Poisson mixture as in Noufaily et al.
2013 (the improved Farrington algorithm).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from detectors.base import Counts, Floats

TOP_SCORE = 300.0
"""Scores end here: a double holds no smaller probability than 1e-308."""

_LOOK_REFERENCE = 30.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The best window of each row that has one. All arrays are [R]."""

    rows: NDArray[np.intp]
    score: Floats
    window: NDArray[np.int64]


def window_matrix(windows: Sequence[int]) -> Floats:
    """[M, W] of ones and zeros: the minutes, M the longest window, that belong to each of the ascending `windows`."""
    return np.asarray(np.arange(windows[-1])[:, None] >= windows[-1] - np.asarray(windows), dtype=np.float64)


def window_sums(counter: Counts, matrix: Floats) -> Floats:
    """[R, W] sums of one counter [R, M] over each window of `window_matrix`; exact below 2**53.

    A matrix product of doubles takes a third of the time that integer sums take.
    """
    return np.asarray(counter.astype(np.float64) @ matrix)


def tail_score(count: Floats, mean: Floats, shape: Floats) -> Floats:
    """-log10 of the chance that a negative binomial with this mean (> 0) and shape (> 0) reaches `count` (>= 1)."""
    tail = betainc(count, shape, mean / (mean + shape))
    return np.asarray(-np.log10(np.maximum(tail, 10.0**-TOP_SCORE)))


def look_penalty(windows: Floats) -> Floats:
    """What a window of `w` minutes pays for being looked at more often than one of 30."""
    return np.asarray(np.maximum(0.0, np.log10(_LOOK_REFERENCE / windows)))


@dataclass(frozen=True, slots=True)
class Scan:
    """The scan's constants.

    `margin` raises the mean; a window takes part from `min_count` events and `min_ratio` times the expected ones on.
    """

    windows: tuple[int, ...]
    margin: float
    min_count: int
    min_ratio: float

    def read(
        self,
        count: Floats,
        expected: Floats,
        allowed: NDArray[np.int64],
        doubt: Floats,
        flutter: Floats,
        clump: Floats,
    ) -> Reading:
        """The best window of each row.

        `count` and `expected` are [R, W]; `allowed` [R] is the longest window that a row may use; the squared
        coefficient of variation of a window of `w` minutes is `doubt + flutter / w`, both [R]. Events that come
        in clumps of `clump` [R] count as so many fewer in the score.
        """
        spans = np.asarray(self.windows, dtype=np.float64)
        gate = (count >= self.min_count) & (count >= self.min_ratio * expected) & (spans <= allowed[:, None])
        row, column = np.nonzero(gate)
        if row.size == 0:
            return Reading(row, np.empty(0), np.empty(0, dtype=np.int64))
        w = spans[column]
        mean = self.margin * expected[row, column] / clump[row]
        shape = 1.0 / (doubt[row] + flutter[row] / w)
        score = tail_score(count[row, column] / clump[row], mean, shape) - look_penalty(w)
        return _best(row, score, w)


def _best(row: NDArray[np.intp], score: Floats, window: Floats) -> Reading:
    """The largest score of each row; of equal ones the shortest window. `row` ascends, and `window` within a row."""
    begins = np.ones(row.size, dtype=np.bool_)
    begins[1:] = row[1:] != row[:-1]
    starts = np.flatnonzero(begins)
    top = np.maximum.reduceat(score, starts)
    hits = np.flatnonzero(score == top[np.cumsum(begins) - 1])
    first = hits[np.searchsorted(hits, starts)]
    return Reading(row[starts], top, window[first].astype(np.int64))
