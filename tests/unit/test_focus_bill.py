"""Bills of all versions and providers, read into sums; and what is wrong with them, in words."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs.months import Month
from costs.reconcile import NANO_USD, BillKey, CostKind
from costs.tags_policy import Policy, TagRule
from costs.tags_resolve import Tagger
from stream import focus_read
from stream.focus_bill import Bill, BillReader
from stream.focus_problems import FocusError
from stream.focus_read import version_of
from stream.focus_rows import SeenRows
from stream.focus_values import moment, read_tags, totals

OCTOBER = Month.parse("2026-10")
AI = "AI and Machine Learning"
ROW: dict[str, Any] = {
    "BilledCost": "1.5",
    "EffectiveCost": "1.5",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-10-01T00:00:00Z",
    "ChargePeriodStart": "2026-10-05T00:00:00Z",
    "ChargeCategory": "Usage",
    "ServiceCategory": AI,
    "ResourceId": "r",
    "Tags": '{"cost-center": "a"}',
}


def row(**changes: Any) -> dict[str, Any]:
    return {**ROW, **changes}


@pytest.fixture
def bill_of(tmp_path: Path) -> Callable[..., Bill]:
    def write(*rows: dict[str, Any], cost: CostKind = "effective", **options: Any) -> Bill:
        path = tmp_path / "bill.csv"
        with path.open("w", newline="") as file:
            lines = csv.DictWriter(file, list(dict.fromkeys(name for one in rows for name in one)))
            lines.writeheader()
            lines.writerows(rows)
        return read([path], cost, **options)

    return write


def read(paths: list[Path], cost: CostKind = "effective", **options: Any) -> Bill:
    policy = Policy(tags={"cost-center": TagRule(aliases=("costcenter",))})
    reader = BillReader(OCTOBER, ("Cost-Center",), Tagger(policy), cost, **options)
    for path in paths:
        reader.read(path)
    return reader.finish()


def by_center(bill: Bill) -> dict[str | None, float]:
    found: dict[str | None, float] = {}
    for key, nano in bill.sums.items():
        found[key.group[0]] = found.get(key.group[0], 0) + nano / NANO_USD
    return found


BillOf = Callable[..., Bill]


def test_rows_add_up_by_resource_and_tags(bill_of: BillOf) -> None:
    """Names of tags do not differ by case, and aliases count."""
    bill = bill_of(
        row(),
        row(Tags='{"COST-CENTER": "a"}', EffectiveCost="2"),
        row(Tags='{"costcenter": "b", "n": null, "flag": true}'),
        row(Tags="", ResourceId=""),
        row(ResourceId="/Subscriptions/X"),
    )
    assert bill.sums == {
        BillKey("resource", "r", ("a",)): 3_500_000_000,
        BillKey("resource", "r", ("b",)): 1_500_000_000,
        BillKey("resource", "(no resource)", (None,)): 1_500_000_000,
        BillKey("resource", "/subscriptions/x", ("a",)): 1_500_000_000,
    }
    assert (bill.rows, bill.compared) == (5, 5)


def test_costs_far_below_a_micro_dollar_are_kept(bill_of: BillOf) -> None:
    """A bill's rows may be nano-dollars; a thousand of them are not nothing."""
    bill = bill_of(*(row(EffectiveCost="1.5E-9", ResourceName=str(number)) for number in range(1000)))
    assert sum(bill.sums.values()) == 2000


def test_effective_cost_goes_by_the_charge_period_and_billed_cost_by_the_billing_period(bill_of: BillOf) -> None:
    """A correction billed in October of a charge in September is October's invoice, not its use."""
    late = row(ChargePeriodStart="2026-09-30T23:00:00Z", ChargeClass="Correction", BilledCost="7", EffectiveCost="7")
    assert sum(bill_of(row(), late).sums.values()) == 1.5 * NANO_USD
    billed = bill_of(row(), late, cost="billed")
    assert sum(billed.sums.values()) == 8.5 * NANO_USD
    assert (billed.corrections.rows, billed.corrections.nano) == (1, 7 * NANO_USD)


def test_months_are_half_open(bill_of: BillOf) -> None:
    """November's first instant is November's."""
    bill = bill_of(row(ChargePeriodStart="2026-10-01T00:00:00Z"), row(ChargePeriodStart="2026-11-01T00:00:00Z"))
    assert bill.compared == 1
    assert bill.other_periods == {"2026-11": 1}


def test_taxes_credits_and_adjustments_are_set_aside_and_summed(bill_of: BillOf) -> None:
    """Usage does not say them; nothing of the bill is lost silently."""
    bill = bill_of(
        row(),
        row(ChargeCategory="Tax", EffectiveCost="0.3"),
        row(ChargeCategory="Credit", EffectiveCost="-1"),
        row(ChargeCategory="Adjustment", EffectiveCost="0.1"),
        row(ChargeCategory="Purchase", EffectiveCost="0"),
    )
    assert {name: (aside.rows, aside.nano) for name, aside in bill.aside.items()} == {
        "Tax": (1, 300_000_000),
        "Credit": (1, -NANO_USD),
        "Adjustment": (1, 100_000_000),
        "Purchase": (1, 0),
    }
    assert bill.compared == 1


def test_a_purchase_with_an_effective_cost_is_a_cost_of_the_month(bill_of: BillOf) -> None:
    """One that pays for other rows has none, and is set aside."""
    bought = {"ChargeCategory": "Purchase", "ResourceId": "licence"}
    bill = bill_of(row(), row(**bought, EffectiveCost="3"), row(**bought, EffectiveCost="0", x_Part="2"))
    assert bill.sums[BillKey("resource", "licence", ("a",))] == 3 * NANO_USD
    assert (bill.aside["Purchase"].rows, bill.compared) == (1, 2)


def test_refunds_are_part_of_what_is_compared(bill_of: BillOf) -> None:
    """A negative row of usage takes away from its resource, and is said."""
    bill = bill_of(row(EffectiveCost="5"), row(EffectiveCost="-2"))
    assert sum(bill.sums.values()) == 3 * NANO_USD
    assert (bill.refunds.rows, bill.refunds.nano) == (1, -2 * NANO_USD)


def test_commitments_stand_apart(bill_of: BillOf) -> None:
    """Used rows count with their resource, unused ones with the commitment, purchases in the invoice alone."""
    rows = (
        row(CommitmentDiscountId="/Orders/1", CommitmentDiscountStatus="Used", BilledCost="0", EffectiveCost="6"),
        row(
            CommitmentDiscountId="/Orders/1",
            CommitmentDiscountStatus="Unused",
            BilledCost="0",
            EffectiveCost="4",
            Tags="",
        ),
        row(CommitmentDiscountId="/Orders/1", ChargeCategory="Purchase", BilledCost="10", EffectiveCost="0", Tags=""),
    )
    assert bill_of(*rows).sums == {
        BillKey("resource", "r", ("a",)): 6 * NANO_USD,
        BillKey("unused_commitment", "/orders/1", (None,)): 4 * NANO_USD,
    }
    assert bill_of(*rows, cost="billed").sums == {
        BillKey("resource", "r", ("a",)): 0,
        BillKey("unused_commitment", "/orders/1", (None,)): 0,
        BillKey("commitment_purchase", "/orders/1", (None,)): 10 * NANO_USD,
    }


def test_other_services_are_left_out_unless_asked_for(bill_of: BillOf) -> None:
    """A bill is of everything; ours is of AI."""
    rows = (row(), row(ServiceCategory="Compute", EffectiveCost="100"))
    assert sum(bill_of(*rows).sums.values()) == 1.5 * NANO_USD
    assert bill_of(*rows).other_services == 1
    assert sum(bill_of(*rows, all_services=True).sums.values()) == 101.5 * NANO_USD


def test_rows_that_are_wholly_equal_count_once(bill_of: BillOf) -> None:
    """Exports overlap; a row that differs in any column, one of the provider's own too, is another."""
    rows = (row(x_Meter="1"), row(x_Meter="1"), row(x_Meter="2"), row(x_Meter="1"))
    bill = bill_of(*rows)
    assert sum(bill.sums.values()) == 3 * NANO_USD
    assert (bill.duplicates.rows, bill.duplicates.nano) == (2, 3 * NANO_USD)
    assert sum(bill_of(*rows, keep_duplicates=True).sums.values()) == 6 * NANO_USD


def test_the_same_file_twice_is_one_file(bill_of: BillOf, tmp_path: Path) -> None:
    """Duplicates are found across files."""
    bill_of(row(), row(ResourceId="s"))
    path = tmp_path / "bill.csv"
    assert read([path, path]).sums == read([path]).sums


def test_small_blocks_make_no_difference(bill_of: BillOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a file is cut into batches, the sums and duplicates are the same."""
    rows = [row(ResourceId=f"r{number % 7}", EffectiveCost=str(number % 5)) for number in range(200)]
    whole = bill_of(*rows)
    monkeypatch.setattr(focus_read, "BLOCK_BYTES", 4096)
    cut = bill_of(*rows)
    assert cut.sums == whole.sums
    assert cut.duplicates == whole.duplicates
    assert whole.compared == 35


@pytest.mark.parametrize(
    ("columns", "version"),
    [
        (["ProviderName"], "1.0"),
        (["ProviderName", "CapacityReservationId"], "1.1"),
        (["ProviderName", "CapacityReservationId", "InvoiceId"], "1.2"),
        (["ProviderName", "ServiceProviderName", "InvoiceId"], "1.3"),
        (["ServiceProviderName", "HostProviderName", "InvoiceId"], "1.4"),
    ],
)
def test_the_version_shows_in_the_columns(columns: list[str], version: str) -> None:
    """As far as columns tell."""
    assert version_of(columns) == version


@pytest.mark.parametrize(
    "changes",
    [
        {"ProviderName": "Microsoft", "PublisherName": "Microsoft"},
        {"ServiceProviderName": "Microsoft", "HostProviderName": "Microsoft", "AllocatedTags": ""},
        {"x_SkuMeterName": "gpt", "BillingAccountType": "Billing Profile"},
        {"ChargePeriodStart": "2026-10-05T00:00Z", "BillingPeriodStart": "2026-10-01T00:00Z"},
        {"ChargePeriodStart": "2026-10-05 00:00:00 UTC"},
        {"ChargePeriodStart": "2026-10-05"},
        {"ChargePeriodStart": "2026-10-05T02:00:00+02:00"},
        {"Tags": '"Cost-Center": "a","other": "b"'},
    ],
)
def test_versions_and_dialects_say_the_same(bill_of: BillOf, changes: dict[str, str]) -> None:
    """Renamed and added columns, Azure's times without seconds and its tags without braces."""
    assert bill_of(row(**changes)).sums == {BillKey("resource", "r", ("a",)): 1_500_000_000}


def test_order_and_case_of_columns_do_not_count(tmp_path: Path) -> None:
    """With a byte order mark, quotes, and the columns turned round, compressed."""
    path = tmp_path / "bill.csv.gz"
    names = ",".join(f'"{name.lower()}"' for name in reversed(ROW))
    values = ",".join('"' + str(value).replace('"', '""') + '"' for value in reversed(ROW.values()))
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + f"{names}\r\n{values}\r\n".encode()))
    assert read([path]).sums == {BillKey("resource", "r", ("a",)): 1_500_000_000}


@pytest.mark.parametrize("tags", [pa.string(), pa.large_string(), pa.map_(pa.string(), pa.string())])
@pytest.mark.parametrize("cost", [pa.float64(), pa.decimal128(20, 10), pa.string()])
@pytest.mark.parametrize("time", [pa.timestamp("ns"), pa.timestamp("ms", "UTC"), pa.string(), pa.date32()])
def test_parquet_of_any_types(tmp_path: Path, tags: Any, cost: Any, time: Any) -> None:
    """AWS writes tags as a map, Azure as text; costs are decimals, doubles, or text."""
    start: Any = datetime(2026, 10, 5, tzinfo=UTC)
    if pa.types.is_string(time):
        start = "2026-10-05T00:00:00Z"
    elif time == pa.timestamp("ns"):
        start = start.replace(tzinfo=None)
    amount: Any = {"double": 1.5, "string": "1.5"}.get(str(cost), Decimal("1.5"))
    label: Any = [("Cost-Center", "a")] if pa.types.is_map(tags) else '{"Cost-Center": "a"}'
    columns = {
        "EffectiveCost": pa.array([amount], cost),
        "ChargePeriodStart": pa.array([start], time),
        "Tags": pa.array([label], tags),
        **{
            name: pa.array([ROW[name]])
            for name in ("BillingCurrency", "ChargeCategory", "ServiceCategory", "ResourceId")
        },
    }
    path = tmp_path / "bill.parquet"
    pa.parquet.write_table(pa.table(columns), path)
    assert read([path]).sums == {BillKey("resource", "r", ("a",)): 1_500_000_000}


def test_another_currency_is_taken_from_the_column_in_dollars(bill_of: BillOf) -> None:
    """As Azure's exports have it; it is said."""
    bill = bill_of(row(x_EffectiveCostInUsd=""), row(BillingCurrency="EUR", x_EffectiveCostInUsd="9"))
    assert sum(bill.sums.values()) == 10.5 * NANO_USD
    assert bill.converted == {"EUR": 1}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(), row(BillingCurrency="EUR")], "mixed currencies, from row 2 on: EUR (1 rows), USD (1 rows)"),
        ([row(BillingCurrency="EUR")], "another currency than ours, from row 1 on: EUR"),
        ([row(), row(EffectiveCost="NaN")], "row 2: EffectiveCost is empty or no number"),
        ([row(), row(), row(EffectiveCost="")], "row 3: EffectiveCost is empty or no number"),
        ([row(EffectiveCost="inf")], "row 1: EffectiveCost is empty or no number"),
        ([row(EffectiveCost="1e30")], "row 1: EffectiveCost 1e+30 cannot be a cost"),
        ([row(), row(EffectiveCost="1,50")], "column EffectiveCost, row 2: '1,50' is not a number"),
        ([row(ChargeCategory="Gift")], "row 1: ChargeCategory 'Gift' is none of Usage, Purchase"),
        ([row(ChargePeriodStart="10/05/2026")], "row 1: ChargePeriodStart '10/05/2026' is no time"),
        ([row(), row(ChargePeriodStart="")], "row 2: ChargePeriodStart is empty"),
        ([row(ChargePeriodStart="2026-08-01T00:00:00Z"), row(ChargePeriodStart="2026-09-01T00:00:00Z")],
         "no row whose ChargePeriodStart lies in 2026-10: its 2 rows are of 2026-08 to 2026-09"),
        ([{"Cost": "1", "Day": "x"}], "there is no column BillingCurrency, ChargeCategory, EffectiveCost"),
        ([{**ROW, "effectivecost": "1"}], "there are two columns EffectiveCost"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(bill_of: BillOf, rows: list[dict[str, Any]], said: str) -> None:
    """What, where, and what to do; nothing is counted as far as it went."""
    with pytest.raises(FocusError) as caught:
        bill_of(*rows)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (",".join(ROW).encode() + b"\n", "the file has no rows"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "not UTF-8"),
    ],
)
def test_files_that_hold_nothing(tmp_path: Path, content: bytes, said: str) -> None:
    """Empty, headings alone, or no CSV at all."""
    path = tmp_path / "bill.csv"
    path.write_bytes(content)
    with pytest.raises(FocusError, match=said):
        read([path])


def test_no_parquet_file_is_said(tmp_path: Path) -> None:
    """By its name it should be one."""
    path = tmp_path / "bill.parquet"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(FocusError, match=r"bill\.parquet"):
        read([path])


def test_the_cap_on_what_is_told_apart_is_said(bill_of: BillOf) -> None:
    """Memory is bounded; more keys than that are an error, not a guess."""
    with pytest.raises(FocusError, match="more than 2 different resources"):
        bill_of(*(row(ResourceId=str(number)) for number in range(3)), max_keys=2)


def test_tags_that_cannot_be_read_are_counted_as_none(bill_of: BillOf) -> None:
    """The money is compared all the same."""
    bill = bill_of(row(Tags="[1]"), row(Tags="{broken", ResourceId="s"))
    assert by_center(bill) == {None: 3.0}
    assert bill.bad_tags == 2


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (None, {}),
        ("  ", {}),
        ('{"a": "b", "n": null, "t": true, "i": 5}', {"a": "b", "t": "true", "i": "5"}),
        ('"a": "b"', {"a": "b"}),
        ("[]", None),
        ("{", None),
    ],
)
def test_tags_as_bills_write_them(text: str | None, tags: dict[str, str] | None) -> None:
    """`true` is how FOCUS writes a tag without a value."""
    assert read_tags(text) == tags


def test_points_in_time_are_utc() -> None:
    """Of whatever zone they are written in, and UTC without one."""
    assert moment("2026-11-01T00:30:00+01:00") == datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    assert moment(datetime(2026, 10, 1, tzinfo=UTC).replace(tzinfo=None)) == datetime(2026, 10, 1, tzinfo=UTC)
    assert moment("October") is None


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=8))
def test_seen_rows_are_a_set(batches: list[list[int]]) -> None:
    """Whatever the batches: a hash is first once, and only once."""
    seen, known = SeenRows(), set[int]()
    for batch in batches:
        fresh = seen.first(np.array(batch, np.uint64))
        for value, first in zip(batch, fresh.tolist(), strict=True):
            assert first is (value not in known)
            known.add(value)
    assert len(seen) == len(known)


def test_sums_of_a_batch_do_not_overflow() -> None:
    """Two rows of four billion dollars each, and negative ones, add up exactly."""
    amounts = np.array([2**62, 2**62, -(2**62), -1], np.int64)
    assert totals(np.array([0, 0, 1, 1]), amounts, 2) == [2**63, -(2**62) - 1]
