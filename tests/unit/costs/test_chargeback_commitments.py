"""Flat commitments shared out: exactly, by normalised tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs.chargeback_commitments import allocate, largest_remainder
from costs.months import Month
from costs.tags_policy import Commitment, Policy
from stream.ptu_table import shipped_table
from tests.unit.costs.usage import OCTOBER, book, usage

MICRO = 1_000_000


@given(total=st.integers(0, 10**16), weights=st.lists(st.integers(0, 10**15), min_size=1).filter(any))
def test_shares_add_up_exactly_and_are_off_by_less_than_one(total: int, weights: list[int]) -> None:
    """No micro-dollar is lost or made, and each part is its exact quota, rounded down or up."""
    parts = largest_remainder(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    assert all(abs(part * whole - total * weight) < whole for part, weight in zip(parts, weights, strict=True))


def test_the_largest_remainder_gets_what_is_left_over() -> None:
    """10 by 1:1:4 is 1.67, 1.67, 6.67: the units left go to the first two of equals."""
    assert largest_remainder(10, [1, 1, 4]) == [2, 2, 6]
    assert largest_remainder(7, [3, 2, 2]) == [3, 2, 2]


def test_nothing_can_be_shared_out_to_nobody() -> None:
    """Money does not vanish."""
    with pytest.raises(ValueError, match="nobody"):
        largest_remainder(1, [0, 0])
    assert largest_remainder(0, [0, 0]) == [0, 0]


def test_units_cost_by_the_hour_of_the_month() -> None:
    """15 units at one dollar are 11,160 dollars in October, 10,080 in February."""
    commitment = Commitment(units=15, usd_per_unit_hour=1.0)
    assert commitment.micro_in(OCTOBER) == 11_160 * MICRO
    assert commitment.micro_in(Month.parse("2026-02")) == 10_080 * MICRO
    assert Commitment(usd_per_month=0.1).micro_in(OCTOBER) == 100_000


@pytest.mark.parametrize(
    ("model", "weight"),
    [
        ("gpt-5", 8), ("gpt-5-mini", 8), ("gpt-5.4", 6), ("gpt-5.5", 6), ("gpt-5.4-2026-03-05", 6), ("gpt-5.4-pro", 6),
        ("gpt-5.9", 8), ("gpt-4o", 4), ("gpt-50", 4), ("mistral-large", 4),
    ],
)  # fmt: skip
def test_output_weighs_by_the_table_of_units(model: str, weight: int) -> None:
    """As a comparison weighs it: by the model, else by its family, else 4."""
    assert shipped_table().output_ratio(model) == weight


def test_shares_by_hand() -> None:
    """A reads 1,000 of which 600 cached, and writes 75: 400 + 8 x 75 = 1,000. B reads 3,000. 100 dollars: 25 and 75."""
    policy = Policy(commitments={"c": Commitment(usd_per_month=100.0, models=("gpt-5",))})
    made = book(
        [
            usage("1", {"cost-center": "a"}, model="gpt-5", pricing="ptu", cached_input_tokens=600, output_tokens=75),
            usage("2", {"cost-center": "b"}, model="gpt-5", pricing="ptu", input_tokens=3000, output_tokens=0),
            usage("3", {"cost-center": "c"}, pricing="ptu"),
        ],
        policy,
    )
    found = allocate(made.sorted_charges(), policy.commitments, OCTOBER, shipped_table())
    shares = {dict(key.tags)["cost-center"]: share for key, share in found.shares.items()}
    assert shares == {"a": ("c", 25 * MICRO), "b": ("c", 75 * MICRO)}
    assert found.unused == []
    assert found.totals == {"c": 100 * MICRO}


def test_with_a_capacity_what_is_unused_stands_alone() -> None:
    """744 hours at 1 token a minute are 44,640 tokens; 1,000 + 4 x 100 of them were used, for 44.64 dollars 1.40."""
    commitment = Commitment(usd_per_month=44.64, capacity_tokens_per_minute=1, tags={"cost-center": "platform"})
    policy = Policy(commitments={"c": commitment})
    made = book([usage("1", pricing="ptu")], policy)
    found = allocate(made.sorted_charges(), policy.commitments, OCTOBER, shipped_table())
    assert [share for _, share in found.shares.values()] == [1_400_000]
    [unused] = found.unused
    assert (unused.commitment, unused.micro, unused.tags) == ("c", 43_240_000, (("cost-center", "platform"),))


def test_a_commitment_that_nobody_used_is_unused_as_a_whole() -> None:
    """It costs the same."""
    policy = Policy(commitments={"c": Commitment(usd_per_month=5.0)})
    found = allocate(book([usage("1")], policy).sorted_charges(), policy.commitments, OCTOBER, shipped_table())
    assert [(one.commitment, one.micro) for one in found.unused] == [("c", 5 * MICRO)]


def test_usage_draws_on_the_first_commitment_that_covers_it() -> None:
    """And on no other: the second one stays unused."""
    commitments = {"own": Commitment(usd_per_month=1.0, system="refunds"), "all": Commitment(usd_per_month=2.0)}
    policy = Policy(commitments=commitments)
    made = book([usage("1", pricing="ptu"), usage("2", pricing="ptu", system="claims")], policy)
    found = allocate(made.sorted_charges(), policy.commitments, OCTOBER, shipped_table())
    assert {key.system: share for key, share in found.shares.items()} == {
        "refunds": ("own", MICRO),
        "claims": ("all", 2 * MICRO),
    }
