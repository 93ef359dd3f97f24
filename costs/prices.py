"""The price book: what a model call costs, in integer micro-dollars.

Prices come from `genai-prices` (offline data that the package ships). Up to `PLAIN_TOKENS` a model's price is a sum of
tokens times unit prices, which are asked for once a day and model; larger calls, and models whose price is no such sum,
are priced by the book itself, one by one: half a millisecond each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Final

from genai_prices import Usage, calc_price

from schemas.series import MICRO_USD

PLAIN_TOKENS: Final = 100_000
"""Tokens of a call up to which no provider asks more for a long context (the first such step is at 128,000)."""

UNITS_KEPT: Final = 4_096
CALLS_KEPT: Final = 16_384


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """Dollars for one token that is read, read from the cache, or written."""

    fresh: Decimal
    cached: Decimal
    written: Decimal

    def of(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> Decimal:
        """Dollars of one call; `input_tokens` includes the cached ones."""
        read = (input_tokens - cached_tokens) * self.fresh + cached_tokens * self.cached
        return read + output_tokens * self.written


def usd_to_micro(amount: float | Decimal) -> int:
    """Dollars as whole micro-dollars, half to even on the decimal form that was written."""
    exact = amount if isinstance(amount, Decimal) else Decimal(repr(amount))
    return int((exact * MICRO_USD).to_integral_value(ROUND_HALF_EVEN))


def price_micro(
    model: str, provider: str | None, input_tokens: int, cached_tokens: int, output_tokens: int, day: int
) -> int | None:
    """The price of one call in micro-dollars, or None for a model that the book does not know.

    `input_tokens` includes the `cached_tokens`; `day` counts from 1970-01-01 UTC, since prices change.
    """
    cached = min(cached_tokens, input_tokens)
    if max(input_tokens, output_tokens) <= PLAIN_TOKENS:
        units = unit_prices(model, provider, day)
        if units is not None:
            return usd_to_micro(units.of(input_tokens, cached, output_tokens))
    return _price_of_call(model, provider, input_tokens, cached, output_tokens, day)


@lru_cache(UNITS_KEPT)
def unit_prices(model: str, provider: str | None, day: int) -> UnitPrices | None:
    """The model's unit prices on that day; None if it is unknown or its price is no plain sum."""
    tokens = PLAIN_TOKENS
    fresh = _price(model, provider, tokens, 0, 0, day)
    cached = _price(model, provider, tokens, tokens, 0, day)
    written = _price(model, provider, 0, 0, tokens, day)
    if fresh is None or cached is None or written is None:
        return None
    units = UnitPrices(fresh / tokens, cached / tokens, written / tokens)
    probe = (tokens, tokens // 4, tokens // 2)
    return units if _price(model, provider, *probe, day) == units.of(*probe) else None


@lru_cache(CALLS_KEPT)
def _price_of_call(
    model: str, provider: str | None, input_tokens: int, cached_tokens: int, output_tokens: int, day: int
) -> int | None:
    price = _price(model, provider, input_tokens, cached_tokens, output_tokens, day)
    return None if price is None else usd_to_micro(price)


def _price(
    model: str, provider: str | None, input_tokens: int, cached_tokens: int, output_tokens: int, day: int
) -> Decimal | None:
    usage = Usage(input_tokens=input_tokens, cache_read_tokens=cached_tokens, output_tokens=output_tokens)
    at = datetime.fromtimestamp(day * 86_400, UTC)
    try:
        return calc_price(usage, model, provider_id=provider, genai_request_timestamp=at).total_price
    except LookupError:
        return None
