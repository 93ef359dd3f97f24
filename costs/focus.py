"""A month's chargeback as FOCUS 1.2 rows.

Each charge becomes one row for each meter (input, cached input and output tokens), by the day. Costs are those of the
chargeback to the micro-dollar: the rows of a charge add up to it, and the rows of a month to the month. Unit prices are
the price book's, that of the list and that of the contract, and `ListCost` and `ContractedCost` their exact products
with the quantity: these differ from the billed cost by the rounding of single calls. A charge whose price is no plain
sum of tokens (a long context, a cost that the event brought along) is one row at its average price.

A flat commitment is a `Purchase` row that bears the `BilledCost`, and `Usage` rows `Used` and `Unused` that bear the
`EffectiveCost`: both columns add up to the month. Usage without a price has no row: FOCUS knows no cost that is not
known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, NamedTuple

from costs.chargeback import Chargeback
from costs.chargeback_charges import Amounts, ChargeKey
from costs.chargeback_commitments import largest_remainder
from costs.focus_columns import AI, COLUMNS, COST_SCALE
from costs.focus_names import parties_of
from costs.money import UnitPrices
from costs.prices import Called, PriceBook, unit_prices
from costs.tags import Tags
from schemas.series import MICRO_USD

FocusRow = dict[str, Any]
"""Values by column: texts, Decimals, datetimes in UTC, None."""

RESOURCE_TYPE: Final = "AI Agent System"
COMMITMENT_TYPE: Final = "Provisioned Throughput"

_SCALE: Final = Decimal(1).scaleb(-COST_SCALE)
_WEIGHT: Final = 10**15
"""Unit prices are weighed in whole numbers of this fraction of a dollar."""


class _Part(NamedTuple):
    """A meter's part of a charge; prices in dollars for a unit, `micro` what it costs."""

    meter: str
    quantity: int
    unit: str
    list_price: Decimal
    contract_price: Decimal
    micro: int


def focus_rows(report: Chargeback) -> Iterator[FocusRow]:
    """The rows of a month, in the order of charges; every column of `COLUMNS` is in every row."""
    for row in _rows(report):
        # Prices are in the currency of the bill.
        row["PricingCurrency"] = row["BillingCurrency"]
        for name in ("ContractedUnitPrice", "EffectiveCost", "ListUnitPrice"):
            row[f"PricingCurrency{name}"] = row[name]
        yield row


def _rows(report: Chargeback) -> Iterator[FocusRow]:
    shares = report.allocation.shares
    for key, amounts in report.book.sorted_charges():
        if key.source == "flat" and key in shares:
            yield _used(report, key, amounts, *shares[key])
        elif key.source in {"book", "event"}:
            for part in _parts(key, amounts, report.book.prices):
                yield _metered(report, key, part)
    for name, micro in report.allocation.totals.items():
        yield _purchase(report, name, micro)
    for unused in report.allocation.unused:
        yield _unused(report, unused.commitment, unused.micro, unused.tags)


def _parts(key: ChargeKey, amounts: Amounts, book: PriceBook) -> list[_Part]:
    prices = _unit_prices(key, book) if key.source == "book" else None
    if prices is None:
        return [_average(amounts, amounts.micro)]
    listed, agreed = prices
    meters = (
        ("Input Tokens", amounts.input_tokens - amounts.cached_tokens, listed.fresh, agreed.fresh),
        ("Cached Input Tokens", amounts.cached_tokens, listed.cached, agreed.cached),
        ("Output Tokens", amounts.output_tokens, listed.written, agreed.written),
    )
    exact = sum((price * tokens for _, tokens, _, price in meters), Decimal(0)) * MICRO_USD
    weights = [int(price * tokens * _WEIGHT) for _, tokens, _, price in meters]
    # A call is rounded by half a micro-dollar at most; what is further away was priced by other steps of the book.
    if abs(exact - amounts.micro) > amounts.requests or not any(tokens for _, tokens, _, _ in meters):
        return [_average(amounts, amounts.micro)]
    costs = largest_remainder(amounts.micro, weights) if any(weights) else [amounts.micro, 0, 0]
    return [
        _Part(meter, tokens, "Tokens", _exact(on_list), _exact(by_contract), micro)
        for (meter, tokens, on_list, by_contract), micro in zip(meters, costs, strict=True)
        if tokens
    ]


def _unit_prices(key: ChargeKey, book: PriceBook) -> tuple[UnitPrices, UnitPrices] | None:
    """List prices and those that hold; None where they are no plain sum. A contract stands in for a list without it."""
    provider = key.provider or None
    listed = unit_prices(key.model, provider, key.day)
    contract = book.override(Called(key.model, provider, key.deployment or None, key.tier), key.day)
    if contract is not None:
        agreed = contract.steps(key.tier)[0][1]
        return listed or agreed, agreed
    return None if listed is None else (listed, listed)


def _exact(price: Decimal) -> Decimal:
    return price.quantize(_SCALE, ROUND_HALF_EVEN)


def _average(amounts: Amounts, micro: int) -> _Part:
    """All of a charge as one meter, at its average price."""
    quantity, unit = (amounts.tokens, "Tokens") if amounts.tokens else (amounts.requests, "Requests")
    price = _exact(Decimal(micro) / MICRO_USD / quantity)
    return _Part(unit, quantity, unit, price, price, micro)


def _dollars(micro: int) -> Decimal:
    return Decimal(micro) / MICRO_USD


def _common(report: Chargeback, category: str, tags: Tags) -> FocusRow:
    billing = report.book.tagger.policy.billing
    start, end = (datetime.fromtimestamp(hour * 3600, UTC) for hour in report.month)
    row: FocusRow = dict.fromkeys((column.name for column in COLUMNS), None)
    row.update(
        BillingAccountId=billing.account_id,
        BillingAccountName=billing.account_name or billing.account_id,
        BillingCurrency="USD",
        BillingPeriodStart=start,
        BillingPeriodEnd=end,
        ChargePeriodStart=start,
        ChargePeriodEnd=end,
        ChargeCategory=category,
        ChargeFrequency="Usage-Based",
        InvoiceId=f"{billing.account_id}-{report.month}",
        ServiceCategory=AI,
        ServiceSubcategory="Generative AI",
        Tags=json.dumps(dict(tags), ensure_ascii=False, sort_keys=True) if tags else None,
    )
    return row


def _usage(report: Chargeback, key: ChargeKey, part: _Part) -> FocusRow:
    """What a row of usage says, all but its billed and effective cost."""
    policy = report.book.tagger.policy
    start = datetime.fromtimestamp(key.day * 86_400, UTC)
    parties = parties_of(key.provider, key.model, policy.billing)
    sku = f"{key.provider or parties.provider}/{key.model}/{part.meter}"
    row = _common(report, "Usage", key.tags)
    row.update(
        ChargePeriodStart=start,
        ChargePeriodEnd=start + timedelta(days=1),
        ChargeDescription=f"{part.meter} of {key.model}",
        ConsumedQuantity=Decimal(part.quantity),
        ConsumedUnit=part.unit,
        PricingQuantity=Decimal(part.quantity),
        PricingUnit=part.unit,
        PricingCategory="Standard",
        ListUnitPrice=part.list_price,
        ListCost=part.list_price * part.quantity,
        ContractedUnitPrice=part.contract_price,
        ContractedCost=part.contract_price * part.quantity,
        ProviderName=parties.provider,
        PublisherName=parties.publisher,
        InvoiceIssuerName=parties.issuer,
        ServiceName=parties.service,
        ResourceId=policy.resource_of(key.environment, key.system),
        ResourceName=key.system,
        ResourceType=RESOURCE_TYPE,
        SkuId=sku,
        SkuMeter=part.meter,
        SkuPriceId=f"{sku}/{key.tier}/{key.pricing}",
        x_CostSource=key.source,
        x_Deployment=key.deployment or None,
        x_Environment=key.environment,
        x_Model=key.model,
        x_Pricing=key.pricing,
        x_ServiceTier=key.tier,
        x_System=key.system,
    )
    return row


def _metered(report: Chargeback, key: ChargeKey, part: _Part) -> FocusRow:
    row = _usage(report, key, part)
    row.update(BilledCost=_dollars(part.micro), EffectiveCost=_dollars(part.micro))
    return row


def _used(report: Chargeback, key: ChargeKey, amounts: Amounts, name: str, micro: int) -> FocusRow:
    """Provisioned usage: paid for by the purchase, it bears its share of that."""
    row = _usage(report, key, _average(amounts, micro))
    row.update(_commitment(report, name, "Used", micro))
    row.update(BilledCost=Decimal(0), EffectiveCost=_dollars(micro), PricingCategory="Committed")
    return row


def _commitment(report: Chargeback, name: str, status: str | None, micro: int) -> FocusRow:
    """A commitment's columns. It is one of spend: its quantity is dollars."""
    return {
        "CommitmentDiscountCategory": "Spend",
        "CommitmentDiscountId": report.book.tagger.policy.commitments[name].id or name,
        "CommitmentDiscountName": name,
        "CommitmentDiscountQuantity": _dollars(micro),
        "CommitmentDiscountStatus": status,
        "CommitmentDiscountType": COMMITMENT_TYPE,
        "CommitmentDiscountUnit": "USD",
    }


def _flat(report: Chargeback, name: str, category: str, tags: Tags, micro: int) -> FocusRow:
    """A row about a commitment itself: the resource is the commitment, the quantity one month."""
    billing, commitment = report.book.tagger.policy.billing, report.book.tagger.policy.commitments[name]
    model = commitment.models[0] if commitment.models else ""
    parties = parties_of(commitment.provider, model, billing)
    row = _common(report, category, tags)
    row.update(
        PricingQuantity=Decimal(1),
        PricingUnit="Months",
        ListUnitPrice=_dollars(micro),
        ListCost=_dollars(micro),
        ContractedUnitPrice=_dollars(micro),
        ContractedCost=_dollars(micro),
        ProviderName=parties.provider,
        PublisherName=parties.publisher,
        InvoiceIssuerName=parties.issuer,
        ServiceName=parties.service,
        ResourceId=commitment.id or name,
        ResourceName=name,
        ResourceType=COMMITMENT_TYPE,
        SkuId=f"{COMMITMENT_TYPE}/{name}",
        SkuMeter=COMMITMENT_TYPE,
        SkuPriceId=f"{COMMITMENT_TYPE}/{name}/month",
        x_CostSource="flat",
        x_Pricing="ptu",
    )
    return row


def _purchase(report: Chargeback, name: str, micro: int) -> FocusRow:
    tags = tuple(sorted(report.book.tagger.policy.commitments[name].tags.items()))
    row = _flat(report, name, "Purchase", tags, micro)
    row.update(_commitment(report, name, None, micro))
    row.update(
        BilledCost=_dollars(micro),
        EffectiveCost=Decimal(0),
        ChargeDescription=f"Commitment {name} for {report.month}",
        ChargeFrequency="Recurring",
        PricingCategory="Standard",
    )
    return row


def _unused(report: Chargeback, name: str, micro: int, tags: Tags) -> FocusRow:
    row = _flat(report, name, "Usage", tags, micro)
    row.update(_commitment(report, name, "Unused", micro))
    row.update(
        BilledCost=Decimal(0),
        EffectiveCost=_dollars(micro),
        ChargeDescription=f"What was not used of commitment {name} in {report.month}",
        PricingCategory="Committed",
    )
    return row
