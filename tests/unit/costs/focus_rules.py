"""The rules of FOCUS 1.2 for a dataset, as far as its rows show them: what `problems` finds breaks one.

Each rule is that of the specification's page on the column it names. Rows come as texts by column, None for null: so a
CSV file is checked as it was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from costs.focus_columns import COLUMNS

Row = Mapping[str, str | None]

MANDATORY: Final = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName",
}  # fmt: skip
COSTS: Final = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
NUMBER: Final = re.compile(r"-?\d+(\.\d+)?(E-?\d+)?", re.ASCII)
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
NOT_FOR_TAX: Final = (
    "ListUnitPrice",
    "ContractedUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "SkuId",
    "SkuPriceId",
)
CATEGORIES: Final[set[str | None]] = {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}


def problems(names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """What breaks a rule."""
    found = [f"mandatory column {name} is missing" for name in sorted(MANDATORY - set(names))]
    own = [name for name in names if name.startswith("x_")]
    if list(names[len(names) - len(own) :]) != own:
        found.append("columns of our own stand between those of FOCUS")
    for number, row in enumerate(rows):
        found.extend(f"row {number}: {problem}" for problem in _row(row))
    found.extend(_commitments(rows))
    found.extend(_skus(rows))
    return found


def _row(row: Row) -> Iterator[str]:
    for column in COLUMNS:
        value = row[column.name]
        if value is None:
            if not column.nullable:
                yield f"{column.name} is null"
        elif not value or value in {"Not Applicable", "N/A"}:
            yield f"{column.name} is a placeholder"
        elif column.kind == "decimal" and not NUMBER.fullmatch(value):
            yield f"{column.name} {value} is no number"
        elif column.kind == "time" and not TIME.fullmatch(value):
            yield f"{column.name} {value} is no time"
    yield from _tags(row)
    yield from _periods(row)
    yield from _nullability(row)
    yield from _products(row)
    yield from _currencies(row)
    yield from _together(row)
    yield from _words(row)


def _tags(row: Row) -> Iterator[str]:
    if row["Tags"] is not None:
        tags = json.loads(row["Tags"])
        if not isinstance(tags, dict) or any(isinstance(value, dict | list) for value in tags.values()):
            yield "Tags is no flat JSON object"


def _periods(row: Row) -> Iterator[str]:
    start, end, first, last = (
        datetime.fromisoformat((row[name] or "").removesuffix("Z"))
        for name in ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd")
    )
    if not first <= start < end <= last:
        yield "the charge period does not lie in the billing period"


def _nullability(row: Row) -> Iterator[str]:
    category, status = row["ChargeCategory"], row["CommitmentDiscountStatus"]
    if category in {"Usage", "Purchase"}:
        yield from (f"{name} is null of {category}" for name in NOT_FOR_TAX if row[name] is None)
    consumes = category == "Usage" and status != "Unused"
    if (row["ConsumedQuantity"] is not None) != consumes:
        yield "ConsumedQuantity is null, or not null where it must be"
    if (status is not None) != (category == "Usage" and row["CommitmentDiscountId"] is not None):
        yield "CommitmentDiscountStatus does not fit the id and the category"
    if category == "Purchase" and row["ChargeFrequency"] == "Usage-Based":
        yield "a purchase is not Usage-Based"
    if category == "Purchase" and row["CommitmentDiscountId"] and Decimal(row["EffectiveCost"] or "1"):
        yield "a purchase for the future has an EffectiveCost"
    if status and Decimal(row["BilledCost"] or "1"):
        yield "what a commitment covers has a BilledCost"
    if row["ProviderName"] != row["InvoiceIssuerName"] and Decimal(row["BilledCost"] or "0"):
        yield "what a third party is paid for has a BilledCost"
    if (row["PricingCategory"] == "Committed") != (status is not None):
        yield "PricingCategory does not say Committed of what a commitment covers"


def _products(row: Row) -> Iterator[str]:
    for price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
        unit, quantity, whole = row[price], row["PricingQuantity"], row[cost]
        if unit and quantity and whole:
            if Decimal(unit) < 0:
                yield f"{price} is negative"
            if Decimal(unit) * Decimal(quantity) != Decimal(whole):
                yield f"{price} times PricingQuantity is not {cost}"


def _currencies(row: Row) -> Iterator[str]:
    if row["PricingCurrency"] == row["BillingCurrency"]:
        for name in ("ContractedUnitPrice", "EffectiveCost", "ListUnitPrice"):
            if row[f"PricingCurrency{name}"] != row[name]:
                yield f"{name} differs from itself in the same currency"


def _together(row: Row) -> Iterator[str]:
    pairs = (
        ("PricingQuantity", "PricingUnit"), ("ConsumedQuantity", "ConsumedUnit"), ("ResourceId", "ResourceType"),
        ("CommitmentDiscountId", "CommitmentDiscountCategory"), ("CommitmentDiscountId", "CommitmentDiscountType"),
        ("CommitmentDiscountId", "CommitmentDiscountQuantity"),
        ("CommitmentDiscountQuantity", "CommitmentDiscountUnit"), ("SkuId", "SkuMeter"),
    )  # fmt: skip
    for one, other in pairs:
        if (row[one] is None) != (row[other] is None):
            yield f"{one} and {other} are not null together"


def _words(row: Row) -> Iterator[str]:
    allowed: dict[str, set[str | None]] = {
        "ChargeCategory": CATEGORIES,
        "ChargeClass": {None, "Correction"},
        "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
        "CommitmentDiscountCategory": {None, "Spend", "Usage"},
        "CommitmentDiscountStatus": {None, "Used", "Unused"},
        "PricingCategory": {None, "Standard", "Dynamic", "Committed", "Other"},
        "ServiceCategory": {"AI and Machine Learning"},
        "ServiceSubcategory": {"Generative AI"},
    }
    yield from (f"{name} is {row[name]}" for name, words in allowed.items() if row[name] not in words)
    if not re.fullmatch(r"[A-Z]{3}", row["BillingCurrency"] or ""):
        yield "BillingCurrency is no currency"


def _commitments(rows: Sequence[Row]) -> Iterator[str]:
    """What was bought of a commitment is what was used and what was not."""
    bought: dict[str, Decimal] = {}
    spent: dict[str, Decimal] = {}
    for row in rows:
        name = row["CommitmentDiscountId"]
        if name is not None:
            sums, cost = (bought, "BilledCost") if row["ChargeCategory"] == "Purchase" else (spent, "EffectiveCost")
            sums[name] = sums.get(name, Decimal(0)) + Decimal(row[cost] or "0")
            if row["CommitmentDiscountStatus"] != "Used" and row["ResourceId"] != name:
                yield f"the resource of {name} is {row['ResourceId']}"
    yield from (
        f"commitment {name}: {bought[name]} bought, {spent.get(name)} spent"
        for name in bought
        if bought[name] != spent.get(name, Decimal(0))
    )


def _skus(rows: Sequence[Row]) -> Iterator[str]:
    """A price has one SKU."""
    parent: dict[str | None, str | None] = {}
    for row in rows:
        if parent.setdefault(row["SkuPriceId"], row["SkuId"]) != row["SkuId"]:
            yield f"{row['SkuPriceId']} has several SKUs"
