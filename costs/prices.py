"""The price book: what a model call costs, in integer micro-dollars.

List prices come from `genai-prices` (offline data that the package ships), contract prices from the configuration; they
go first. Up to `PLAIN_TOKENS` a model's list price is a sum of tokens times unit prices, which are asked for once a day
and model; larger calls, and models whose price is no such sum, are priced by the list itself, one by one: half a
millisecond each. A service tier that neither knows costs what the standard tier does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from genai_prices import Usage, calc_price
from genai_prices.types import PriceContext

from costs.money import UnitPrices, WholePrices, usd_to_micro
from costs.prices_override import Called, PriceOverride
from schemas.words import ServiceTier

__all__ = ["LIST", "Called", "PriceBook", "Quote", "UnitPrices", "price_micro", "unit_prices", "usd_to_micro"]

PLAIN_TOKENS: Final = 100_000
"""Tokens of a call up to which no provider asks more for a long context (the first such step is at 128,000)."""

UNITS_KEPT: Final = 4_096
CALLS_KEPT: Final = 16_384

PROBES: Final = (1, 150_000, 250_000, 300_000)
"""Calls, in input tokens, that show where a list price has steps: known ones lie at 128,000, 200,000 and 272,000."""

_CONTEXTS: Final[dict[ServiceTier, PriceContext]] = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
"""How the list names the tiers."""


class Quote(NamedTuple):
    """A model's price and where it is from. `steps`: (up to how many input tokens, prices), the last without end."""

    source: str
    steps: tuple[tuple[int | None, UnitPrices], ...]


class _Plan(NamedTuple):
    """How calls of one kind are priced on one day: contract steps, or plain list prices, or neither."""

    steps: tuple[tuple[int | None, WholePrices], ...]
    plain: WholePrices | None


class PriceBook:
    """Contract prices above the list. What a kind of call costs on a day is looked up once and kept."""

    def __init__(self, overrides: Sequence[PriceOverride] = ()) -> None:
        self.overrides = tuple(sorted(overrides, key=lambda one: one.rank, reverse=True))
        self._plans: dict[tuple[Called, int], _Plan] = {}

    def micro(self, called: Called, input_tokens: int, cached_tokens: int, output_tokens: int, day: int) -> int | None:
        """The price of one call in micro-dollars, or None for a model that the book does not know.

        `input_tokens` includes the `cached_tokens`; `day` counts from 1970-01-01 UTC, since prices change.
        """
        cached = min(cached_tokens, input_tokens)
        plan = self._plans.get((called, day))
        if plan is None:
            plan = self._plan(called, day)
        if plan.plain is not None and input_tokens <= PLAIN_TOKENS and output_tokens <= PLAIN_TOKENS:
            return plan.plain.micro(input_tokens, cached, output_tokens)
        for limit, prices in plan.steps:
            if limit is None or input_tokens <= limit:
                return prices.micro(input_tokens, cached, output_tokens)
        return _price_of_call(called, input_tokens, cached, output_tokens, day)

    def override(self, called: Called, day: int) -> PriceOverride | None:
        """The contract that prices a kind of call on that day."""
        return next((one for one in self.overrides if one.matches(called, day)), None)

    def quote(self, called: Called, day: int) -> Quote | None:
        """What a model costs on that day and where the price is from; None for an unknown model."""
        override = self.override(called, day)
        if override is not None:
            return Quote(f"contract {override.name}", override.steps(called.tier))
        return _list_quote(called, day)

    def _plan(self, called: Called, day: int) -> _Plan:
        override = self.override(called, day)
        if override is None:
            units = _list_units(called, day)
            plan = _Plan((), None if units is None else WholePrices.of(units))
        else:
            plan = _Plan(tuple((limit, WholePrices.of(units)) for limit, units in override.steps(called.tier)), None)
        if len(self._plans) >= UNITS_KEPT:
            self._plans.clear()
        self._plans[called, day] = plan
        return plan


LIST: Final = PriceBook()
"""List prices alone."""


def price_micro(
    model: str, provider: str | None, input_tokens: int, cached_tokens: int, output_tokens: int, day: int
) -> int | None:
    """The list price of one call: see `PriceBook.micro`."""
    return LIST.micro(Called(model, provider), input_tokens, cached_tokens, output_tokens, day)


def unit_prices(model: str, provider: str | None, day: int) -> UnitPrices | None:
    """The model's list prices on that day; None if it is unknown or its price is no plain sum."""
    return _list_units(Called(model, provider), day)


@lru_cache(UNITS_KEPT)
def _list_units(called: Called, day: int) -> UnitPrices | None:
    units = _units_near(called, PLAIN_TOKENS, day)
    if units is None:
        return None
    probe = (PLAIN_TOKENS, PLAIN_TOKENS // 4, PLAIN_TOKENS // 2)
    return units if _price(called, *probe, day) == units.of(*probe) else None


def _units_near(called: Called, tokens: int, day: int) -> UnitPrices | None:
    """Unit prices of calls that read about so many tokens."""
    fresh = _price(called, tokens, 0, 0, day)
    cached = _price(called, tokens, tokens, 0, day)
    written = _price(called, tokens, 0, tokens, day)
    if fresh is None or cached is None or written is None:
        return None
    return UnitPrices(fresh / tokens, cached / tokens, (written - fresh) / tokens)


def _list_quote(called: Called, day: int) -> Quote | None:
    found: list[tuple[int, UnitPrices]] = []
    for tokens in PROBES:
        units = _units_near(called, tokens, day)
        if units is None:
            return None
        if not found or found[-1][1] != units:
            found.append((_step_below(called, tokens, units, day) if found else 0, units))
    limits = [step for step, _ in found[1:]]
    prices = [units for _, units in found]
    source = "list" if called.tier in (None, "standard") or _has_tier(called, day) else "list (standard tier)"
    return Quote(source, (*zip(limits, prices[:-1], strict=True), (None, prices[-1])))


def _step_below(called: Called, tokens: int, units: UnitPrices, day: int) -> int:
    """The most input tokens below `tokens` at which `units` do not hold yet."""
    low, high = 1, tokens
    while high - low > 1:
        middle = (low + high) // 2
        if _units_near(called, middle, day) == units:
            high = middle
        else:
            low = middle
    return low


def _has_tier(called: Called, day: int) -> bool:
    standard = called._replace(tier=None)
    return _units_near(called, PLAIN_TOKENS, day) != _units_near(standard, PLAIN_TOKENS, day)


@lru_cache(CALLS_KEPT)
def _price_of_call(called: Called, input_tokens: int, cached_tokens: int, output_tokens: int, day: int) -> int | None:
    price = _price(called, input_tokens, cached_tokens, output_tokens, day)
    return None if price is None else usd_to_micro(price)


def _price(called: Called, input_tokens: int, cached_tokens: int, output_tokens: int, day: int) -> Decimal | None:
    usage = Usage(input_tokens=input_tokens, cache_read_tokens=cached_tokens, output_tokens=output_tokens)
    at = datetime.fromtimestamp(day * 86_400, UTC)
    context = _CONTEXTS.get(called.tier) if called.tier is not None else None
    try:
        return calc_price(
            usage,
            called.model,
            provider_id=called.provider,
            genai_request_timestamp=at,
            price_context=context,
        ).total_price
    except LookupError:
        return None
