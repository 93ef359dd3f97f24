"""`burn_rate`: calendar months, seasonal weights, the forecast."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from detectors.arrays import HourView
from detectors.base import HOURS, Claim
from detectors.burn_calendar import Month, SpendProfile
from detectors.burn_rate import Budget, BurnRate, BurnRateSettings
from schemas.series import SeriesKey
from tests.support.detectors import run

MARCH = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()) // 3600
FEBRUARY = int(datetime(2024, 2, 1, tzinfo=UTC).timestamp()) // 3600


def claims_of(cost: np.ndarray, amount: float, flat: float = 0.0, start: int = FEBRUARY) -> list[tuple[float, Claim]]:
    """Claims about one budget, and the day since `start` of each; `cost` is dollars by the hour."""
    counts = np.stack([np.full(len(cost), 10), np.rint(cost * 1e6).astype(np.int64)], axis=1)[None]
    view = HourView("budget", [SeriesKey("budget", "prod", "s", ("team",))], counts, start * 60)
    detector = BurnRate(BurnRateSettings(budgets={"team": Budget(amount_usd=amount, flat_usd=flat)}))
    claims = run(detector, view, range(view.start + 60, view.end + 1, 60))
    return [((tick - view.start) / 1440, claim) for tick, _, claim in claims]


def spend(days: int, daily: float, seed: int = 1) -> np.ndarray:
    """A weekly and daily course with a little noise, `daily` dollars on average."""
    t = np.arange(days * 24)
    course = (1 + 0.6 * np.cos(2 * np.pi * t / 24)) * np.where(t // 24 % 7 < 5, 1.2, 0.5)
    return daily / 24 * course * np.random.default_rng(seed).gamma(50, 1 / 50, len(t))


@pytest.mark.parametrize(
    ("at", "first", "end"),
    [
        ("2024-02-29T23:59", "2024-02-01", "2024-03-01"),
        ("2024-12-31T00:00", "2024-12-01", "2025-01-01"),
        ("2023-01-01T00:00", "2023-01-01", "2023-02-01"),
    ],
)
def test_months_are_calendar_months_in_utc(at: str, first: str, end: str):
    """A month runs from its first hour to the next month's, leap years and year ends included."""
    hours = [int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // 3600 for text in (at, first, end)]
    assert Month.of(hours[0] * 60) == Month(hours[1], hours[2])


def test_the_profile_finds_the_week():
    """The weights of a noiseless week are its course, and weights of a whole week sum to the same every week."""
    t = np.arange(HOURS) + (MARCH - HOURS)
    course = (1 + 0.6 * np.cos(2 * np.pi * t / 24)) * np.where((t // 24 + 3) % 7 < 5, 1.2, 0.5)
    profile = SpendProfile.of(course[None], MARCH, np.array([0]))
    expected = course[-168:] / course.mean()
    weights = np.array([profile.weight(hour, hour + 1)[0] for hour in range(MARCH - 168, MARCH)])
    assert weights == pytest.approx(expected, rel=1e-6)
    assert profile.ahead(MARCH, MARCH + 168)[0] == pytest.approx(weights.sum())


def test_unknown_hours_are_not_zero():
    """Ten days of history give the same weights as four weeks of the same, not less for the hours before."""
    t = np.arange(HOURS) + (MARCH - HOURS)
    course = np.where((t // 24 + 3) % 7 < 5, 1.2, 0.5)
    short = np.where(t >= MARCH - 240, course, 0.0)
    young = SpendProfile.of(short[None], MARCH, np.array([MARCH - 240]))
    old = SpendProfile.of(course[None], MARCH, np.array([0]))
    assert young.covered[0] == 240
    assert young.week[0] / young.week[0].mean() == pytest.approx(old.week[0] / old.week[0].mean(), rel=1e-6)


def test_a_month_that_will_run_over_pages_with_a_forecast():
    """Spend doubles in mid-month: a page within days, a forecast and a date that come true."""
    cost = spend(29 + 31, 100)
    jump = (29 + 10) * 24
    cost[jump:] *= 2
    amount = 1.3 * 3100
    claims = claims_of(cost, amount)
    day, page = next((day, claim) for day, claim in claims if claim.tier == "page")
    assert 39 < day < 45
    march = cost[29 * 24 :].cumsum()
    over = MARCH * 60 + 60 * (int(np.argmax(march > amount)) + 1)
    said = int(datetime.fromisoformat(page.evidence["overrun_at"]).timestamp()) // 60
    assert abs(said - over) <= 4 * 1440
    assert page.observed > page.threshold > page.baseline
    assert "used up on 2024-03-" in page.summary


def test_the_forecast_holds_the_truth():
    """In a steady month that runs over from the start the 80 % interval holds the truth in most draws."""
    held = 0
    for seed in range(6):
        cost = spend(29 + 31, 100, seed)
        truth = cost[29 * 24 :].sum()
        claims = claims_of(cost, 0.6 * truth)
        opened = next(claim for day, claim in claims if claim.change == "opened" and day > 29)
        held += opened.evidence["forecast_low_usd"] < truth < opened.evidence["forecast_high_usd"]
        assert opened.evidence["forecast_usd"] == pytest.approx(truth, rel=0.06)
    assert held >= 4


def test_a_budget_that_lasts_is_left_alone():
    """A steady month of 90 % of its budget makes no claim, nor does one bad day."""
    cost = spend(29 + 31, 100)
    cost[40 * 24 : 41 * 24] *= 3
    assert claims_of(cost, 3500) == []


def test_flat_costs_cannot_run_over():
    """What is paid anyway is taken from the budget first: the same usage fits, or not, in what remains."""
    cost = spend(29 + 31, 100)
    assert claims_of(cost, 8500, flat=5000) == []
    assert [claim.tier for _, claim in claims_of(cost, 6500, flat=5000) if claim.tier == "page"] != []


def test_a_firing_ends_with_its_month():
    """A firing of February ends as March begins; March is judged anew, after six hours of it."""
    claims = claims_of(spend(29 + 31, 100), 2000)
    changes = [(day, claim.change) for day, claim in claims if claim.change != "raised"]
    ended = next(day for day, change in changes if change == "recovered")
    reopened = next(day for day, change in changes if change == "opened" and day > ended)
    assert ended == pytest.approx(29, abs=1 / 24)
    assert reopened >= ended + 6 / 24


def test_the_start_of_a_long_month_is_not_forgotten():
    """On the 31st, spend of the 1st, which no window holds any more, still counts."""
    cost = spend(29 + 31, 100)
    cost[29 * 24 : 31 * 24] *= 10
    claims = claims_of(cost, 5000)
    spent = cost[29 * 24 :].sum()
    last = next(claim for day, claim in reversed(claims) if day > 30)
    assert spent > 5000
    assert last.evidence["spent_usd"] <= spent
    view_claims = [claim.evidence["spent_usd"] for day, claim in claims if day > 29.5]
    assert max(view_claims) > cost[29 * 24 : 31 * 24].sum()


def test_a_budget_without_an_amount_is_not_judged():
    """A budget that the settings do not name makes no claim, however fast it burns."""
    counts = np.stack([np.full(720, 10), np.full(720, 10**9)], axis=1)[None]
    view = HourView("budget", [SeriesKey("budget", "prod", "s", ("other",))], counts, FEBRUARY * 60)
    detector = BurnRate(BurnRateSettings(budgets={"team": Budget(amount_usd=1.0)}))
    assert run(detector, view, range(view.start + 60, view.end + 1, 60)) == []
