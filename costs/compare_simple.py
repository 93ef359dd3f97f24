"""Provisioned against pay-as-you-go, the simple form: one price for a token, one for the month.

It ignores what decides in practice: utilisation, the peak that must be sized for, cached tokens, and that output costs
more than input. `costs.compare` counts all of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from schemas.base import JsonObject


@dataclass(frozen=True)
class SimpleComparison:
    """Dollars a month both ways, the cheaper one, and the tokens a month at which they cost the same."""

    payg_monthly: Decimal
    ptu_monthly: Decimal
    recommendation: Literal["ptu", "payg"]
    breakeven_tokens: Decimal

    def to_json(self) -> JsonObject:
        """The four answers as JSON numbers and words."""
        return {
            "payg_monthly": float(self.payg_monthly),
            "ptu_monthly": float(self.ptu_monthly),
            "recommendation": self.recommendation,
            "breakeven_tokens": float(self.breakeven_tokens),
        }


def compare_simply(monthly_tokens: Decimal, ptu_monthly_cost: Decimal, payg_per_1k: Decimal) -> SimpleComparison:
    """Compare; provisioned is recommended only where it is strictly cheaper. Raises ValueError for a price of zero."""
    if payg_per_1k <= 0:
        raise ValueError("the price for 1,000 tokens must be above zero: nothing breaks even with what is free")
    payg = monthly_tokens / 1000 * payg_per_1k
    return SimpleComparison(
        payg,
        ptu_monthly_cost,
        "ptu" if ptu_monthly_cost < payg else "payg",
        ptu_monthly_cost / payg_per_1k * 1000,
    )
