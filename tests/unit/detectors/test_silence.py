"""`silence`: who is missed, who is not, and when it ends."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.base import Claim
from detectors.silence import Silence, SilenceSettings
from tests.support.detectors import DAY, START, run, view_of

WEEK = 7 * DAY


def claims_of(rate: np.ndarray, step: int = 5, **settings: object) -> list[tuple[int, Claim]]:
    """Claims about one flow with these expected interactions a minute [M]; the world begins on a Monday."""
    n = np.random.default_rng(1).poisson(rate)
    counts = np.stack([n, 0 * n, 0 * n], axis=1)[None]
    detector = Silence(SilenceSettings.model_validate(settings))
    ticks = range(START + step, START + len(rate) + 1, step)
    return [(tick - START, claim) for tick, _, claim in run(detector, view_of(detector, counts), ticks)]


def test_a_busy_flow_is_missed_within_minutes_and_ends_when_it_speaks():
    """A flow of four a minute that stops pages at the shortest gap, and its firing ends soon after it speaks."""
    rate = np.full(9 * DAY, 4.0)
    stop, back = 8 * DAY + 300, 8 * DAY + 420
    rate[stop:back] = 0
    claims = claims_of(rate)
    assert [claim.change for _, claim in claims if claim.change != "raised"] == ["opened", "recovered"]
    opened, recovered = claims[0][0], claims[-1][0]
    assert stop + 10 <= opened <= stop + 30
    assert back < recovered <= back + 15
    assert claims[0][1].onset_minute - START == pytest.approx(stop, abs=2)
    assert "no interaction for" in claims[0][1].summary
    assert claims[-1][1].summary == f"speaks again after {claims[-1][1].evidence['gap_minutes']} min"
    assert claims[-1][1].evidence["gap_minutes"] == pytest.approx(back - stop, abs=6)


def test_a_slow_flow_is_missed_later():
    """With five an hour a gap of an hour is chance; one of a day is not."""
    rate = np.full(10 * DAY, 5 / 60)
    rate[8 * DAY : 9 * DAY + 720] = 0
    opened = claims_of(rate)[0][0]
    assert 8 * DAY + 120 < opened < 9 * DAY + 720


def test_nobody_works_at_the_weekend():
    """Office hours on weekdays: neither nights nor weekends nor a late start on Monday fire."""
    minute = np.arange(22 * DAY)
    office = (minute % DAY >= 540) & (minute % DAY < 1020) & (minute // DAY % 7 < 5)
    rate = np.where(office, 10.0, 0.0)
    late = 21 * DAY + 540
    rate[late : late + 25] = 0
    assert claims_of(rate) == []


def test_a_monday_that_stays_silent_is_missed():
    """The same flow, silent through a whole Monday morning, fires that morning."""
    minute = np.arange(22 * DAY)
    rate = np.where((minute % DAY >= 540) & (minute % DAY < 1020) & (minute // DAY % 7 < 5), 10.0, 0.0)
    rate[21 * DAY :] = 0
    opened = claims_of(rate)[0][0]
    assert 21 * DAY + 600 <= opened <= 21 * DAY + 720


def test_without_a_week_of_history_nobody_is_missed():
    """A flow that stops on its sixth day makes no claim."""
    rate = np.full(WEEK, 4.0)
    rate[5 * DAY :] = 0
    assert claims_of(rate) == []


def test_a_flow_that_fades_out_is_not_missed():
    """A flow that halves every day until nothing is left does not fire."""
    rate = np.concatenate([np.full(10 * DAY, 2.0), 2.0 * 0.5 ** (np.arange(13 * DAY) / DAY), np.zeros(2 * DAY)])
    assert claims_of(rate) == []


def test_a_flow_that_never_returns_is_retired():
    """After the retirement time the firing ends, and says so; it does not fire again."""
    rate = np.full(12 * DAY, 4.0)
    rate[8 * DAY :] = 0
    claims = claims_of(rate, retire_hours=48)
    assert [claim.change for _, claim in claims if claim.change != "raised"] == ["opened", "recovered"]
    assert claims[-1][1].summary.endswith("taken as retired")
