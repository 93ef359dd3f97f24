"""The sections of the configuration that are about money: contract prices, commitments, prices of units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Final

from pydantic import Field, model_validator

from costs.budgets import BudgetRule
from costs.money import UnitPrices, usd_to_micro
from costs.prices_override import PriceOverride, ambiguous
from costs.ptu import DeploymentType, PtuPrice, PtuTable, Term
from costs.ptu_commitments import Commitment
from schemas.series import MICRO_USD
from schemas.words import ServiceTier
from stream.settings_sections import Section, Wildcard

MILLION: Final = 1_000_000
EPOCH: Final = date(1970, 1, 1).toordinal()
FIRST_DAY: Final = date(2000, 1, 1)

PerMillion = Annotated[float, Field(ge=0, le=10_000)]
"""Dollars for a million tokens; the dearest list price so far is 600, so more than 10,000 is a slip of units."""

PerUnit = Annotated[float, Field(ge=0, le=100_000)]
Currency = Annotated[str, Field(min_length=3, max_length=3)]


class TokenPrices(Section):
    """Dollars for a million tokens."""

    input: PerMillion = Field(description="Dollars for a million tokens read.")
    cached_input: PerMillion | None = Field(
        None, description="Dollars for a million tokens read from the cache; as input if not given."
    )
    output: PerMillion = Field(description="Dollars for a million tokens written.")

    def units(self) -> UnitPrices:
        """Dollars a token."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh, kept, written = (Decimal(repr(price)) / MILLION for price in (self.input, cached, self.output))
        return UnitPrices(fresh, kept, written)


class PriceSection(TokenPrices):
    """What a contract charges for calls, instead of the list price."""

    model: Wildcard = Field("*", description="Model, as in the events; may end in *.")
    provider: str | None = Field(None, description="Provider, as in the events; any if not given.")
    deployment: str | None = Field(None, description="Deployment, as in the events; any if not given.")
    from_date: date | None = Field(None, ge=FIRST_DAY, description="First day (UTC) on which it holds.")
    until_date: date | None = Field(None, ge=FIRST_DAY, description="Last day (UTC) on which it holds.")
    currency: Currency = Field("USD", description="USD: all money is counted in dollars.")
    tiers: dict[ServiceTier, TokenPrices] = Field(
        default_factory=dict, description="Prices of the service tiers batch, flex and priority, where they differ."
    )
    above: dict[str, TokenPrices] = Field(
        default_factory=dict, description="Prices of calls with more input tokens than the key says."
    )

    @model_validator(mode="after")
    def _sound(self) -> PriceSection:
        wrong = [
            *_currency_problem(self.currency),
            *_span_problem(self.from_date, self.until_date),
            *(f"above.{key}: the key is a number of tokens, like 272000" for key in self.above if not _is_step(key)),
        ]
        if "standard" in self.tiers:
            wrong.append("tiers.standard: the standard prices are input, cached_input and output themselves")
        if "*" in self.model[:-1]:
            wrong.append("model may have one *, at its end")
        if self.model == "*" and self.deployment is None:
            wrong.append("name a model or a deployment")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def override(self, name: str) -> PriceOverride:
        """What the price book takes."""
        return PriceOverride(
            name=name,
            model=self.model,
            prices=self.units(),
            provider=self.provider,
            deployment=self.deployment,
            first_day=_day(self.from_date),
            end_day=None if self.until_date is None else day_of(self.until_date) + 1,
            tiers={tier: prices.units() for tier, prices in self.tiers.items()},
            above=tuple(sorted((int(step), prices.units()) for step, prices in self.above.items())),
        )


class PtuPriceSection(Section):
    """What a provisioned unit (PTU) costs by contract, by term."""

    deployment_type: DeploymentType = Field("global", description="global, data_zone or regional.")
    region: Wildcard = Field("*", description="Region that it holds for, * for all.")
    model: Wildcard = Field("*", description="Model that it holds for, * for all.")
    hourly_usd: PerUnit | None = Field(None, description="Dollars for a unit and an hour.")
    monthly_usd: PerUnit | None = Field(None, description="Dollars for a unit and a month, reserved by the month.")
    yearly_usd: PerUnit | None = Field(None, description="Dollars for a unit and a month, reserved by the year.")
    currency: Currency = Field("USD", description="USD: all money is counted in dollars.")

    @model_validator(mode="after")
    def _sound(self) -> PtuPriceSection:
        if wrong := list(_currency_problem(self.currency)):
            raise ValueError("; ".join(wrong))
        return self

    def price(self, name: str) -> PtuPrice:
        """What the table takes."""
        given: dict[Term, float | None] = {
            "hourly": self.hourly_usd,
            "monthly": self.monthly_usd,
            "yearly": self.yearly_usd,
        }
        usd = {term: Decimal(repr(amount)) for term, amount in given.items() if amount is not None}
        return PtuPrice(f"contract {name}", usd, self.deployment_type, self.region, self.model)


class CostsSettings(Section):
    """The quarterly comparison of provisioned throughput with pay-as-you-go."""

    quarterly_report: bool = Field(default=True, description="Publish it to midwatch.reports by itself.")
    deployment_type: DeploymentType = Field("global", description="global, data_zone or regional.")
    region: Wildcard = Field("*", description="Region, where a contract's price has one.")


class CommitmentSection(Section):
    """Provisioned units that are paid for, used or not: their cost accrues to a budget by the hour."""

    ptus: int = Field(gt=0, le=1_000_000, description="Units (PTU) that are paid for.")
    term: Term = Field(description="hourly, monthly or yearly: how they are paid for.")
    from_date: date = Field(ge=FIRST_DAY, description="First day (UTC) that is paid for.")
    until_date: date | None = Field(None, ge=FIRST_DAY, description="Last day (UTC) that is paid for.")
    price_usd: PerUnit | None = Field(
        None, description="Dollars for a unit: an hour if hourly, else a month. From [ptu_prices] if not given."
    )
    deployment_type: DeploymentType = Field("global", description="global, data_zone or regional.")
    region: Wildcard = Field("*", description="Region, to find its price.")
    model: Wildcard = Field("*", description="Model, to find its price.")
    environment: Wildcard = Field("*", description="Environment that it is for, as in a budget.")
    system: Wildcard = Field("*", description="System that it is for, as in a budget.")
    tags: dict[str, str] = Field(default_factory=dict, description="Tags that it counts under, e.g. cost-center.")
    budget: str | None = Field(
        None, description="Budget that pays for it; else every one that covers its environment, system and tags."
    )

    @model_validator(mode="after")
    def _sound(self) -> CommitmentSection:
        if wrong := list(_span_problem(self.from_date, self.until_date)):
            raise ValueError("; ".join(wrong))
        return self

    def micro_per_unit(self, table: PtuTable) -> int | None:
        """Micro-dollars for a unit, or None where no price is known."""
        if self.price_usd is not None:
            return usd_to_micro(self.price_usd)
        price = table.price(self.term, self.deployment_type, self.region, self.model)
        return None if price is None else usd_to_micro(price.usd[self.term])

    def commitment(self, name: str, table: PtuTable) -> Commitment:
        """What accrues. Without a price nothing does: the configuration is refused before."""
        return Commitment(
            name=name,
            units=self.ptus,
            term=self.term,
            micro_per_unit=self.micro_per_unit(table) or 0,
            first_hour=24 * day_of(self.from_date),
            end_hour=None if self.until_date is None else 24 * (day_of(self.until_date) + 1),
            environment=self.environment,
            system=self.system,
            tags=tuple(sorted(self.tags.items())),
            budget=self.budget,
        )


def cost_problems(
    prices: Mapping[str, PriceSection],
    commitments: Mapping[str, CommitmentSection],
    budgets: Mapping[str, object],
    table: PtuTable,
) -> Iterator[str]:
    """What the money sections say against each other."""
    for one, other in ambiguous([section.override(name) for name, section in sorted(prices.items())]):
        yield f"prices.{one} and prices.{other} price the same calls from the same day on: keep one of them"
    for name, section in sorted(commitments.items()):
        if section.budget is not None and section.budget not in budgets:
            known = ", ".join(sorted(budgets)) or "none"
            yield f"commitments.{name}.budget: there is no budget '{section.budget}'; known: {known}"
        if section.micro_per_unit(table) is None:
            yield (
                f"commitments.{name}: no price is known for a {section.deployment_type} unit, {section.term}: "
                "give price_usd, or a price in [ptu_prices]"
            )


def flat_parts(commitments: Sequence[Commitment], rule: BudgetRule) -> list[dict[str, float | int | str | None]]:
    """What accrues to a budget by the hour, as `burn_rate` takes it."""
    return [
        {
            "usd": one.units * one.micro_per_unit / MICRO_USD,
            "every": "hour" if one.term == "hourly" else "month",
            "first_hour": one.first_hour,
            "end_hour": one.end_hour,
        }
        for one in commitments
        if one.counts_against(rule)
    ]


def day_of(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - EPOCH


def _day(day: date | None) -> int | None:
    return None if day is None else day_of(day)


def _is_step(key: str) -> bool:
    return key.isascii() and key.isdigit() and 0 < int(key) <= 100 * MILLION


def _currency_problem(currency: str) -> Iterator[str]:
    if currency != "USD":
        yield f"currency {currency} cannot be mixed with the list's dollars: write the price in USD"


def _span_problem(start: date | None, end: date | None) -> Iterator[str]:
    if start is not None and end is not None and end < start:
        yield f"until_date {end} lies before from_date {start}"
