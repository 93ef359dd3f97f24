"""The scan's statistics against SciPy's exact distributions and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from detectors.scan import TOP_SCORE, Scan, look_penalty, tail_score, window_matrix, window_sums


@given(st.integers(1, 400), st.floats(0.01, 200), st.floats(0.05, 500))
def test_the_tail_is_the_negative_binomial_one(count: int, mean: float, shape: float):
    """The score is -log10 of SciPy's negative-binomial survival function."""
    exact = stats.nbinom.logsf(count - 1, shape, shape / (shape + mean)) / -np.log(10)
    ours = tail_score(np.array([float(count)]), np.array([mean]), np.array([shape]))[0]
    if exact < 250:
        assert ours == pytest.approx(exact, rel=1e-6, abs=1e-9)


@given(st.integers(1, 60), st.floats(0.5, 30))
def test_without_scatter_the_tail_is_poissons(count: int, mean: float):
    """A huge shape gives the Poisson tail."""
    ours = tail_score(np.array([float(count)]), np.array([mean]), np.array([1e9]))[0]
    assert ours == pytest.approx(-stats.poisson.logsf(count - 1, mean) / np.log(10), rel=1e-4, abs=1e-6)


def test_the_score_is_finite_where_the_tail_is_not():
    """A count beyond all belief has the top score, not infinity."""
    assert tail_score(np.array([1e9]), np.array([1.0]), np.array([50.0]))[0] == TOP_SCORE


@given(st.data())
def test_window_sums_are_sums(data: st.DataObject):
    """Every window's sum is the plain sum of its last minutes."""
    windows = sorted(data.draw(st.sets(st.integers(1, 60), min_size=1, max_size=8)))
    minutes = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 9, (3, 60))
    sums = window_sums(minutes[:, 60 - windows[-1] :], window_matrix(windows))
    for column, window in enumerate(windows):
        assert (sums[:, column] == minutes[:, -window:].sum(axis=1)).all()


def test_a_short_window_pays_for_its_looks():
    """Three minutes pay a whole order of magnitude, half an hour and more nothing."""
    assert look_penalty(np.array([3.0, 30.0, 60.0])) == pytest.approx([1.0, 0.0, 0.0])


@given(st.integers(0, 10_000))
def test_the_best_window_is_the_best(seed: int):
    """The reading of each row is the largest score of a loop over its windows, and windows too long are left out."""
    rng = np.random.default_rng(seed)
    scan = Scan((3, 8, 20, 60), 1.4, 4, 2.0)
    count = np.sort(rng.poisson(6, (5, 4)), axis=1).astype(np.float64)
    expected = np.sort(rng.gamma(1, 2, (5, 4)), axis=1) + 0.01
    allowed, doubt, flutter = rng.choice([5, 30, 100], 5), rng.uniform(0.01, 1, 5), rng.uniform(0, 1, 5)
    clump = rng.choice([1.0, 1.7], 5)
    reading = scan.read(count, expected, allowed, doubt, flutter, clump)
    best: dict[int, tuple[float, int]] = {}
    for row in range(5):
        for column, w in enumerate(scan.windows):
            x, e = count[row, column], expected[row, column]
            if x < 4 or x < 2 * e or w > allowed[row]:
                continue
            shape = 1 / (doubt[row] + flutter[row] / w)
            x, e = x / clump[row], e / clump[row]
            # The survival function for a count that need not be whole, by its definition as an incomplete beta.
            score = -stats.beta.logcdf(1.4 * e / (1.4 * e + shape), x, shape) / np.log(10)
            score -= max(0.0, np.log10(30 / w))
            if row not in best or score > best[row][0]:
                best[row] = (score, w)
    assert dict(zip(reading.rows.tolist(), reading.window.tolist(), strict=True)) == {
        r: w for r, (_, w) in best.items()
    }
    assert reading.score == pytest.approx([best[row][0] for row in sorted(best)], rel=1e-6)
