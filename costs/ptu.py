"""Provisioned throughput: what a unit carries, how many units a load needs, and what they cost.

A deployment's load is counted in normalised tokens a minute (Microsoft Learn, "Determine PTU sizing for a workload"):

    normalised = input x (1 - cached share) + output ratio x output

It needs normalised / input_tpm units, rounded up to the increment, and the minimum at least. Units are paid for whether
they are used or not: by the hour, or less for a reservation of a month or a year.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple, TypeVar, get_args

DeploymentType = Literal["global", "data_zone", "regional"]
Term = Literal["hourly", "monthly", "yearly"]

TERMS: Final[tuple[Term, ...]] = get_args(Term)
HOURS_A_MONTH: Final = 730
"""Hours of the month that prices are compared over: a twelfth of 365 days."""

UNKNOWN_OUTPUT_RATIO: Final = 4.0
"""Taken for a model whose family the table does not know: what most families have."""

ANY: Final = "*"
_HAIR: Final = 1 - Fraction(1, 10**12)
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
Number = TypeVar("Number", float, Any)


class Steps(NamedTuple):
    """How many units a deployment may have: the minimum, and the step above it."""

    minimum: int
    increment: int

    def ceil(self, units: float | Fraction) -> int:
        """The least number of units that may be deployed and is not below `units`; 0 for no load at all."""
        if units <= 0:
            return 0
        if units <= self.minimum:
            return self.minimum
        return int(-(-Fraction(units) // self.increment)) * self.increment

    def nth(self, place: int) -> int:
        """The sizes in order: the minimum, then each multiple of the increment above it."""
        return (self.minimum // self.increment + place) * self.increment if place else self.minimum

    def place(self, units: int) -> int:
        """Where a size stands in that order."""
        return 0 if units <= self.minimum else units // self.increment - self.minimum // self.increment


@dataclass(frozen=True)
class PtuModel:
    """What one unit carries of a model, and which numbers of units may be deployed by type of deployment."""

    name: str
    input_tpm: float
    output_ratio: float
    steps: Mapping[DeploymentType, Steps]

    def normalised(self, input_tokens: Number, cached_tokens: Number, output_tokens: Number) -> Number:
        """Normalised tokens, of numbers or arrays alike; `input_tokens` includes the cached ones."""
        return input_tokens - cached_tokens + self.output_ratio * output_tokens

    def units(self, normalised_tpm: float, kind: DeploymentType) -> int:
        """The units that carry so many normalised tokens a minute."""
        # A hair below: tokens are counted in floats here, and 15.000000000000002 units are 15.
        return self.steps[kind].ceil(Fraction(normalised_tpm) / Fraction(self.input_tpm) * _HAIR)


@dataclass(frozen=True)
class PtuPrice:
    """Dollars for one unit: for an hour (`hourly`), or for a month (`monthly`, `yearly` reservations)."""

    source: str
    usd: Mapping[Term, Decimal]
    deployment_type: DeploymentType = "global"
    region: str = ANY
    model: str = ANY

    def fits(self, kind: DeploymentType, region: str, model: str) -> bool:
        """Whether it is the price of such a deployment."""
        return self.deployment_type == kind and self.region in (ANY, region) and self.model in (ANY, model)


@dataclass(frozen=True)
class PtuTable:
    """Models and prices. Of several prices that fit, the most precise counts, then the one that comes first."""

    models: Mapping[str, PtuModel]
    prices: tuple[PtuPrice, ...]
    note: str = ""

    def model(self, name: str) -> PtuModel | None:
        """The model of that name; a date at the end of the name (`gpt-5-2025-08-07`) does not matter."""
        return self.models.get(name) or self.models.get(_DATED.sub("", name))

    def output_ratio(self, name: str) -> float:
        """Input tokens that an output token of a model counts for; that of its family where the model is not known."""
        known = self.model(name)
        if known is None:
            families = [stem for stem in self.models if name.startswith((f"{stem}-", f"{stem}."))]
            known = self.models[max(families, key=len)] if families else None
        return UNKNOWN_OUTPUT_RATIO if known is None else known.output_ratio

    def price(self, term: Term, kind: DeploymentType, region: str = ANY, model: str = ANY) -> PtuPrice | None:
        """The price of a unit for a term, or None where it is not known."""
        fitting = [one for one in self.prices if term in one.usd and one.fits(kind, region, model)]
        return max(fitting, key=lambda one: (one.region != ANY) + (one.model != ANY), default=None)

    def with_prices(self, prices: Iterable[PtuPrice]) -> PtuTable:
        """The table with prices that go before its own."""
        return PtuTable(self.models, (*prices, *self.prices), self.note)


def monthly_usd(price: PtuPrice, term: Term) -> Decimal:
    """Dollars for one unit and a month of 730 hours."""
    return price.usd[term] * (HOURS_A_MONTH if term == "hourly" else 1)
