"""Simulated months of spend: seasons, noise, growth and jumps, against a monthly budget that may or may not last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.series import MICRO_USD, SeriesKey

_HOURS_A_DAY: Final = 24
START: Final = 19_692 * 1440
"""The first minute: 2023-12-01, 00:00 UTC. December is for learning."""


@dataclass(frozen=True, slots=True)
class CostMonth:
    """One budget in one month: minutes since 1970, and when the spend passed the budget, or None."""

    key: SeriesKey
    start: int
    end: int
    over: int | None


@dataclass(frozen=True, slots=True)
class CostWorld:
    """Counts [S, H, 2] of requests and micro-dollars by the hour, the budgets by name, and what each month came to."""

    keys: tuple[SeriesKey, ...]
    counts: NDArray[np.int64]
    budgets: dict[str, float]
    months: tuple[CostMonth, ...]


def cost_world(seed: int, budgets: int = 200, months: int = 6) -> CostWorld:
    """A world of `budgets` over `months` that are scored, and one before them. Two thirds run over, about."""
    edges = [_hour(2023 + (11 + n) // 12, (11 + n) % 12 + 1) for n in range(months + 2)]
    hours = edges[-1] - edges[0]
    counts = np.zeros((budgets, hours, 2), dtype=np.int64)
    keys, amounts, made = [], {}, []
    for row in range(budgets):
        rng = np.random.default_rng([seed, row])
        key = SeriesKey("budget", "production", f"system-{row % 8}", (f"budget-{row:03}",))
        cost = _spend(rng, hours)
        monthly = np.array([cost[a - edges[0] : b - edges[0]].sum() for a, b in pairwise(edges[1:])])
        amount = float(np.median(monthly) * np.exp(rng.normal(-0.04, 0.1)))
        counts[row, :, 0] = 100
        counts[row, :, 1] = np.rint(cost * MICRO_USD)
        keys.append(key)
        amounts[key.dims[0]] = amount
        for first, end in pairwise(edges[1:]):
            spent = np.cumsum(cost[first - edges[0] : end - edges[0]])
            over = int(np.argmax(spent > amount)) if spent[-1] > amount else None
            made.append(CostMonth(key, first * 60, end * 60, None if over is None else (first + over + 1) * 60))
    return CostWorld(tuple(keys), counts, amounts, tuple(made))


def _spend(rng: np.random.Generator, hours: int) -> NDArray[np.float64]:
    """Dollars by the hour: day and week, days that differ, slow growth, and a jump in some months."""
    t = np.arange(hours)
    day = t // _HOURS_A_DAY
    level = np.exp(rng.uniform(np.log(0.5), np.log(50)))
    course = 1 + rng.uniform(0, 0.8) * np.cos(2 * np.pi * (t - rng.uniform(0, 24)) / 24)
    weekend = 1 - rng.uniform(0, 0.7)
    # 2023-12-01 is a Friday.
    week = np.where((day + 4) % 7 < 5, 1.0, weekend)
    days = hours // _HOURS_A_DAY + 1
    daily = np.exp(rng.normal(0, rng.uniform(0.03, 0.18), days))[day]
    drift = np.exp(np.cumsum(rng.normal(0, 0.012, days)))[day]
    cost = level * course * week * daily * drift * rng.gamma(8, 1 / 8, hours)
    for _ in range(rng.poisson(hours / 720 * 0.1)):
        start = int(rng.integers(0, hours))
        cost[start : start + int(rng.uniform(5, 25) * _HOURS_A_DAY)] *= rng.uniform(1.2, 2.0)
    return np.asarray(cost)


def _hour(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) // 3600
