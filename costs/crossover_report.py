"""The quarterly report: when it is due, and what it says of the fleet's usage by the hour.

A report looks at the 27 days before a quarter begins. The windows hold 28, so whoever makes it within the quarter's
first day says the same, to the byte; one that is made later, after an outage, has fewer days to look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np

from costs.compare import Comparison
from costs.crossover import Crossover, crossover
from costs.money import UnitPrices
from costs.prices import Called, PriceBook
from costs.traffic import Floats, Traffic
from schemas.cost_reports import CostFlip, CostReport, ModelCost
from schemas.outputs import Engine
from schemas.series import MICRO_USD

LOOK_BACK_HOURS: Final = 27 * 24
SETTLE_HOURS: Final = 1
"""How long after a quarter begins its report is made: what was late has come by then."""

REACH_HOURS: Final = 13 * 24
"""How long after that it can still be made: the windows then hold the two weeks before it that growth needs."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_QUARTER: Final = re.compile(r"\d{4}-Q[1-4]", re.ASCII)


class Quarter(NamedTuple):
    """A quarter of a year, `2026-Q4`, and the hour (since 1970 UTC) at which it begins."""

    name: str
    first_hour: int

    @classmethod
    def of(cls, hour: int) -> Quarter:
        """The quarter that holds an hour."""
        moment = _EPOCH + timedelta(hours=hour)
        number = (moment.month - 1) // 3
        first = moment.replace(month=3 * number + 1, day=1, hour=0)
        return cls(f"{moment.year}-Q{number + 1}", (first - _EPOCH) // timedelta(hours=1))


def report_due(hour: int, done: str | None) -> Quarter | None:
    """The quarter whose report is due at an event-time hour, `done` being the last one that was made."""
    quarter = Quarter.of(hour)
    if done is not None and _QUARTER.fullmatch(done) and done >= quarter.name:
        return None
    into = hour - quarter.first_hour
    return quarter if SETTLE_HOURS <= into <= SETTLE_HOURS + REACH_HOURS else None


@dataclass
class HourlyUsage:
    """The fleet's usage by model and hour: what the windows hold, summed over systems and agents.

    Of provisioned calls only the tokens are known; they are priced at the unit prices of the list or the contract.
    """

    until_hour: int
    _cells: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    _flat: dict[str, dict[int, list[float]]] = field(default_factory=dict)

    def add(self, model: str, pricing: str, hour: int, counts: Iterable[int]) -> None:
        """Requests, input, cached and output tokens, and micro-dollars of one hour."""
        if not self.until_hour - LOOK_BACK_HOURS <= hour < self.until_hour:
            return
        table = self._flat if pricing == "ptu" else self._cells
        cell = table.setdefault(model, {}).setdefault(hour, [0.0] * 5)
        for place, count in enumerate(counts):
            cell[place] += count

    @property
    def first_hour(self) -> int | None:
        """The first hour that has any usage."""
        hours = [hour for table in (self._cells, self._flat) for cells in table.values() for hour in cells]
        return min(hours, default=None)

    def traffic(self, book: PriceBook) -> tuple[dict[str, Traffic], dict[str, str]]:
        """The traffic of each model, and why a model has none. An hour's minutes are taken to be alike."""
        first = self.first_hour
        found: dict[str, Traffic] = {}
        left_out: dict[str, str] = {}
        for model in sorted({*self._cells, *self._flat}):
            paid, flat = (self._dense(table.get(model, {}), first or 0) for table in (self._cells, self._flat))
            unit = self._units(book, model)
            if flat[0].any():
                if unit is None:
                    left_out[model] = f"no price of {model} is known"
                    continue
                prices = np.array([float(price) * MICRO_USD for price in unit])
                flat[4] = np.stack([flat[1] - flat[2], flat[2], flat[3]], axis=1) @ prices
            if unit is None and not paid[4].any():
                left_out[model] = f"no price of {model} is known"
                continue
            sums = np.repeat((paid + flat) / 60, 60, axis=1)
            found[model] = Traffic(model, sums[0], sums[1], sums[2], sums[3], sums[4], first_minute=(first or 0) * 60)
        return found, left_out

    def _dense(self, cells: Mapping[int, list[float]], first: int) -> Floats:
        dense = np.zeros((5, self.until_hour - first))
        for hour, cell in cells.items():
            dense[:, hour - first] = cell
        return dense

    def _units(self, book: PriceBook, model: str) -> UnitPrices | None:
        for provider in ("azure", None):
            quote = book.quote(Called(model, provider), self.until_hour // 24)
            if quote is not None:
                return quote.steps[0][1]
        return None


def cost_report(
    quarter: Quarter, since_hour: int, comparisons: Iterable[Comparison], left_out: Mapping[str, str], engine: Engine
) -> CostReport:
    """The report of a quarter, its id derived from what it says."""
    return CostReport(
        report_id="unset",
        quarter=quarter.name,
        since=_EPOCH + timedelta(hours=since_hour),
        until=_EPOCH + timedelta(hours=quarter.first_hour),
        models=tuple(_model_cost(crossover(one)) for one in comparisons),
        left_out=dict(sorted(left_out.items())),
        engine=engine,
    ).with_id()


def _model_cost(found: Crossover) -> ModelCost:
    way, term, usd = found.comparison.best
    chosen = None if term is None else term.peak if way == "ptu" else term.mix
    growth = None if found.growth is None else tuple(round(one, 3) for one in found.growth.monthly_percent)
    return ModelCost(
        model=found.comparison.traffic.model,
        monthly_tokens=round(found.monthly_tokens),
        payg_monthly_usd=round(found.comparison.load.payg_usd, 2),
        way=way,
        term=None if term is None else term.term,
        ptus=0 if chosen is None else chosen.units,
        monthly_usd=round(usd, 2),
        growth_percent_a_month=None if growth is None else growth[0],
        growth_low=None if growth is None else growth[1],
        growth_high=None if growth is None else growth[2],
        flips=tuple(
            CostFlip(
                term=flip.term,
                manner=flip.manner,
                now=flip.now,
                flips_to=flip.to,
                monthly_tokens=None if flip.volume is None else round(flip.volume),
                date=flip.at,
                earliest=flip.earliest,
                latest=flip.latest,
            )
            for flip in found.flips
        ),
        notes=(
            *([found.why] if found.why else []),
            "by the hour: the peak is that of the busiest hour",
            *found.comparison.notes,
        ),
    )
