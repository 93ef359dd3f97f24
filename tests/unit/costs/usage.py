"""Usage events for tests, and books of charges made of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from costs.chargeback_charges import ChargeBook
from costs.money import UnitPrices
from costs.months import Month
from costs.prices import PriceBook
from costs.prices_override import PriceOverride
from costs.tags_policy import Policy
from costs.tags_resolve import Tagger
from stream.adapters import Usage

OCTOBER = Month.parse("2026-10")
HOUR = 3_600_000


def contract(model: str, fresh: int, cached: int, written: int) -> PriceOverride:
    """Prices in micro-dollars a token: such that a hand can multiply."""
    prices = (Decimal(price) / 1_000_000 for price in (fresh, cached, written))
    return PriceOverride(model, model, UnitPrices(*prices))


PRICES = PriceBook([contract("small", 1, 0, 2), contract("large", 10, 1, 40)])


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def usage(name: str, tags: dict[str, str] | None = None, **changes: Any) -> Usage:
    given = {
        "id": name,
        "time": ms("2026-10-05T12:00:00"),
        "environment": "prod",
        "system": "refunds",
        "model": "small",
        "input_tokens": 1000,
        "output_tokens": 100,
        "tags": tags,
    }
    return Usage(**{**given, **changes})


def book(events: Iterable[Usage], policy: Policy | None = None, **changes: Any) -> ChargeBook:
    made = ChargeBook(OCTOBER, Tagger(policy or Policy()), PRICES, **changes)
    for event in events:
        made.add(event)
    return made
