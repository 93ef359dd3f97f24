"""Provisioned against pay-as-you-go over real traffic: sized for the peak, or with spillover, for each term.

Three ways to run a model are compared by what a month of 730 hours costs: `payg` alone; `ptu`, units for the peak (or a
percentile of the minutes, above which the rest spills over); and the cheapest `mix`, fewer units with spillover. Units
are recommended only where they are strictly cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from costs.load import Load
from costs.ptu import ANY, TERMS, DeploymentType, PtuModel, PtuTable, Term, monthly_usd
from costs.traffic import MINUTES_A_DAY, Traffic
from schemas.base import JsonObject

Way = Literal["payg", "ptu", "mix"]

SHORT_DAYS = 7


class Sizing(NamedTuple):
    """What kind of deployment is compared, and for which percentile of the minutes it is sized."""

    kind: DeploymentType = "global"
    region: str = ANY
    percentile: float = 100.0


@dataclass(frozen=True)
class Choice:
    """Some units: what they cost a month, what spills over, and how much of them is used. Dollars and shares."""

    units: int
    units_usd: float
    spilled_usd: float
    spilled_share: float
    utilisation: float

    @property
    def usd(self) -> float:
        """Dollars a month, spillover included."""
        return self.units_usd + self.spilled_usd

    def to_json(self) -> JsonObject:
        """The numbers as JSON."""
        return {
            "ptus": self.units,
            "monthly_usd": round(self.usd, 2),
            "ptu_usd": round(self.units_usd, 2),
            "spillover_usd": round(self.spilled_usd, 2),
            "spillover_share": round(self.spilled_share, 4),
            "utilisation": round(self.utilisation, 4),
        }


@dataclass(frozen=True)
class TermResult:
    """One term: a unit's price for a month and its source, both ways to use units, and what is cheapest."""

    term: Term
    unit_usd: float
    source: str
    peak: Choice
    mix: Choice
    recommendation: Way
    needed_utilisation: float | None
    """The share of its capacity that a unit must be used for to be worth its price; above 1 it never is."""

    def to_json(self) -> JsonObject:
        """The result as JSON."""
        return {
            "term": self.term,
            "ptu_monthly_usd": round(self.unit_usd, 4),
            "price_source": self.source,
            "peak_sized": self.peak.to_json(),
            "cheapest_mix": self.mix.to_json(),
            "recommendation": self.recommendation,
            "needed_utilisation": None if self.needed_utilisation is None else round(self.needed_utilisation, 4),
        }


@dataclass(frozen=True)
class Comparison:
    """One model, all terms."""

    traffic: Traffic
    sizing: Sizing
    load: Load
    peak_tpm: float
    terms: tuple[TermResult, ...]
    notes: tuple[str, ...]

    @property
    def best(self) -> tuple[Way, TermResult | None, float]:
        """The cheapest way over all terms, its term, and its dollars a month."""
        ways: list[tuple[float, int, Way, TermResult | None]] = [(self.load.payg_usd, 0, "payg", None)]
        for place, term in enumerate(self.terms, 1):
            ways += [(term.peak.usd, place, "ptu", term), (term.mix.usd, place, "mix", term)]
        usd, _, way, term_result = min(ways, key=lambda one: one[:2])
        return way, term_result, usd

    def to_json(self) -> JsonObject:
        """The comparison as JSON; sums are of a month of 730 hours."""
        traffic, monthly = self.traffic, self.traffic.monthly
        way, term, usd = self.best
        return {
            "model": traffic.model,
            "deployment_type": self.sizing.kind,
            "minutes": traffic.minutes if traffic.peak is None else None,
            "monthly": {
                "requests": round(float(traffic.requests.sum()) * monthly),
                "input_tokens": round(float(traffic.input_tokens.sum()) * monthly),
                "cached_input_tokens": round(float(traffic.cached_tokens.sum()) * monthly),
                "output_tokens": round(float(traffic.output_tokens.sum()) * monthly),
                "normalised_tokens": round(self.load.normalised),
            },
            "payg_monthly_usd": round(self.load.payg_usd, 2),
            "mean_tpm": round(self.load.mean_tpm, 1),
            "peak_tpm": round(self.peak_tpm, 1),
            "percentile": self.sizing.percentile,
            "terms": [one.to_json() for one in self.terms],
            "recommendation": {"way": way, "term": term.term if term else None, "monthly_usd": round(usd, 2)},
            "notes": list(self.notes),
        }


def compare(traffic: Traffic, table: PtuTable, model: PtuModel, sizing: Sizing) -> Comparison:
    """Compare the ways to run a model. Raises ValueError where it cannot be provisioned so."""
    if sizing.kind not in model.steps:
        raise ValueError(f"{model.name} cannot be provisioned as {sizing.kind}: {', '.join(sorted(model.steps))} can")
    load = Load(traffic, model)
    peak = load.peak_tpm(sizing.percentile)
    terms, unknown = [], []
    for term in TERMS:
        price = table.price(term, sizing.kind, sizing.region, model.name)
        if price is None:
            unknown.append(term)
        else:
            terms.append(_term(load, term, float(monthly_usd(price, term)), price.source, peak, sizing))
    return Comparison(traffic, sizing, load, peak, tuple(terms), tuple(_notes(traffic, table, terms, unknown, sizing)))


def _term(load: Load, term: Term, unit_usd: float, source: str, peak: float, sizing: Sizing) -> TermResult:
    sized = _choice(load, load.model.units(peak, sizing.kind), unit_usd)
    mix = _choice(load, load.cheapest_units(unit_usd, sizing.kind), unit_usd)
    value = load.full_unit_usd()
    way: Way = "payg"
    if min(sized.usd, mix.usd) < load.payg_usd:
        way = "ptu" if sized.usd <= mix.usd else "mix"
    return TermResult(term, unit_usd, source, sized, mix, way, unit_usd / value if value else None)


def _choice(load: Load, units: int, unit_usd: float) -> Choice:
    return Choice(
        units,
        unit_usd * units,
        load.spilled_usd(units),
        load.spilled_share(units),
        load.utilisation(units),
    )


def _notes(
    traffic: Traffic, table: PtuTable, terms: list[TermResult], unknown: list[Term], sizing: Sizing
) -> list[str]:
    sources = dict.fromkeys(term.source for term in terms)
    notes = [*([table.note] if table.note else []), *(f"prices of units: {source}" for source in sources)]
    if unknown:
        notes.append(f"no price is known for a {sizing.kind} unit, {' or '.join(unknown)}: give one")
    if traffic.peak is not None:
        notes.append("how the load spreads below its peak is assumed: spillover and mix are estimates")
    elif traffic.minutes < SHORT_DAYS * MINUTES_A_DAY:
        notes.append(f"{_span(traffic.minutes)} of traffic stand for the month: nights and weekends may not be in it")
    return notes


def _span(minutes: int) -> str:
    if minutes < 2 * 60:
        return f"{minutes} minute{'s' if minutes != 1 else ''}"
    return f"{minutes // 60} hours" if minutes < 2 * MINUTES_A_DAY else f"{minutes // MINUTES_A_DAY} days"
