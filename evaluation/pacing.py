"""How a day's budget is made to last the day. Pure.

Spending stops at no hour: what is left is divided over the rest of the day. If the full rates would spend more than
that, all rates are thinned by the same factor, and the scores carry the thinned rate. A forecast that was too low
in the morning makes the afternoon sparser, never empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in a UTC day; None for no limit. Money in micro-dollars."""

    tokens: int | None
    micro_usd: int | None


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and micro-dollars."""

    tokens: int = 0
    micro_usd: int = 0


def factor(budget: Budget, spent: Spent, wanted_a_day: Spent, second_of_day: float) -> float:
    """By how much to thin the sampling, 0 to 1.

    `wanted_a_day` is what a whole day of judging at the full rates would take, at the demand of the last minutes.
    """
    left = max(DAY_SECONDS - second_of_day, 0.0) / DAY_SECONDS
    return min(
        _share(budget.tokens, spent.tokens, wanted_a_day.tokens * left),
        _share(budget.micro_usd, spent.micro_usd, wanted_a_day.micro_usd * left),
    )


def _share(limit: int | None, spent: int, wanted: float) -> float:
    if limit is None:
        return 1.0
    remaining = max(limit - spent, 0)
    if wanted <= 0:
        return 1.0 if remaining else 0.0
    return min(1.0, remaining / wanted)
