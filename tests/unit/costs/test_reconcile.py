"""Two sides compared: matched, differing, missing, within a tolerance."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs.chargeback import chargeback
from costs.reconcile import NANO_USD, BillKey, Status, Tolerance, counts, our_sums, reconcile, resource_key
from costs.tags_policy import Commitment, Policy
from tests.unit.costs.usage import book, usage

BY = ("cost-center",)
CENT = NANO_USD // 100


def key(resource: str, center: str | None = "a") -> BillKey:
    return BillKey("resource", resource, (center,))


@pytest.mark.parametrize(
    ("ours", "bill", "holds"),
    [
        (100 * NANO_USD, 101 * NANO_USD, True),
        (100 * NANO_USD, 102 * NANO_USD, False),
        (102 * NANO_USD, 100 * NANO_USD, False),
        (0, CENT, True),
        (0, CENT + 1, False),
        (-NANO_USD, NANO_USD, False),
        (5 * CENT, 6 * CENT, True),
        (0, 0, True),
    ],
)
def test_amounts_agree_within_a_share_or_a_cent(ours: int, bill: int, holds: bool) -> None:
    """One percent of the greater amount, or one cent, whichever is more."""
    assert Tolerance().holds(ours, bill) is holds


def test_lines_by_hand() -> None:
    """Each way in which two sides can stand to each other, worst first, the greatest difference first."""
    ours = {key("same"): NANO_USD, key("more"): 2 * NANO_USD, key("ours", "b"): 3 * NANO_USD, key("much"): NANO_USD}
    bill = {key("same"): NANO_USD, key("more"): NANO_USD, key("theirs", None): 4 * NANO_USD, key("much"): 9 * NANO_USD}
    found = reconcile(ours, bill, BY, "effective", Tolerance())
    assert [(line.status, line.name[1], line.difference // NANO_USD) for line in found.resources] == [
        ("differing", "much", 8),
        ("differing", "more", -1),
        ("missing_in_bill", "ours", -3),
        ("missing_in_ours", "theirs", 4),
        ("matched", "same", 0),
    ]
    assert [(line.status, line.name, line.ours, line.bill) for line in found.tags] == [
        ("differing", ("a",), 4 * NANO_USD, 11 * NANO_USD),
        ("missing_in_bill", ("b",), 3 * NANO_USD, None),
        ("missing_in_ours", (None,), None, 4 * NANO_USD),
    ]
    assert counts(found.resources) == {"differing": 2, "missing_in_bill": 1, "missing_in_ours": 1, "matched": 1}
    assert (found.ours, found.bill, found.agrees) == (7 * NANO_USD, 15 * NANO_USD, False)


def test_less_than_the_tolerance_is_not_missing() -> None:
    """A resource that costs half a cent is not worth a line that says it is gone."""
    found = reconcile({key("a"): CENT // 2}, {}, BY, "effective", Tolerance())
    assert [line.status for line in found.resources] == ["matched"]


def test_ids_of_azure_do_not_differ_by_case() -> None:
    """Those that are paths; others do."""
    assert resource_key("/Subscriptions/A") == resource_key("/subscriptions/a")
    assert resource_key("arn:aws:A") != resource_key("arn:aws:a")
    assert resource_key(None) == resource_key("") == "(no resource)"


def test_our_side_of_either_cost() -> None:
    """Effective: commitments with those who used them. Billed: with their purchase. The total is the same."""
    commitments = {"c": Commitment(usd_per_month=10.0, id="/orders/1"), "d": Commitment(usd_per_month=1.0)}
    policy = Policy(commitments=commitments, resources={"prod/refunds": "/Accounts/R"})
    tags = {"cost-center": "a"}
    events = [usage("1", tags), usage("2", tags, pricing="ptu"), usage("3", tags, model="unknown")]
    report = chargeback(book(events, policy), BY)
    assert our_sums(report, "effective") == {
        key("/accounts/r"): 1_200_000 + 10 * NANO_USD,
        BillKey("unused_commitment", "d", (None,)): NANO_USD,
    }
    assert our_sums(report, "billed") == {
        key("/accounts/r"): 1_200_000,
        BillKey("commitment_purchase", "/orders/1", (None,)): 10 * NANO_USD,
        BillKey("commitment_purchase", "d", (None,)): NANO_USD,
    }


sums = st.dictionaries(
    st.builds(key, st.sampled_from("abc"), st.sampled_from(["x", "y", None])), st.integers(-(10**12), 10**12)
)
MIRROR: dict[Status, Status] = {
    "matched": "matched",
    "differing": "differing",
    "missing_in_bill": "missing_in_ours",
    "missing_in_ours": "missing_in_bill",
}


@given(sums, sums)
def test_the_comparison_loses_nothing_and_is_even_handed(ours: dict[BillKey, int], bill: dict[BillKey, int]) -> None:
    """Both cuts have the totals of their sides, and exchanged sides give the mirrored answer."""
    found = reconcile(ours, bill, BY, "effective", Tolerance())
    for lines in (found.resources, found.tags):
        assert sum(line.ours or 0 for line in lines) == sum(ours.values())
        assert sum(line.bill or 0 for line in lines) == sum(bill.values())
    mirrored = reconcile(bill, ours, BY, "effective", Tolerance())

    def shown(result: Any) -> dict[Any, Any]:
        return {line.name: line.status for line in result.resources}

    assert shown(mirrored) == {name: MIRROR[status] for name, status in shown(found).items()}
