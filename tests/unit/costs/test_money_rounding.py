"""Dollars to micro-dollars: the quick way rounds as the decimal form that was written does."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from costs.money import usd_to_micro


@given(
    st.one_of(
        st.floats(-2e6, 2e6),
        st.floats(0, 0.1),
        st.integers(0, 2 * 10**13).map(lambda halves: halves / 2_000_000),
        st.integers(0, 10**9).map(lambda n: n / 10**7),
    )
)
@example(0.0000005)
@example(0.0000015)
@example(999_999.9999995)
def test_every_amount_is_rounded_half_to_even_on_its_decimal_form(amount: float) -> None:
    """The result never differs from exact decimal arithmetic, near the middle between two least of all."""
    exact = int((Decimal(repr(amount)) * 1_000_000).to_integral_value(ROUND_HALF_EVEN))
    assert usd_to_micro(amount) == exact
