"""Usage events for tests, and books of charges made of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from costs.chargeback_charges import ChargeBook, UsageEvent
from costs.chargeback_month import Month
from costs.tags_policy import Policy
from costs.tags_resolve import Tagger
from stream.adapters import Usage

OCTOBER = Month(2026, 10)
PRICES = {"small": (1, 0, 2), "large": (10, 1, 40)}
"""Micro-dollars of a token that is read fresh, read from the cache, written: prices that a hand can multiply."""


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


def price(event: UsageEvent, tokens: tuple[int, int, int], _day: int) -> int | None:
    if event.model not in PRICES:
        return None
    read, cached, written = tokens
    fresh, from_cache, out = PRICES[event.model]
    return (read - cached) * fresh + cached * from_cache + written * out


def book(events: Iterable[Usage], policy: Policy | None = None, **changes: Any) -> ChargeBook:
    made = ChargeBook(OCTOBER, Tagger(policy or Policy()), price, **changes)
    for event in events:
        made.add(event)
    return made
