"""How far a judge agrees with people: rank correlation, quadratic weighted kappa and confusion, with intervals.

Labels are whole scores of 1 to 5; a judge's score may be a mean, so it is rounded for kappa and confusion alone.
Spearman's rho says whether the judge orders as people do, kappa whether it gives the same scores beyond chance, the
bias whether it is harsher (negative) or milder. Intervals are percentile bootstraps over the pairs, with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

RESAMPLES: Final = 2000
SEED: Final = 20_260_301
CONFIDENCE: Final = 0.95
MIN_FOR_INTERVAL: Final = 10
"""Fewer pairs hold too little for a bootstrap to resample from: no interval is better than a narrow wrong one."""

_CHUNK: Final = 1_000_000
"""Most resampled pairs at once."""

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % interval. None where it is not defined: too few pairs, or one side always the same."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement on one criterion. `confusion[label - 1][score - 1]` counts pairs."""

    criterion: str
    pairs: int
    spearman: Estimate
    kappa: Estimate
    bias: Estimate
    confusion: tuple[tuple[int, ...], ...]


def agreement(criterion: str, labels: Sequence[int], scores: Sequence[float]) -> Agreement:
    """The agreement of labels (1 to 5) and scores, pair by pair."""
    label, score = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    whole = rounded(score)
    confusion = np.zeros((5, 5), dtype=np.int64)
    np.add.at(confusion, (label.astype(int) - 1, whole.astype(int) - 1), 1)
    return Agreement(
        criterion,
        len(labels),
        _estimate(spearman, label, score),
        _estimate(kappa, label, whole),
        _estimate(bias, label, score),
        tuple(tuple(int(count) for count in row) for row in confusion),
    )


def rounded(scores: Floats) -> Floats:
    """The nearest whole score; halves go up."""
    return np.clip(np.floor(scores + 0.5), 1, 5)


def spearman(labels: Floats, scores: Floats) -> Floats:
    """Rank correlation along the last axis; NaN where one side is constant. Ties share their mean rank."""
    one, two = _centred(rankdata(labels, axis=-1)), _centred(rankdata(scores, axis=-1))
    return _ratio((one * two).sum(-1), np.sqrt((one**2).sum(-1) * (two**2).sum(-1)))


def kappa(labels: Floats, scores: Floats) -> Floats:
    """Cohen's kappa with quadratic weights along the last axis; NaN where both sides are one same constant.

    The weights' expectation under independence is the sum of both variances and of the squared difference of the means,
    so no table is needed.
    """
    observed = ((labels - scores) ** 2).mean(-1)
    expected = labels.var(-1) + scores.var(-1) + (labels.mean(-1) - scores.mean(-1)) ** 2
    return 1 - _ratio(observed, expected)


def bias(labels: Floats, scores: Floats) -> Floats:
    """The mean of score minus label along the last axis."""
    found: Floats = (scores - labels).mean(-1)
    return found


def _estimate(statistic: Callable[[Floats, Floats], Floats], labels: Floats, scores: Floats) -> Estimate:
    value = float(statistic(labels, scores))
    if np.isnan(value):
        return Estimate(None, None, None)
    if len(labels) < MIN_FOR_INTERVAL:
        return Estimate(value, None, None)
    rng, found = np.random.default_rng(SEED), []
    size = max(1, _CHUNK // len(labels))
    for start in range(0, RESAMPLES, size):
        chosen = rng.integers(0, len(labels), (min(size, RESAMPLES - start), len(labels)))
        found.append(statistic(labels[chosen], scores[chosen]))
    values = np.concatenate(found)
    values = values[~np.isnan(values)]
    if not len(values):
        return Estimate(value, None, None)
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))


def _centred(values: Floats) -> Floats:
    found: Floats = values - values.mean(-1, keepdims=True)
    return found


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(below > 0, above / below, np.nan)
    return found
