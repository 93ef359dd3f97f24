"""Estimates that are weighted back: unbiased, with intervals that cover."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.series import SCORE_UNIT
from triage.estimates import Stratum, estimate, interval, plain

RATES = {"resolved": 2 ** (-16 / 4), "escalated": 0.5}


def sampled(rng: np.random.Generator, size: int = 4000) -> tuple[float, list[Stratum]]:
    """A population of good resolved and bad escalated interactions, its mean, and what was drawn from it."""
    escalated = rng.random(size) < 0.1
    scores = np.where(escalated, rng.integers(1, 4, size), rng.integers(3, 6, size))
    strata = []
    for mask, rate in ((escalated, RATES["escalated"]), (~escalated, RATES["resolved"])):
        drawn = scores[mask & (rng.random(size) < rate)] * SCORE_UNIT
        strata.append(Stratum(rate, len(drawn), int(drawn.sum()), int((drawn**2).sum())))
    return float(scores.mean()), strata


def test_the_estimate_is_unbiased_and_its_interval_covers() -> None:
    """Over 2,000 samples the error averages to nothing, the plain mean's does not, and 95 % intervals cover."""
    errors, plain_errors, covered = [], [], 0
    for seed in range(2000):
        truth, strata = sampled(np.random.default_rng(seed))
        found = estimate(strata)
        bounds = interval(found)
        assert bounds is not None
        covered += bounds[0] <= truth <= bounds[1]
        errors.append(found.mean - truth)
        unweighted = plain(*(sum(getattr(s, part) for s in strata) for part in ("count", "total", "squares")))
        plain_errors.append(unweighted.mean - truth)
    standard_error = float(np.std(errors)) / math.sqrt(len(errors))
    assert abs(float(np.mean(errors))) < 4 * standard_error
    assert float(np.mean(plain_errors)) < -0.5
    assert 0.93 <= covered / 2000 <= 0.97


@given(st.lists(st.integers(1000, 5000), min_size=1, max_size=50), st.floats(0.001, 1.0))
def test_one_rate_is_the_plain_mean(scores: list[int], rate: float) -> None:
    """Equal weights change nothing, to the bit."""
    stratum = Stratum(rate, len(scores), sum(scores), sum(score**2 for score in scores))
    assert estimate([stratum]) == plain(len(scores), sum(scores), sum(score**2 for score in scores))


@given(st.lists(st.tuples(st.integers(0, 80), st.lists(st.integers(1000, 5000), min_size=1, max_size=9)), max_size=6))
def test_strata_in_any_order_give_the_same(groups: list[tuple[int, list[int]]]) -> None:
    """The mean lies among the scores, the effective size between one and the count, whatever the order."""
    strata = [Stratum(2 ** (-k / 4), len(s), sum(s), sum(v**2 for v in s)) for k, s in dict(groups).items()]
    found = estimate(strata)
    assert found == estimate(strata[::-1])
    if strata:
        every = [score / SCORE_UNIT for k, s in dict(groups).items() for score in s]
        assert min(every) - 1e-9 <= found.mean <= max(every) + 1e-9
        assert found.size > 0


def test_intervals_grow_with_less_and_stay_on_the_scale() -> None:
    """Fewer scores, a wider interval; one score, none; and never beyond 1 to 5."""
    widths = []
    for copies in (2, 5, 50):
        bounds = interval(plain(2 * copies, 6000 * copies, 20_000_000 * copies))
        assert bounds is not None
        widths.append(bounds[1] - bounds[0])
    assert all(a > b for a, b in pairwise(widths))
    assert interval(plain(1, 5000, 25_000_000)) is None
    narrow = interval(plain(3, 14_900, 74_010_000))
    assert narrow is not None
    assert narrow[1] <= 5.0
    assert narrow[0] == pytest.approx(4.82, abs=0.01)
