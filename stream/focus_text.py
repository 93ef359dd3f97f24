"""A comparison with the provider's bill as text for people, and what else the bill said as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from costs.reconcile import NANO_USD, Compared, Reconciliation, Status, counts
from schemas.base import JsonObject
from stream.chargeback_table import aligned, money, number_of
from stream.chargeback_text import UNTAGGED
from stream.focus_bill import Aside, Bill

WORDS: Final[dict[Status, str]] = {
    "matched": "matched",
    "differing": "differs",
    "missing_in_bill": "missing in the bill",
    "missing_in_ours": "missing in ours",
}

SUBJECTS: Final = {
    "resource": "",
    "unused_commitment": "unused commitment: ",
    "commitment_purchase": "purchase of commitment: ",
}

SHOWN: Final = 40


def reconciliation_text(found: Reconciliation, bill: Bill) -> str:
    """Summary and lines."""
    lines = (*found.resources, *found.tags)
    dollars = money(
        [amount for line in lines for amount in (line.ours or 0, line.bill or 0, line.difference)], NANO_USD
    )
    column = "EffectiveCost" if found.cost == "effective" else "BilledCost"
    tolerance = f"{found.tolerance.relative:.2%} or {found.tolerance.absolute / NANO_USD:g} USD"
    versions, providers = ", ".join(sorted(bill.versions)), ", ".join(sorted(bill.providers)) or "no provider named"
    head = f"Against the bill for {bill.month}: {column} of {_number(bill.compared)} (FOCUS {versions}; {providers})"
    sums = f"ours {dollars(found.ours)} USD, bill {dollars(found.bill)} USD"
    parts = [
        f"{head}, tolerance {tolerance}",
        f"{sums}, difference {dollars(found.bill - found.ours)} USD: {'agrees' if found.agrees else 'DIFFERS'}",
        "",
        *_section("resource", ("resource",), found.resources, dollars),
        "",
        *_section(", ".join(found.by), found.by, found.tags, dollars),
    ]
    notes = [*_hint(found.resources), *_notes(bill)]
    return "\n".join([*parts, "", *notes] if notes else parts)


def _section(
    title: str, heads: Sequence[str], lines: Sequence[Compared], dollars: Callable[[int | None], str]
) -> list[str]:
    number = counts(lines)
    said = ", ".join(f"{number[status]} {WORDS[status]}" for status in number)
    rows = [
        (*_name(line, heads), WORDS[line.status], dollars(line.ours), dollars(line.bill), dollars(line.difference))
        for line in lines[:SHOWN]
    ]
    table = aligned((*heads, "", "ours USD", "bill USD", "difference"), rows, range(len(heads) + 1))
    more = [f"... and {len(lines) - SHOWN:,} more; --json lists all"] if len(lines) > SHOWN else []
    return [f"By {title}: {said}", "", table, *more]


def _name(line: Compared, heads: Sequence[str]) -> tuple[str, ...]:
    if heads == ("resource",):
        subject, identity = line.name
        return (f"{SUBJECTS[subject or 'resource']}{identity}",)
    return tuple(UNTAGGED if value is None else value for value in line.name)


def _hint(lines: Sequence[Compared]) -> list[str]:
    number = counts(lines)
    if not number["missing_in_bill"] or not number["missing_in_ours"]:
        return []
    return ["Where a resource of the bill is a system of ours, say so in the policy, under [resources]"]


def _notes(bill: Bill) -> list[str]:
    """What of the bill was not compared, and what is worth knowing about what was."""
    found = [f"Not compared: {_rows(aside)} of {name}" for name, aside in sorted(bill.aside.items())]
    if bill.duplicates.rows:
        found.append(f"Counted once: {_rows(bill.duplicates)} that came before, equal in every column")
    if bill.other_services:
        found.append(f"Not compared: {_number(bill.other_services)} of other services")
    if bill.other_periods:
        found.append(f"Not compared: {_number(bill.other_periods.total())} of other months")
    if bill.refunds.rows:
        found.append(f"Refunds, part of what was compared: {_rows(bill.refunds)}")
    if bill.corrections.rows:
        found.append(f"Corrections of earlier months, part of what was compared: {_rows(bill.corrections)}")
    for currency, rows in sorted(bill.converted.items()):
        found.append(f"In {currency}, taken from the column in dollars: {_number(rows)}")
    if bill.bad_tags:
        found.append(f"Tags that are no JSON object, taken for none: {_number(bill.bad_tags)}")
    return found


def _rows(aside: Aside) -> str:
    return f"{_number(aside.rows)}, {money([aside.nano], NANO_USD)(aside.nano)} USD"


def _number(rows: int) -> str:
    return number_of(rows, "row", "rows")


def bill_json(bill: Bill) -> JsonObject:
    """What else the bill said, as plain JSON types."""
    return {
        "rows": bill.rows,
        "compared": bill.compared,
        "focus_versions": sorted(bill.versions),
        "providers": sorted(bill.providers),
        "not_compared": {name: _aside(aside) for name, aside in sorted(bill.aside.items())},
        "duplicates": _aside(bill.duplicates),
        "refunds": _aside(bill.refunds),
        "corrections": _aside(bill.corrections),
        "other_services": bill.other_services,
        "other_months": dict(sorted(bill.other_periods.items())),
        "converted": dict(sorted(bill.converted.items())),
        "unreadable_tags": bill.bad_tags,
    }


def _aside(aside: Aside) -> JsonObject:
    return {"rows": aside.rows, "usd": aside.nano / NANO_USD}
