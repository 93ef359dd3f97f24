"""The exact tests, held to SciPy's distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from triage.case import Rate, ScoreSummary
from triage.statistics import (
    MAX_SUPPORT,
    binomial_greater,
    bonferroni,
    conditional_greater,
    fisher_greater,
    fisher_less,
    rounded,
    welch_greater,
    welch_less,
)

tables = st.tuples(st.integers(1, 400), st.integers(1, 4000)).flatmap(
    lambda totals: st.tuples(
        st.integers(0, totals[0]), st.just(totals[0]), st.integers(0, totals[1]), st.just(totals[1])
    )
)


@given(tables)
def test_fisher_is_scipys_fisher(table):
    """With odds 1 both sides agree with scipy.stats.fisher_exact."""
    x, m, y, n = table
    cells = np.array([[x, m - x], [y, n - y]])
    assert fisher_greater(Rate(x, m, 1), Rate(y, n, 1)) == pytest.approx(
        stats.fisher_exact(cells, alternative="greater").pvalue, rel=1e-6, abs=1e-12
    )
    assert fisher_less(Rate(x, m, 1), Rate(y, n, 1)) == pytest.approx(
        stats.fisher_exact(cells, alternative="less").pvalue, rel=1e-6, abs=1e-12
    )


@given(tables, st.sampled_from([0.5, 1.25, 2.0, 5.0]))
def test_fisher_with_odds_is_the_noncentral_hypergeometric(table, odds):
    """Against other odds the tail is that of scipy.stats.nchypergeom_fisher."""
    x, m, y, n = table
    exact = stats.nchypergeom_fisher(m + n, x + y, m, odds).sf(x - 1)
    assert fisher_greater(Rate(x, m, 1), Rate(y, n, 1), odds) == pytest.approx(min(exact, 1.0), rel=1e-5, abs=1e-9)


@given(st.integers(0, 500), st.integers(0, 500), st.floats(1, 1e4), st.floats(1, 1e4), st.floats(0.5, 5))
def test_conditional_test_is_a_binomial_test(x, y, exposure, reference, ratio):
    """Two Poisson rates are compared by the binomial test of one count given the sum."""
    share = ratio * exposure / (ratio * exposure + reference)
    exact = stats.binomtest(x, x + y, share, alternative="greater").pvalue if x + y else 1.0
    assert conditional_greater(x, exposure, y, reference, ratio) == pytest.approx(exact, rel=1e-6, abs=1e-12)


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1))
def test_binomial_tail_is_scipys(hits, trials, probability):
    """P(X >= hits) is the survival function of the binomial distribution."""
    exact = float(stats.binom.sf(hits - 1, trials, probability))
    assert binomial_greater(hits, trials, probability) == pytest.approx(exact, rel=1e-6, abs=1e-12)


@given(st.floats(1, 5), st.floats(0.1, 2), st.integers(2, 500), st.floats(1, 5), st.floats(0.1, 2), st.integers(2, 500))
def test_welch_is_scipys(mean, variance, count, mean_before, variance_before, count_before):
    """Without margin and floor the p-value is that of scipy's t test with unequal variances."""
    sides = (mean, math.sqrt(variance), count, mean_before, math.sqrt(variance_before), count_before)
    exact = stats.ttest_ind_from_stats(*sides, equal_var=False, alternative="less").pvalue
    recent = ScoreSummary(count, mean, variance)
    reference = ScoreSummary(count_before, mean_before, variance_before)
    assert welch_less(recent, reference) == pytest.approx(exact, rel=1e-6, abs=1e-12)


def test_welch_knows_a_drop_from_stability():
    """A drop of a point is a drop; equal means rule a drop of 0.6 out; the two claims exclude each other."""
    before = ScoreSummary(1_000, 4.3, 0.5)
    fallen, level = ScoreSummary(40, 3.3, 0.5), ScoreSummary(40, 4.3, 0.5)
    assert welch_less(fallen, before, margin=0.15) < 1e-6 < welch_less(level, before, margin=0.15)
    assert welch_greater(level, before, margin=0.6) < 1e-4 < 0.9 < welch_greater(fallen, before, margin=0.6)


def test_the_floor_keeps_equal_scores_from_proving_too_much():
    """Three fours after a thousand fives-and-fours prove less once variance has a floor."""
    recent, before = ScoreSummary(3, 4.0, 0.0), ScoreSummary(1_000, 4.3, 0.0)
    assert welch_less(recent, before) == 0.0
    assert welch_less(recent, before, floor=0.16) > 0.05


@pytest.mark.parametrize("empty", [Rate(0, 0, 0), Rate(0, 10, 1)])
def test_no_hits_prove_nothing(empty):
    """Neither an empty sample nor one without hits is ever significantly high."""
    assert fisher_greater(empty, Rate(5, 100, 1)) == 1.0
    assert conditional_greater(0, 10, 5, 10) == 1.0


def test_wide_tables_fall_back_to_the_conservative_test():
    """Above the widest table the conditional binomial test answers, quickly and not too boldly."""
    many = 5 * MAX_SUPPORT
    equal = fisher_greater(Rate(many, 2 * many, 1), Rate(many, 2 * many, 1))
    more = fisher_greater(Rate(many + many // 10, 2 * many, 1), Rate(many, 2 * many, 1))
    assert more < 1e-6 < 0.1 < equal


def test_contradictory_counts_are_clipped():
    """More hits than trials is read as all of them."""
    assert fisher_greater(Rate(7, 5, 1), Rate(-1, 100, 1)) == fisher_greater(Rate(5, 5, 1), Rate(0, 100, 1))


def test_corrections_and_rounding():
    """Bonferroni never exceeds 1, and rounding keeps significant digits and drops what JSON cannot say."""
    assert bonferroni(0.3, 5) == 1.0
    assert bonferroni(0.01, 3) == 0.03
    assert rounded(0.000123456) == 0.0001235
    assert rounded(math.inf) == 0.0
