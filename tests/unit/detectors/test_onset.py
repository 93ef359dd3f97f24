"""The change point: near the truth, bounded, and never beyond the data."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import onset


@pytest.mark.parametrize(("volume", "slack"), [(1.0, 8), (5.0, 3), (100.0, 1)])
def test_a_rise_is_found_where_it_began(volume: float, slack: int):
    """In half of the draws at least the onset is found within a few minutes, fewer the more there is to see."""
    errors = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        expected = np.full(120, volume * 0.05)
        errors.append(
            onset.rise(rng.poisson(np.where(np.arange(120) < 90, expected, 5 * expected)), expected, 1000).minute - 970
        )
    assert np.median(np.abs(errors)) <= slack


def test_the_bounds_hold_the_truth():
    """The plausible interval holds the true minute in nine of ten draws."""
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        expected = np.full(120, 0.5)
        found = onset.rise(rng.poisson(np.where(np.arange(120) < 90, 0.5, 3.0)), expected, 1000)
        assert found.earliest <= found.minute <= found.latest < 1000
        held += found.earliest <= 970 <= found.latest
    assert held >= 90


def test_nothing_above_the_expected_is_now():
    """Without an excess the answer is the last minute."""
    assert onset.rise(np.zeros(10, dtype=np.int64), np.ones(10), 50) == onset.Onset(49, 49, 49)


def test_a_fall_of_scores_is_found():
    """The hour in which scores fell is found; without a fall it is the last hour."""
    n = np.full(48, 10)
    total = n * np.where(np.arange(48) < 40, 4.2, 3.4)
    assert onset.fall(n, total, 4.1, 0.5, 4800).minute == 4800 - 8 * 60
    assert onset.fall(n, n * 4.2, 4.1, 0.5, 4800).minute == 4740
