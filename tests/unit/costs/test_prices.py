"""Prices: micro-dollars to the dollar's last digit, and the fast way equal to the book's own."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from costs.prices import PLAIN_TOKENS, price_micro, unit_prices, usd_to_micro

DAY = 20_500
MODELS = (("gpt-4o", None), ("gpt-4o", "azure"), ("gpt-5", "azure"), ("claude-sonnet-4-5", None), ("gpt-4o-mini", None))
tokens = st.integers(0, PLAIN_TOKENS)


@settings(max_examples=150)
@given(model=st.sampled_from(MODELS), read=tokens, cached=tokens, written=tokens)
def test_unit_prices_give_what_the_book_gives(
    model: tuple[str, str | None], read: int, cached: int, written: int
) -> None:
    """The sum over unit prices is the book's own price of the call, to the micro-dollar."""
    cached = min(read, cached)
    usage = Usage(input_tokens=read, cache_read_tokens=cached, output_tokens=written)
    at = datetime.fromtimestamp(DAY * 86_400, UTC)
    book = calc_price(usage, model[0], provider_id=model[1], genai_request_timestamp=at).total_price
    assert price_micro(*model, read, cached, written, DAY) == usd_to_micro(book)


def test_a_known_price_by_hand() -> None:
    """gpt-4o: 2.50 dollars a million read, 1.25 cached, 10 written."""
    assert price_micro("gpt-4o", None, 1_000, 200, 100, DAY) == 2_000 + 250 + 1_000


def test_a_long_context_is_priced_by_the_book() -> None:
    """Beyond the plain range the book's own steps count."""
    usage = Usage(input_tokens=500_000, output_tokens=10)
    at = datetime.fromtimestamp(DAY * 86_400, UTC)
    book = calc_price(usage, "claude-sonnet-4-5", genai_request_timestamp=at).total_price
    assert price_micro("claude-sonnet-4-5", None, 500_000, 0, 10, DAY) == usd_to_micro(book)


def test_an_unknown_model_has_no_price() -> None:
    """It is None, never zero: the caller counts it."""
    assert price_micro("no-such-model", None, 1, 0, 1, DAY) is None
    assert unit_prices("no-such-model", None, DAY) is None


@pytest.mark.parametrize(
    ("dollars", "micro"),
    [(0.1, 100_000), (0.0000005, 0), (0.0000015, 2), (1e-9, 0), (Decimal("12.3456785"), 12_345_678), (0, 0)],
)
def test_dollars_are_rounded_half_to_even(dollars: float | Decimal, micro: int) -> None:
    """The decimal form that was written counts, not the binary fraction behind it."""
    assert usd_to_micro(dollars) == micro
