"""Chargeback: each event once, lines that add up, by any tags."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs.chargeback import NO_COMMITMENT, NO_PRICE, chargeback
from costs.chargeback_charges import TooManyChargesError
from costs.months import Month
from costs.tags_policy import Commitment, Policy
from stream.adapters import Usage
from tests.unit.costs.usage import HOUR, OCTOBER, book, ms, usage

A, B = {"cost-center": "a", "business-unit": "x"}, {"Cost-Center": "b"}


def lines(events: list[Usage], by: tuple[str, ...] = ("cost-center",), policy: Policy | None = None) -> list[Any]:
    return [(line.kind, line.group, line.total) for line in chargeback(book(events, policy), by).lines]


def test_a_month_by_hand() -> None:
    """1,000 in and 100 out are 1,200 micro-dollars; a cached token of the large model costs 1 instead of 10."""
    events = [
        usage("1", A),
        usage("2", A, model="large", input_tokens=100, cached_input_tokens=50, output_tokens=1),
        usage("3", B, pricing="spillover"),
        usage("4", cost_usd=0.5),
    ]
    report = chargeback(book(events), ("cost-center",))
    assert [(line.group, line.payg, line.spillover, line.amounts.requests) for line in report.lines] == [
        (("a",), 1200 + 500 + 50 + 40, 0, 2),
        (("b",), 0, 1200, 1),
        ((None,), 500_000, 0, 1),
    ]
    assert report.total == 1790 + 1200 + 500_000
    assert report.untagged == 500_000


def test_more_cached_than_read_is_all_cached() -> None:
    """A producer's slip prices nothing below zero."""
    [line] = chargeback(book([usage("1", A, cached_input_tokens=5000)]), ("cost-center",)).lines
    assert line.amounts.cached_tokens == 1000
    assert line.total == 200


def test_usage_without_a_price_is_a_line_and_not_free() -> None:
    """Its tokens are shown, its cost is unknown, and the total does not hold it."""
    report = chargeback(
        book([usage("1", A), usage("2", A, model="who"), usage("3", A, pricing="ptu")]), ("cost-center",)
    )
    assert [(line.kind, line.subject, line.why, line.amounts.tokens) for line in report.lines] == [
        ("usage", "", "", 1100),
        ("unpriced", "small", NO_COMMITMENT, 1100),
        ("unpriced", "who", NO_PRICE, 1100),
    ]
    shown = report.to_json()
    assert shown["lines"][1]["total_usd"] is None
    assert shown["lines"][1]["micro_usd"] is None
    assert shown["unpriced"] == {"requests": 2, "tokens": 2200}
    assert report.total == 1200


def test_each_event_counts_once() -> None:
    """By environment, system and id: another system may use the same id."""
    made = book([usage("1", A), usage("1", A), usage("1", A, output_tokens=7), usage("1", A, system="claims")])
    assert (made.counted, made.duplicates, made.conflicts) == (2, 2, 1)
    assert chargeback(made, ("system",)).total == 2400


@pytest.mark.parametrize(
    ("time", "counted"),
    [
        ("2026-09-30T23:59:59.999", 0),
        ("2026-10-01T00:00:00", 1),
        ("2026-10-31T23:59:59.999", 1),
        ("2026-11-01T00:00:00", 0),
    ],
)
def test_a_month_ends_where_the_next_begins(time: str, counted: int) -> None:
    """Half-open, in UTC; what lies outside is counted by its own month."""
    made = book([usage("1", time=ms(time))])
    assert made.counted == counted
    assert sum(made.elsewhere.values()) == 1 - counted


def test_what_lies_outside_is_named_by_its_month() -> None:
    """So that a report can say which months a file holds."""
    assert dict(book([usage("1", time=ms("2026-12-31T00:00:00"))]).elsewhere) == {Month.parse("2026-12"): 1}


def test_names_of_tags_to_group_by_do_not_differ_by_case() -> None:
    """`--by COST-CENTER` is by cost-center."""
    assert lines([usage("1", A), usage("2", B)], ("COST-CENTER",)) == lines([usage("1", A), usage("2", B)])


def test_groups_of_several_tags() -> None:
    """A line for each combination; one that lacks a tag has no owner."""
    events = [usage("1", A), usage("2", B)]
    report = chargeback(book(events), ("cost-center", "business-unit"))
    assert [line.group for line in report.lines] == [("a", "x"), ("b", None)]
    assert report.untagged == 1200


def test_provisioned_usage_bears_its_share_of_the_commitment() -> None:
    """Beside pay-as-you-go on the same line; the commitment's cost is all there."""
    policy = Policy(commitments={"c": Commitment(usd_per_month=10.0)})
    events = [usage("1", A, pricing="ptu"), usage("2", B, pricing="ptu", input_tokens=2600), usage("3", A)]
    report = chargeback(book(events, policy), ("cost-center",))
    assert [(line.group, line.provisioned, line.payg) for line in report.lines] == [
        (("b",), 6_818_182, 0),
        (("a",), 3_181_818, 1200),
    ]
    assert report.total == 10_000_000 + 1200


def test_the_unused_commitment_is_a_line_of_its_own() -> None:
    """With the tags that the policy gives it, else without an owner."""
    policy = Policy(commitments={"c": Commitment(usd_per_month=1.0), "d": Commitment(usd_per_month=2.0, tags=A)})
    assert lines([usage("1", A)], policy=policy) == [
        ("usage", ("a",), 1200),
        ("unused_commitment", ("a",), 2_000_000),
        ("unused_commitment", (None,), 1_000_000),
    ]


def test_tags_with_too_many_combinations_are_an_error() -> None:
    """A tag whose value differs with each call would fill the memory."""
    with pytest.raises(TooManyChargesError, match="request id"):
        book([usage(str(number), {"request": str(number)}) for number in range(4)], cap=3)


events = st.lists(
    st.builds(
        usage,
        st.text(st.characters(codec="ascii"), min_size=1, max_size=2),
        st.sampled_from([None, A, B, {"COST-CENTER": "a"}, {"cost-center": ""}]),
        model=st.sampled_from(["small", "large", "unknown"]),
        pricing=st.sampled_from([None, "payg", "ptu", "spillover"]),
        input_tokens=st.integers(0, 10_000),
        cached_input_tokens=st.sampled_from([None, 0, 17]),
        output_tokens=st.integers(0, 10_000),
        time=st.integers(OCTOBER.first_hour * HOUR - 10**8, OCTOBER.end_hour * HOUR + 10**8),
    ),
    max_size=30,
    unique_by=lambda event: event.id,
)
POLICY = Policy(commitments={"c": Commitment(usd_per_month=12.345678), "d": Commitment(usd_per_month=3.0)})


@given(events, st.randoms(use_true_random=False))
def test_lines_add_up_and_do_not_depend_on_the_order_of_events(found: list[Usage], rng: Any) -> None:
    """The total is commitments and priced calls, to the micro-dollar, in whatever order the events come."""
    report = chargeback(book(found, POLICY), ("cost-center",))
    flat = sum(report.allocation.totals.values())
    assert report.total == flat + sum(amounts.micro for amounts in report.book.charges.values())
    rng.shuffle(found)
    assert chargeback(book(found, POLICY), ("cost-center",)).to_json() == report.to_json()


@given(events)
def test_every_grouping_has_the_same_total(found: list[Usage]) -> None:
    """However the lines are cut, it is the same money."""
    made = book(found, POLICY)
    totals = {chargeback(made, by).total for by in (("cost-center",), ("business-unit", "system"), ("nothing",))}
    assert len(totals) == 1


def test_charges_keep_the_day() -> None:
    """Prices change by the day, and so do FOCUS's charge periods."""
    made = book([usage("1"), usage("2", time=ms("2026-10-06T00:00:00"))])
    days = [datetime.fromtimestamp(key.day * 86_400, UTC).day for key, _ in made.sorted_charges()]
    assert days == [5, 6]
