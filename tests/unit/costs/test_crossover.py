"""Growth, and the date at which it flips the recommendation."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from costs.compare import Comparison, Sizing, compare
from costs.crossover import EPOCH, crossover
from costs.growth import TooLittleHistory, daily_totals, fit_growth
from costs.ptu import PtuModel, PtuPrice, PtuTable, Steps
from costs.traffic import MINUTES_A_DAY, Traffic

START = date(2026, 3, 2)
FIRST_DAY = (START - EPOCH).days
WEEK = np.array([1.2, 1.25, 1.2, 1.15, 1.1, 0.5, 0.6])
MODEL = PtuModel("m", 1_000.0, 4.0, {"global": Steps(15, 5)})


def totals(days: int, growth: float, noise: float = 0.0, seed: int = 1) -> np.ndarray:
    """Daily totals with a week's course; `growth` is a day's, in logarithms."""
    t = np.arange(days)
    scatter = np.exp(noise * np.random.default_rng(seed).standard_normal(days))
    return np.asarray(1e6 * np.exp(growth * t) * WEEK[t % 7] * scatter)


def traffic(days: int, growth: float, noise: float = 0.0, daily: float = 1.0) -> Traffic:
    """Steady within each day; a token costs a dollar a million."""
    tokens = np.repeat(totals(days, growth, noise) * daily / MINUTES_A_DAY, MINUTES_A_DAY)
    none = np.zeros_like(tokens)
    return Traffic("m", np.ones_like(tokens), tokens, none, none, tokens.copy(), FIRST_DAY * MINUTES_A_DAY)


def compared(load: Traffic, unit_usd: float) -> Comparison:
    return compare(load, PtuTable({"m": MODEL}, (PtuPrice("t", {"monthly": Decimal(str(unit_usd))}),)), MODEL, Sizing())


def test_growth_without_noise_is_found_exactly() -> None:
    """The slope is the growth of a day, whatever weekday the history begins and ends on."""
    for days in (14, 45, 90):
        found = fit_growth(np.arange(FIRST_DAY, FIRST_DAY + days), totals(days, 0.01))
        assert found.slope == pytest.approx(0.01)
        assert found.monthly_percent[0] == pytest.approx(100 * (np.exp(0.01 * 365 / 12) - 1))
        week = totals(days + 7, 0.01)[days - 7 : days]
        middle = FIRST_DAY + days - 4
        assert found.volume(middle) == pytest.approx(np.exp(np.log(week / WEEK).mean()), rel=0.02)


def test_the_interval_holds_the_growth_as_often_as_it_says() -> None:
    """80 % of 200 noisy histories: between 70 and 90 % hold the true growth."""
    days = np.arange(FIRST_DAY, FIRST_DAY + 60)
    held = 0
    for seed in range(200):
        _, low, high = fit_growth(days, totals(60, 0.005, noise=0.1, seed=seed)).monthly_percent
        held += low <= 100 * (np.exp(0.005 * 365 / 12) - 1) <= high
    assert 140 <= held <= 180


def test_only_whole_days_count() -> None:
    """A day that the file has only a part of is no low day."""
    minutes = np.ones(3 * MINUTES_A_DAY)
    days, found = daily_totals(minutes, FIRST_DAY * MINUTES_A_DAY + 1)
    assert days.tolist() == [FIRST_DAY + 1, FIRST_DAY + 2]
    assert found.tolist() == [MINUTES_A_DAY, MINUTES_A_DAY]
    assert daily_totals(np.ones(60), FIRST_DAY * MINUTES_A_DAY)[0].size == 0


def test_too_little_history_is_said() -> None:
    """Thirteen days are too few, days without volume do not count."""
    days, found = np.arange(20), totals(20, 0.01)
    found[:7] = 0
    with pytest.raises(TooLittleHistory, match="13 whole days"):
        fit_growth(days, found)
    told = crossover(compared(traffic(10, 0.01), 1.0))
    assert (told.growth, told.flips[0].at) == (None, None)
    assert "10 whole days" in told.why


def test_the_date_of_the_flip_by_hand() -> None:
    """One per cent a day from a million tokens a day; 15 units at 15 dollars pay from 225 dollars a month on."""
    load = traffic(28, np.log(1.01))
    # 225 million tokens in 730 hours; no minute of such a day fills 15 units, which carry 21.6 million.
    wanted_daily = 225e6 / 730 * 24
    found = crossover(compared(load, 15.0))
    flip = next(one for one in found.flips if one.manner == "mix")
    assert (flip.now, flip.to) == ("payg", "ptu")
    assert found.growth is not None
    assert flip.at is not None
    at = (flip.at - EPOCH).days
    volume = flip.volume / 730 * 24 if flip.volume else 0
    assert volume == pytest.approx(wanted_daily)
    assert found.growth.volume(at) >= volume > found.growth.volume(at - 1)
    assert flip.earliest is not None
    assert abs(flip.earliest - flip.at) <= timedelta(days=1)  # without noise there is no doubt


def test_noise_gives_the_date_an_interval() -> None:
    """The date lies within it; a lower confidence is narrower."""
    load = compared(traffic(60, 0.01, noise=0.15), 15.0)
    wide, narrow = (crossover(load, confidence=one).flips[0] for one in (0.95, 0.5))
    dates = [wide.earliest, narrow.earliest, wide.at, narrow.latest, wide.latest]
    known = [one for one in dates if one is not None]
    assert known == sorted(known)
    assert len(known) == len(dates)
    assert known[0] < known[-1]


def test_falling_traffic_flips_back() -> None:
    """What pays now stops to pay when the volume has shrunk below the break-even."""
    load = compared(traffic(60, -0.01, daily=40), 15.0)
    flip = crossover(load).flips[0]
    assert (flip.now, flip.to) == ("ptu", "payg")
    assert flip.at is not None


def test_what_never_flips_has_no_date() -> None:
    """Units that no full load is worth never pay, and steady traffic stays where it is."""
    never = crossover(compared(traffic(60, 0.01), 10_000.0)).flips[0]
    assert (never.now, never.to, never.volume, never.at) == ("payg", None, None, None)
    steady = crossover(compared(traffic(60, 0.0), 15.0)).flips[0]
    assert (steady.now, steady.to, steady.at) == ("payg", "ptu", None)
    assert steady.volume is not None
