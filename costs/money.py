"""Money: integer micro-dollars, and the one rule by which a price becomes one.

Every call is rounded by itself, half to even, and sums are sums of rounded calls. So a sum over n calls lies within
n/2 micro-dollars of the exact price, does not depend on the order, and is the same wherever it is formed.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple

from schemas.series import MICRO_USD

MOST_PLAIN: Final = 1_000_000.0
CLEAR: Final = 0.499
"""Up to a million dollars, binary arithmetic is off by less than a thousandth of a micro-dollar: what is so far from
the middle between two is rounded as the decimal form is, thirty times faster."""


def usd_to_micro(amount: float | Decimal) -> int:
    """Dollars as whole micro-dollars, half to even on the decimal form that was written."""
    if not isinstance(amount, Decimal) and -MOST_PLAIN <= amount <= MOST_PLAIN:
        scaled = amount * MICRO_USD
        nearest = round(scaled)
        if abs(scaled - nearest) < CLEAR:
            return nearest
    exact = amount if isinstance(amount, Decimal) else Decimal(repr(amount))
    return int((exact * MICRO_USD).to_integral_value(ROUND_HALF_EVEN))


def rounded(numerator: int, denominator: int) -> int:
    """The quotient of two whole numbers, the lower one positive, rounded half to even."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + (twice > denominator or (twice == denominator and quotient & 1))


class UnitPrices(NamedTuple):
    """Dollars for one token that is read, read from the cache, or written."""

    fresh: Decimal
    cached: Decimal
    written: Decimal

    def of(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> Decimal:
        """Dollars of one call, not rounded; `input_tokens` includes the cached ones."""
        read = (input_tokens - cached_tokens) * self.fresh + cached_tokens * self.cached
        return read + output_tokens * self.written


class WholePrices(NamedTuple):
    """`UnitPrices` as whole numbers over a common denominator, in micro-dollars: exact, and quick to multiply."""

    fresh: int
    cached: int
    written: int
    per: int

    @classmethod
    def of(cls, units: UnitPrices) -> WholePrices:
        """The same prices; nothing is lost."""
        digits = max(0, *(-int(price.as_tuple().exponent) for price in units))
        per = 10**digits
        fresh, cached, written = (int(price * per * MICRO_USD) for price in units)
        return cls(fresh, cached, written, per)

    def micro(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> int:
        """Micro-dollars of one call; `input_tokens` includes the cached ones."""
        fresh, cached, written, per = self
        total = (input_tokens - cached_tokens) * fresh + cached_tokens * cached + output_tokens * written
        quotient, rest = divmod(total, per)
        twice = 2 * rest
        return quotient + 1 if twice > per or (twice == per and quotient & 1) else quotient
