"""FOCUS 1.2 rows: conformant as far as rows tell, and to the micro-dollar the chargeback that they are made of."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings

from costs.chargeback import Chargeback, chargeback
from costs.chargeback_charges import ChargeBook
from costs.focus import focus_rows
from costs.focus_columns import COLUMNS
from costs.focus_names import Parties, parties_of
from costs.money import UnitPrices
from costs.prices import PriceBook
from costs.reconcile import Tolerance, our_sums, reconcile
from costs.tags_policy import Billing, Commitment, Policy
from costs.tags_resolve import Tagger
from stream.adapters import Usage
from stream.focus_bill import BillReader
from stream.focus_write import write_focus_csv, write_focus_parquet
from tests.unit.costs.focus_rules import problems
from tests.unit.costs.test_chargeback import events
from tests.unit.costs.usage import OCTOBER, book, contract, usage

A = {"cost-center": "a", "Owner": 'quote " and, comma'}
POLICY = Policy(
    commitments={
        "east": Commitment(usd_per_month=100.0, models=("large",), tags={"cost-center": "platform"}),
        "idle": Commitment(usd_per_month=7.0, system="nobody", id="/providers/capacity/reservationOrders/1"),
        "part": Commitment(usd_per_month=10.0, models=("small",), capacity_tokens_per_minute=1),
    },
    resources={"prod/refunds": "/subscriptions/1/accounts/Refunds"},
)
EVENTS = [
    usage("1", A, cached_input_tokens=10, provider="azure"),
    usage("2", A, model="large", system="claims", pricing="spillover"),
    usage("3", model="large", pricing="ptu"),
    usage("4", A, pricing="ptu"),
    usage("5", cost_usd=0.123456),
    usage("6", cost_usd=0.5, input_tokens=0, output_tokens=0),
    usage("7", A, model="unknown"),
    usage("8", A, model="large", input_tokens=3, output_tokens=0),
]


def report_of(found: list[Usage]) -> Chargeback:
    return chargeback(book(found, POLICY), ("cost-center",))


def written(report: Chargeback) -> tuple[list[str], list[dict[str, str | None]]]:
    out = io.BytesIO()
    write_focus_csv(focus_rows(report), out)
    lines = csv.DictReader(io.StringIO(out.getvalue().decode()))
    return list(lines.fieldnames or ()), [{name: value or None for name, value in row.items()} for row in lines]


def column(rows: list[dict[str, str | None]], name: str) -> Decimal:
    return sum((Decimal(row[name] or 0) for row in rows), Decimal(0))


def test_the_written_file_keeps_the_rules() -> None:
    """With every kind of row: metered, averaged, provisioned, unused, bought."""
    names, rows = written(report_of(EVENTS))
    assert problems(names, rows) == []
    assert {row["CommitmentDiscountStatus"] for row in rows} == {None, "Used", "Unused"}
    assert names == [one.name for one in COLUMNS]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BilledCost", "1.0000001", "what a commitment covers has a BilledCost"),
        ("ListCost", "17", "ListUnitPrice times PricingQuantity is not ListCost"),
        ("ConsumedQuantity", None, "ConsumedQuantity is null"),
        ("ChargePeriodEnd", "2026-10-05T00:00:00Z", "the charge period"),
        ("ChargePeriodEnd", "2026-10-06", "is no time"),
        ("PricingUnit", None, "PricingQuantity and PricingUnit"),
        ("EffectiveCost", "2", "bought"),
        ("Tags", "[]", "Tags is no flat JSON object"),
    ],
)
def test_the_rules_can_be_broken(name: str, value: str | None, said: str) -> None:
    """The check finds what it is there to find."""
    names, rows = written(report_of(EVENTS))
    row = next(row for row in rows if row["CommitmentDiscountStatus"] == "Used")
    row[name] = value
    assert any(said in problem for problem in problems(names, rows))


def test_costs_add_up_to_the_chargeback_both_ways() -> None:
    """Billed: pay-as-you-go and what was bought. Effective: pay-as-you-go and what it was spent on."""
    report = report_of(EVENTS)
    _, rows = written(report)
    assert column(rows, "EffectiveCost") == Decimal(report.total) / 1_000_000
    assert column(rows, "BilledCost") == Decimal(report.total) / 1_000_000


def test_meters_by_hand() -> None:
    """10 cached tokens for nothing, 990 at one micro-dollar, 100 written at two."""
    _, rows = written(chargeback(book([usage("1", A, cached_input_tokens=10, provider="azure")]), ("cost-center",)))
    shown = [[row[name] for name in ("SkuMeter", "PricingQuantity", "ListUnitPrice", "BilledCost")] for row in rows]
    assert shown == [
        ["Input Tokens", "990.0", "0.000001", "0.00099"],
        ["Cached Input Tokens", "10.0", "0.0", "0.0"],
        ["Output Tokens", "100.0", "0.000002", "0.0002"],
    ]
    assert rows[0]["ProviderName"] == "Microsoft"
    assert rows[0]["ResourceId"] == "prod/refunds"
    assert rows[0]["Tags"] == (
        '{"Owner": "quote \\" and, comma", "cost-center": "a", "environment": "prod", "system": "refunds"}'
    )


@pytest.mark.parametrize(
    ("provider", "model", "billing", "parties"),
    [
        ("azure", "gpt-4o", Billing(), Parties("Microsoft", "OpenAI", "Microsoft", "Azure OpenAI")),
        ("", "claude-sonnet-4-5", Billing(), Parties("Anthropic", "Anthropic", "Anthropic", "Language Models")),
        ("", "own", Billing(provider="azure"), Parties("Microsoft", "Microsoft", "Microsoft", "Azure OpenAI")),
        ("house", "own", Billing(), Parties("house", "house", "house", "Language Models")),
        ("", "own", Billing(), Parties("Midwatch", "Midwatch", "Midwatch", "Language Models")),
        ("azure", "gpt-4o", Billing(issuer="Us"), Parties("Us", "Microsoft", "Us", "Azure OpenAI")),
    ],
)
def test_who_stands_behind_a_row(provider: str, model: str, billing: Billing, parties: Parties) -> None:
    """Whoever sends the invoice is the provider, as FOCUS wants it of what has a billed cost."""
    assert parties_of(provider, model, billing) == parties


def test_a_cost_that_the_event_brought_is_one_row_at_its_average_price() -> None:
    """And a call without tokens counts as a request."""
    _, rows = written(
        report_of(
            [usage("5", cost_usd=0.123456), usage("6", system="x", cost_usd=0.5, input_tokens=0, output_tokens=0)]
        )
    )
    [first, second] = [row for row in rows if row["x_CostSource"] == "event"]
    assert (first["SkuMeter"], first["PricingQuantity"], first["ListUnitPrice"]) == (
        "Tokens",
        "1100.0",
        "0.000112232727",
    )
    assert (second["SkuMeter"], second["PricingQuantity"], second["ListUnitPrice"]) == ("Requests", "1.0", "0.5")


def test_a_price_that_is_no_plain_sum_is_one_row() -> None:
    """A long context costs more than tokens times unit prices; the book's total counts."""
    steps = replace(contract("small", 1, 0, 2), above=((999, UnitPrices(*[Decimal("0.00001")] * 3)),))
    made = ChargeBook(OCTOBER, Tagger(Policy()), PriceBook([steps]))
    made.add(usage("1"))
    _, rows = written(chargeback(made, ("cost-center",)))
    assert [(row["SkuMeter"], row["BilledCost"]) for row in rows] == [("Tokens", "0.011")]


def test_list_and_contract_prices_stand_apart() -> None:
    """gpt-4o is listed at 2.50 dollars a million tokens read; ours is 1 dollar by contract."""
    made = ChargeBook(OCTOBER, Tagger(Policy()), PriceBook([contract("gpt-4o", 1, 1, 1)]))
    made.add(usage("1", model="gpt-4o", output_tokens=0))
    [row] = written(chargeback(made, ("cost-center",)))[1]
    assert [row[name] for name in ("ListCost", "ContractedCost", "BilledCost")] == ["0.0025", "0.001", "0.001"]


def test_tiers_and_deployments_are_charges_of_their_own() -> None:
    """A contract may price them apart, and a price has one SKU."""
    batch = replace(contract("small", 2, 2, 2), tiers={"batch": UnitPrices(*[Decimal("0.000001")] * 3)})
    made = ChargeBook(OCTOBER, Tagger(Policy()), PriceBook([batch]))
    made.add(usage("1", output_tokens=0))
    made.add(usage("2", output_tokens=0, service_tier="batch"))
    made.add(usage("3", output_tokens=0, deployment="d"))
    names, rows = written(chargeback(made, ("cost-center",)))
    assert problems(names, rows) == []
    assert [(row["BilledCost"], row["x_ServiceTier"], row["x_Deployment"]) for row in rows] == [
        ("0.001", "batch", None),
        ("0.002", "standard", None),
        ("0.002", "standard", "d"),
    ]


def test_usage_without_a_price_has_no_row() -> None:
    """FOCUS knows no cost that is not known."""
    assert written(chargeback(book([usage("1", model="unknown")]), ("cost-center",)))[1] == []


def test_parquet_says_what_csv_says(tmp_path: Path) -> None:
    """The same rows, with types."""
    report = report_of(EVENTS)
    path = tmp_path / "rows.parquet"
    with path.open("wb") as out:
        count = write_focus_parquet(focus_rows(report), out)
    table = pyarrow.parquet.read_table(path)
    assert table.num_rows == count == len(written(report)[1])
    assert not any(field.nullable for field in table.schema if field.name in {"BilledCost", "ProviderName"})
    costs = [str(value.as_py().normalize()) for value in table["BilledCost"]]
    assert [Decimal(cost) for cost in costs] == [Decimal(row["BilledCost"] or "") for row in written(report)[1]]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("cost", ["effective", "billed"])
def test_what_is_written_reconciles_to_nothing(tmp_path: Path, suffix: str, cost: Any, found: list[Usage]) -> None:
    """Whatever the usage: rows that are written and read again differ from it by nothing, and keep the rules."""
    report = report_of(found)
    names, rows = written(report)
    assert problems(names, rows) == []
    path = tmp_path / f"rows.{suffix}"
    with path.open("wb") as out:
        (write_focus_csv if suffix == "csv" else write_focus_parquet)(focus_rows(report), out)
    reader = BillReader(OCTOBER, report.by, report.book.tagger, cost)
    reader.read(path)
    compared = reconcile(our_sums(report, cost), reader.finish().sums, report.by, cost, Tolerance(0, 0))
    assert compared.agrees, compared
    assert compared.ours == report.total * 1000
    assert reader.bill.duplicates.rows == 0
