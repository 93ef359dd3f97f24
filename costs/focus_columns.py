"""The columns of FOCUS 1.2 that Midwatch writes, with the rules that the specification sets for each.

Source: FinOps Open Cost and Usage Specification 1.2, `specification/columns`. Left out are columns that are needed only
of a provider that has the thing: availability zones, regions, capacity reservations, sub accounts. Columns of our own
carry the prefix `x_` and stand last.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

FOCUS_VERSION: Final = "1.2"

ColumnKind = Literal["text", "decimal", "time", "json"]


class Column(NamedTuple):
    """A column: its name, what it holds, and whether a row may leave it empty."""

    name: str
    kind: ColumnKind
    nullable: bool


COLUMNS: Final = (
    Column("BilledCost", "decimal", nullable=False),
    Column("BillingAccountId", "text", nullable=False),
    Column("BillingAccountName", "text", nullable=False),
    Column("BillingCurrency", "text", nullable=False),
    Column("BillingPeriodEnd", "time", nullable=False),
    Column("BillingPeriodStart", "time", nullable=False),
    Column("ChargeCategory", "text", nullable=False),
    Column("ChargeClass", "text", nullable=True),
    Column("ChargeDescription", "text", nullable=True),
    Column("ChargeFrequency", "text", nullable=False),
    Column("ChargePeriodEnd", "time", nullable=False),
    Column("ChargePeriodStart", "time", nullable=False),
    Column("CommitmentDiscountCategory", "text", nullable=True),
    Column("CommitmentDiscountId", "text", nullable=True),
    Column("CommitmentDiscountName", "text", nullable=True),
    Column("CommitmentDiscountQuantity", "decimal", nullable=True),
    Column("CommitmentDiscountStatus", "text", nullable=True),
    Column("CommitmentDiscountType", "text", nullable=True),
    Column("CommitmentDiscountUnit", "text", nullable=True),
    Column("ConsumedQuantity", "decimal", nullable=True),
    Column("ConsumedUnit", "text", nullable=True),
    Column("ContractedCost", "decimal", nullable=False),
    Column("ContractedUnitPrice", "decimal", nullable=True),
    Column("EffectiveCost", "decimal", nullable=False),
    Column("InvoiceId", "text", nullable=False),
    Column("InvoiceIssuerName", "text", nullable=False),
    Column("ListCost", "decimal", nullable=False),
    Column("ListUnitPrice", "decimal", nullable=True),
    Column("PricingCategory", "text", nullable=True),
    Column("PricingCurrency", "text", nullable=True),
    Column("PricingCurrencyContractedUnitPrice", "decimal", nullable=True),
    Column("PricingCurrencyEffectiveCost", "decimal", nullable=False),
    Column("PricingCurrencyListUnitPrice", "decimal", nullable=True),
    Column("PricingQuantity", "decimal", nullable=True),
    Column("PricingUnit", "text", nullable=True),
    Column("ProviderName", "text", nullable=False),
    Column("PublisherName", "text", nullable=False),
    Column("ResourceId", "text", nullable=True),
    Column("ResourceName", "text", nullable=True),
    Column("ResourceType", "text", nullable=True),
    Column("ServiceCategory", "text", nullable=False),
    Column("ServiceName", "text", nullable=False),
    Column("ServiceSubcategory", "text", nullable=False),
    Column("SkuId", "text", nullable=True),
    Column("SkuMeter", "text", nullable=True),
    Column("SkuPriceDetails", "json", nullable=True),
    Column("SkuPriceId", "text", nullable=True),
    Column("Tags", "json", nullable=True),
    Column("x_CostSource", "text", nullable=True),
    Column("x_Deployment", "text", nullable=True),
    Column("x_Environment", "text", nullable=True),
    Column("x_Model", "text", nullable=True),
    Column("x_Pricing", "text", nullable=True),
    Column("x_ServiceTier", "text", nullable=True),
    Column("x_System", "text", nullable=True),
)

AI: Final = "AI and Machine Learning"
"""The `ServiceCategory` of language models."""

COST_SCALE: Final = 12
"""Decimal places of costs and unit prices."""
