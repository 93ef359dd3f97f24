"""Money: rounded once a call, half to even, and summed exactly."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from hypothesis import given
from hypothesis import strategies as st

from costs.money import UnitPrices, WholePrices, rounded

prices = st.decimals(0, 1, places=11)
counts = st.integers(0, 10_000_000)


@given(
    units=st.builds(UnitPrices, prices, prices, prices), calls=st.lists(st.tuples(counts, counts, counts), max_size=9)
)
def test_a_sum_of_calls_is_within_half_a_micro_dollar_a_call(
    units: UnitPrices, calls: list[tuple[int, int, int]]
) -> None:
    """Whole numbers give the exact price rounded half to even, so n calls are off by n/2 micro-dollars at most."""
    whole, total, exact = WholePrices.of(units), 0, Decimal(0)
    for read, asked, written in calls:
        kept = min(read, asked)
        price = units.of(read, kept, written) * 1_000_000
        micro = whole.micro(read, kept, written)
        assert micro == price.to_integral_value(ROUND_HALF_EVEN)
        total, exact = total + micro, exact + price
    assert abs(total - exact) <= Decimal(len(calls)) / 2


@given(st.integers(0, 10**18), st.integers(1, 10**9))
def test_a_quotient_is_rounded_half_to_even(numerator: int, denominator: int) -> None:
    """The nearest whole number; of two equally near ones the even one."""
    found = rounded(numerator, denominator)
    assert 2 * abs(found * denominator - numerator) <= denominator
    if 2 * abs(found * denominator - numerator) == denominator:
        assert found % 2 == 0
