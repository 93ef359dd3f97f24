"""Provisioned units: sizing by the published formula, prices by term, accrual by the hour."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs.budgets import BudgetRule
from costs.months import Month
from costs.ptu import DeploymentType, PtuPrice, Steps, monthly_usd
from costs.ptu_commitments import Commitment, accrued_micro
from stream.ptu_table import shipped_table

TABLE = shipped_table()
NOVEMBER = Month.parse("2026-11")
hours = st.integers(NOVEMBER.first_hour - 2_000, NOVEMBER.end_hour + 2_000)


@pytest.mark.parametrize(
    ("cached", "kind", "units"), [(0.0, "data_zone", 110), (0.5, "data_zone", 80), (0.0, "regional", 150)]
)
def test_the_published_example(cached: float, kind: DeploymentType, units: int) -> None:
    """Microsoft's own: gpt-5.2, 1,000 calls a minute of 200 tokens in and 20 out."""
    model = TABLE.model("gpt-5.2")
    assert model is not None
    assert model.units(model.normalised(200_000, 200_000 * cached, 20_000), kind) == units


@pytest.mark.parametrize(
    ("steps", "sizes"),
    [
        (Steps(15, 5), [0, 15, 15, 20, 55]),
        (Steps(50, 50), [0, 50, 50, 100, 100]),
        (Steps(25, 50), [0, 25, 25, 50, 100]),
    ],
)
def test_sizes_are_the_minimum_or_a_multiple(steps: Steps, sizes: list[int]) -> None:
    """No load needs none; else the minimum at least, and rounded up."""
    assert [steps.ceil(units) for units in (0, 1, 15, steps.minimum + 0.1, 51)] == sizes
    assert all(steps.nth(steps.place(size)) == size for size in (steps.minimum, *(steps.nth(n) for n in range(9))))


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.sampled_from(sorted(TABLE.models)))
def test_more_load_never_needs_fewer_units(one: float, other: float, name: str) -> None:
    """Sizing is monotone, and what it gives carries the load."""
    model = TABLE.models[name]
    low, high = sorted((one, other))
    assert model.units(low, "global") <= model.units(high, "global")
    assert model.units(high, "global") * model.input_tpm >= high * (1 - 1e-9)


def test_a_date_in_the_name_of_a_model_does_not_matter() -> None:
    """Deployments are named with the model's version."""
    assert TABLE.model("gpt-5-2025-08-07") is TABLE.models["gpt-5"]
    assert TABLE.model("gpt-6") is None


def test_the_most_precise_price_counts() -> None:
    """A contract goes before the list, a contract for a region and a model before one for all."""
    plain = PtuPrice("plain", {"hourly": Decimal(2)})
    exact = PtuPrice("exact", {"hourly": Decimal(3)}, region="north", model="gpt-5")
    table = TABLE.with_prices([plain, exact])
    found = [table.price("hourly", "global", *at) for at in (("north", "gpt-5"), ("north", "o3"), ("*", "*"))]
    assert [price.source for price in found if price] == ["exact", "plain", "plain"]
    monthly = table.price("monthly", "global")
    assert monthly is not None
    assert "not verified" in monthly.source
    assert table.price("yearly", "regional") is None
    assert monthly_usd(plain, "hourly") == 1_460


def reservation(**changes: object) -> Commitment:
    given = {"units": 65, "term": "monthly", "micro_per_unit": 260_000_001, "first_hour": 0, **changes}
    return Commitment("r", **given)  # type: ignore[arg-type]


def test_a_reserved_month_accrues_evenly_and_whole() -> None:
    """65 units at 260 dollars: a third of November is a third of it, and all of it is the price to the micro-dollar."""
    one = reservation(micro_per_unit=260_000_000)
    start = NOVEMBER.first_hour
    assert one.accrued_micro(start, start + 240) == 16_900_000_000 // 3 + 0
    assert one.accrued_micro(*NOVEMBER) == 16_900_000_000
    assert one.accrued_micro(start, start + 2 * 720) == 16_900_000_000 + one.accrued_micro(start + 720, start + 1_440)


def test_an_hourly_commitment_costs_by_the_hour_between_its_dates() -> None:
    """15 units at 1 dollar from the second to the fourth hour of the month: 45 dollars, used or not."""
    start = NOVEMBER.first_hour
    one = reservation(units=15, term="hourly", micro_per_unit=1_000_000, first_hour=start + 1, end_hour=start + 4)
    assert one.accrued_micro(*NOVEMBER) == 45_000_000
    assert one.accrued_micro(start + 4, NOVEMBER.end_hour) == 0


@given(st.lists(hours, min_size=2, max_size=6), st.sampled_from(["hourly", "monthly", "yearly"]))
def test_neighbouring_spans_add_up_exactly(cuts: list[int], term: str) -> None:
    """However a time is cut, the parts are the whole, to the micro-dollar."""
    one = reservation(term=term)
    cuts = sorted(cuts)
    parts = sum(one.accrued_micro(a, b) for a, b in pairwise(cuts))
    assert parts == one.accrued_micro(cuts[0], cuts[-1])


def test_a_commitment_counts_where_it_says() -> None:
    """A named budget pays alone; else every budget that would cover such usage."""
    named, open_one = reservation(budget="a", system="s"), reservation(system="s", tags=(("cost-center", "1"),))
    rules = [BudgetRule("a"), BudgetRule("b", system="s"), BudgetRule("c", tags=(("cost-center", "2"),))]
    assert [named.counts_against(rule) for rule in rules] == [True, False, False]
    assert [open_one.counts_against(rule) for rule in rules] == [True, True, False]
    assert accrued_micro([named, open_one], rules[0], *NOVEMBER) == 2 * named.accrued_micro(*NOVEMBER)


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "26-01", "1999-12", "2026-1", "2026-11-01", ""])
def test_months_that_do_not_exist_are_refused(text: str) -> None:
    """A month is YYYY-MM, from 01 to 12."""
    with pytest.raises(ValueError, match=r"month"):
        Month.parse(text)
