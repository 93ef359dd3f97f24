"""The price book: what a model call costs, in integer micro-dollars.

Prices come from `genai-prices` (offline data that the package ships). Prices that depend on the size of a request are
kept: each call is priced by itself, through a small memo.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Final

from genai_prices import Usage, calc_price

from schemas.series import MICRO_USD

MEMO: Final = 65_536


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
    return _price(model, provider, input_tokens, min(cached_tokens, input_tokens), output_tokens, day)


@lru_cache(MEMO)
def _price(
    model: str, provider: str | None, input_tokens: int, cached_tokens: int, output_tokens: int, day: int
) -> int | None:
    usage = Usage(input_tokens=input_tokens, cache_read_tokens=cached_tokens, output_tokens=output_tokens)
    at = datetime.fromtimestamp(day * 86_400, UTC)
    try:
        price = calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)
    except LookupError:
        return None
    return usd_to_micro(price.total_price)
