"""The flat part of a budget: it accrues by the hour, and is set aside for the whole month."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from detectors.arrays import HourView
from detectors.base import HOURS
from detectors.burn_calendar import Month
from detectors.burn_flat import FlatCost
from detectors.burn_rate import Budget, BurnRate, BurnRateSettings
from schemas.series import SeriesKey

APRIL = Month.of(int(datetime(2026, 4, 10, tzinfo=UTC).timestamp()) // 60)


@pytest.mark.parametrize(
    ("flat", "after", "dollars"),
    [
        (FlatCost(usd=720), 72, 72),  # a tenth of April
        (FlatCost(usd=720), 720, 720),
        (FlatCost(usd=2, every="hour"), 72, 144),
        (FlatCost(usd=2, every="hour", first_hour=APRIL.first_hour + 70), 72, 4),
        (FlatCost(usd=2, every="hour", end_hour=APRIL.first_hour + 10), 72, 20),
        (FlatCost(usd=2, every="hour", end_hour=APRIL.first_hour - 10), 72, 0),
        (FlatCost(usd=2, every="hour", first_hour=APRIL.end_hour), 720, 0),
    ],
)
def test_it_accrues_evenly_between_its_hours(flat: FlatCost, after: int, dollars: float) -> None:
    """By the hour, or over the hours of the month, from its first hour up to its last."""
    assert flat.accrued(APRIL, APRIL.first_hour + after) == pytest.approx(dollars)


def test_spent_holds_what_has_accrued_and_the_forecast_all_of_it() -> None:
    """A dollar an hour of usage, two of commitment, a third of April gone: 720 spent, 2,160 at its end."""
    hour = APRIL.first_hour + 240
    counts = np.tile(np.array([1, 1_000_000], np.int64), (1, HOURS, 1))
    view = HourView("budget", [SeriesKey("budget", "*", "*", ("b",))], counts, (hour - HOURS) * 60)
    view.tick = hour * 60
    budget = Budget(amount_usd=2_000, flat=(FlatCost(usd=2, every="hour"),))
    [outlook] = BurnRate(BurnRateSettings(budgets={"b": budget})).outlooks(view, np.array([240.0]))
    assert outlook.spent == pytest.approx(720)
    assert outlook.total == pytest.approx(2_160)
    # 2,000 less 1,440 set aside leave 560 dollars of usage: 320 hours more.
    assert outlook.over == (hour + 320) * 60
    assert outlook.affordable == pytest.approx((560 - 240) / 20)
