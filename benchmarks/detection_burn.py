"""The quality of `burn_rate`: months that run over are warned of in time, clean months are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.arrays import HourView
from detectors.burn_rate import Budget, BurnRate, BurnRateSettings
from scenarios.worlds_costs import START, CostMonth, cost_world
from schemas.series import SeriesKey
from schemas.words import Tier
from stream.backtest import run
from stream.backtest_metrics import TIERS, Interval

_DAY = 1440


@dataclass(frozen=True, slots=True)
class BurnQuality:
    """Months by what they came to, and days of warning before the overrun of those that had one."""

    clean: int
    alarmed: int
    leads: tuple[float | None, ...]
    """Days from the first alarm of the month to the overrun, None without an alarm before it."""

    @property
    def false_share(self) -> float:
        """Share of the clean months that were alarmed."""
        return self.alarmed / max(self.clean, 1)

    @property
    def warned_share(self) -> float:
        """Share of the overruns that were known three days before, or as early as they could be."""
        return sum(lead is not None and lead >= 3 for lead in self.leads) / max(len(self.leads), 1)

    @property
    def lead_days(self) -> float:
        """Median days of warning, of those that were warned of."""
        known = [lead for lead in self.leads if lead is not None]
        return float(np.median(known)) if known else 0.0

    def __str__(self) -> str:
        return (
            f"{self.alarmed} of {self.clean} clean months alarmed ({self.false_share:.3f}); of {len(self.leads)} "
            f"overruns {self.warned_share:.3f} warned of 3 days before, median {self.lead_days:.1f} days"
        )


def burn_quality(seeds: Sequence[int]) -> dict[Tier, BurnQuality]:
    """The quality of either tier over the cost worlds of these seeds."""
    months: list[tuple[CostMonth, list[Interval]]] = []
    for seed in seeds:
        world = cost_world(seed)
        budgets = {name: Budget(amount_usd=amount) for name, amount in world.budgets.items()}
        detector = BurnRate(BurnRateSettings(budgets=budgets))
        found: dict[SeriesKey, list[Interval]] = {}
        for one in run(detector, HourView("budget", world.keys, world.counts, START)).intervals():
            found.setdefault(one.key, []).append(one)
        months += [(month, found.get(month.key, [])) for month in world.months]
    return {tier: _quality(months, tier) for tier in TIERS}


def _in(one: Interval, month: CostMonth) -> bool:
    return one.start < month.end and one.end > month.start + 60


def _quality(months: Sequence[tuple[CostMonth, list[Interval]]], tier: Tier) -> BurnQuality:
    clean = alarmed = 0
    leads: list[float | None] = []
    for month, found in months:
        in_month = [one for one in found if one.tier == tier and _in(one, month)]
        if month.over is None:
            clean += 1
            alarmed += bool(in_month)
        else:
            first = min((max(one.start, month.start) for one in in_month), default=month.over)
            leads.append((month.over - first) / _DAY if first < month.over else None)
    return BurnQuality(clean, alarmed, tuple(leads))
