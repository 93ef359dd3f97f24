"""`authorization_denials`: its posterior rate, its least count, its recovery."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.arrays import walk
from detectors.authorization_denials import AuthorizationDenials
from detectors.base import Claim
from tests.support.detectors import DAY, START, Counts, run, view_of


def counts_of(minutes: int, calls: int = 10) -> Counts:
    counts = np.zeros((1, minutes, 2), dtype=np.int64)
    counts[0, :, 0] = calls
    return counts


def claims_of(counts: Counts) -> list[tuple[int, Claim]]:
    detector = AuthorizationDenials()
    ticks = range(START + 1, START + counts.shape[1] + 1)
    return [(tick - START, claim) for tick, _, claim in run(detector, view_of(detector, counts), ticks)]


def test_the_rate_is_the_gamma_posterior():
    """After a day of no denials the rate is half a denial over the prior's calls and the decayed ones."""
    detector = AuthorizationDenials()
    *_, (_, memory, _) = walk(detector, view_of(detector, counts_of(DAY)), range(START + 1, START + DAY + 1))
    steps = (DAY - 30) // 5
    calls = 50 * sum(0.5 ** (5 * step / (3 * DAY)) for step in range(steps))
    assert memory["calls"][0] == pytest.approx(calls, rel=1e-4)
    assert memory["rate"][0] == pytest.approx(0.5 / (10_000 + calls), rel=1e-4)


@pytest.mark.parametrize(("denials", "fires"), [(7, False), (8, True)])
def test_it_takes_eight_denials(denials: int, fires: bool):
    """Seven denials in a row are a mistyped scope; the eighth opens."""
    counts = counts_of(900)
    counts[0, 600 : 600 + denials, 1] = 1
    claims = claims_of(counts)
    assert bool(claims) is fires
    if fires:
        tick, claim = claims[0]
        assert tick == 608
        assert claim.onset_minute == START + 600
        assert claim.summary.startswith("8 of ")


def test_usual_denials_are_usual():
    """An agent that is always denied every third call makes no claim once that is known."""
    rng = np.random.default_rng(1)
    counts = counts_of(3 * DAY, calls=3)
    counts[0, :, 1] = rng.poisson(1, 3 * DAY)
    counts[0, :, 0] = np.maximum(counts[0, :, 0], counts[0, :, 1])
    assert [tick for tick, _ in claims_of(counts) if tick > 2 * DAY] == []


def test_it_recovers_when_denials_are_few_again():
    """A quarter of an hour with two denials or fewer, held for the hold time, ends the firing."""
    counts = counts_of(1200)
    counts[0, 600:660, 1] = 2
    counts[0, 660:1200:20, 1] = 1
    claims = claims_of(counts)
    assert [claim.change for _, claim in claims] == ["opened", "recovered"]
    assert 660 + 15 + 10 <= claims[-1][0] <= 660 + 15 + 15
