"""What the commands that compare costs are given: traffic, prices, the figures of units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from costs.compare import Comparison, Sizing, compare
from costs.money import UnitPrices
from costs.prices import Called, PriceBook
from costs.prices_override import PriceOverride
from costs.ptu import DeploymentType, PtuModel, PtuPrice, PtuTable, Steps, Term
from costs.traffic import Described, Traffic, described

MILLION: Final = 1_000_000

USUAL_STEPS: Final[Mapping[DeploymentType, Steps]] = {
    "global": Steps(15, 5),
    "data_zone": Steps(15, 5),
    "regional": Steps(50, 50),
}
"""What most models have: taken for one that the table does not know."""


class CostInputError(ValueError):
    """Something that was asked for cannot be compared; the message says what to give."""


@dataclass(frozen=True)
class UnitFigures:
    """What the reader says of units: it goes before the table and the configuration. Dollars for one unit."""

    usd: Mapping[Term, Decimal] = field(default_factory=dict)
    input_tpm: float | None = None
    output_ratio: float | None = None


@dataclass(frozen=True)
class Load:
    """Calls that are all alike, as the command line describes them; `cached` is a share of the input."""

    rpm: float
    peak: float
    input_tokens: float
    cached: float
    output_tokens: float


@dataclass(frozen=True)
class Compared:
    """What could be compared, and why the rest could not."""

    comparisons: tuple[Comparison, ...]
    left_out: Mapping[str, str]


def with_figures(table: PtuTable, figures: UnitFigures, sizing: Sizing) -> PtuTable:
    """The table under the reader's own prices."""
    if not figures.usd:
        return table
    return table.with_prices([PtuPrice("command line", figures.usd, sizing.kind, sizing.region)])


def model_of(table: PtuTable, name: str, figures: UnitFigures) -> PtuModel:
    """A model's figures. Raises CostInputError where they are neither known nor given."""
    known = table.model(name)
    tpm = figures.input_tpm or (known.input_tpm if known else None)
    ratio = figures.output_ratio if figures.output_ratio is not None else (known.output_ratio if known else None)
    if tpm is None or ratio is None:
        raise CostInputError(
            f"what a unit carries of {name} is not known: give --tpm-per-ptu and --output-ratio, or a --ptu-table; "
            f"known are {', '.join(sorted(table.models))}"
        )
    return PtuModel(name, tpm, ratio, known.steps if known else USUAL_STEPS)


def describe(book: PriceBook, model: str, provider: str | None, load: Load, day: int) -> Traffic:
    """Traffic of calls that are all alike, priced on a day. Raises CostInputError for a model without a price."""
    quote = book.quote(Called(model, provider), day)
    if quote is None:
        raise CostInputError(_no_price(model))
    prices = next(prices for limit, prices in quote.steps if limit is None or load.input_tokens <= limit)
    read, kept = Decimal(repr(load.input_tokens)), Decimal(repr(load.input_tokens)) * Decimal(repr(load.cached))
    usd = (read - kept) * prices.fresh + kept * prices.cached + Decimal(repr(load.output_tokens)) * prices.written
    alike = Described(load.rpm, load.peak, load.input_tokens, load.cached, load.output_tokens, float(usd))
    return described(model, alike)


def compare_all(traffic: Mapping[str, Traffic], table: PtuTable, figures: UnitFigures, sizing: Sizing) -> Compared:
    """Compare each model that can be. Raises CostInputError with every reason if none can."""
    made, left_out = [], {}
    for name, one in traffic.items():
        if one.unpriced:
            of = f"{one.unpriced:,} of {int(one.requests.sum()):,} calls of {name} have no price"
            left_out[name] = f"{of}: {_no_price(name)}"
            continue
        try:
            made.append(compare(one, table, model_of(table, name, figures), sizing))
        except ValueError as error:
            left_out[name] = str(error)
    if not made:
        raise CostInputError("; ".join(left_out.values()))
    return Compared(tuple(made), left_out)


def own_prices(model: str, input_usd: Decimal, cached_usd: Decimal | None, output_usd: Decimal) -> PriceOverride:
    """Pay-as-you-go prices from the command line, dollars for a million tokens, as a contract."""
    fresh, written = input_usd / MILLION, output_usd / MILLION
    cached = fresh if cached_usd is None else cached_usd / MILLION
    return PriceOverride("command line", model, UnitPrices(fresh, cached, written))


def _no_price(model: str) -> str:
    return f"no price of {model} is known: give --payg-input and --payg-output, or a contract in [prices]"


def read_own_table(path: Path | None, table: PtuTable) -> PtuTable:
    """The reader's own table of units, under the configuration's prices; `table` if there is none."""
    from stream.ptu_table import read_table

    if path is None:
        return table
    own = read_table(path)
    contract = tuple(price for price in table.prices if price.source.startswith("contract "))
    return own.with_prices(contract)
