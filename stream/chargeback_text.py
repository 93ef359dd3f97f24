"""A chargeback as text for people, and as CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from typing import IO, Final

from costs.chargeback import Chargeback, Line
from costs.chargeback_charges import ChargeBook
from costs.tags_check import Violations
from schemas.series import MICRO_USD
from stream.chargeback_table import aligned

UNTAGGED: Final = "(untagged)"

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula."""

SHOWN_VIOLATIONS: Final = 15
VIOLATION_HEADS: Final = ("calls", "environment", "system", "agent", "tag", "problem")


def usd(micro: int) -> str:
    """Micro-dollars as dollars and cents for a table, exact where they are below a cent."""
    exact = Decimal(micro) / MICRO_USD
    return f"{exact:,.2f}" if micro % 10_000 == 0 or abs(exact) >= 1 else f"{exact:,.6f}"


def table(report: Chargeback) -> str:
    """The chargeback as aligned text."""
    usage = [line for line in report.lines if line.kind != "unpriced"]
    heads = (*report.by, "requests", "input", "cached", "output", "pay-as-you-go", "spillover", "provisioned", "USD")
    rows = [_row(line) for line in usage]
    rows.append(("total", *[""] * (len(report.by) - 1), *_sums(usage)))
    parts = [
        f"Chargeback for {report.month} (UTC), by {', '.join(report.by)}",
        "",
        aligned(heads, rows, range(len(report.by)), total=True),
    ]
    if report.untagged or any(line.untagged for line in report.lines):
        share = f" ({report.untagged / report.total:.1%} of the total)" if report.total else ""
        parts += ["", f"Without an owner: {usd(report.untagged)} USD{share}"]
    parts += _unpriced(report)
    parts += ["", events_text(report.book)]
    return "\n".join([*parts, *violations_text(report.book.violations)])


def _row(line: Line) -> tuple[str, ...]:
    values = [UNTAGGED if value is None else value for value in line.group]
    if line.kind == "unused_commitment":
        values[0] = f"{values[0]}: unused of {line.subject}"
    return (*values, *_sums([line]))


def _sums(lines: Sequence[Line]) -> tuple[str, ...]:
    tokens = [
        f"{sum(count):,}"
        for count in (
            [line.amounts.requests for line in lines],
            [line.amounts.input_tokens for line in lines],
            [line.amounts.cached_tokens for line in lines],
            [line.amounts.output_tokens for line in lines],
        )
    ]
    costs = [
        usd(sum(cost))
        for cost in (
            [line.payg for line in lines],
            [line.spillover for line in lines],
            [line.provisioned for line in lines],
            [line.total for line in lines],
        )
    ]
    return (*tokens, *costs)


def _unpriced(report: Chargeback) -> list[str]:
    lines = [line for line in report.lines if line.kind == "unpriced"]
    if not lines:
        return []
    heads = (*report.by, "model", "requests", "input", "cached", "output", "why")
    rows = []
    for line in lines:
        values = [UNTAGGED if value is None else value for value in line.group]
        rows.append((*values, line.subject, *_sums([line])[:4], line.why))
    text = aligned(heads, rows, (*range(len(report.by) + 1), len(heads) - 1))
    return ["", "Not priced, and not in the total:", text]


def events_text(book: ChargeBook) -> str:
    """Which events counted, and which did not."""
    text = f"Events: {book.counted:,} counted"
    if book.duplicates:
        text += f"; {book.duplicates:,} dropped, whose id came before"
        text += f" ({book.conflicts:,} of them said something else)" if book.conflicts else ""
    if book.elsewhere:
        text += f"; {book.elsewhere.total():,} of other months"
    return text


def violations_text(violations: Violations, limit: int | None = SHOWN_VIOLATIONS) -> list[str]:
    """The tag problems as a table, the most frequent first; up to `limit` of them."""
    if not violations.total:
        return []
    ranked = violations.ranked()
    rows = [
        (f"{calls:,}", one.environment, one.system, one.agent or "-", one.problem.tag or "-", one.problem.detail)
        for one, calls in ranked[:limit]
    ]
    lines = ["", f"Tags: {violations.total:,} violations in {violations.calls:,} calls"]
    lines += ["", aligned(VIOLATION_HEADS, rows, range(1, 6))]
    if more := len(ranked) - len(rows):
        lines.append(f"... and {more} more kinds; `midwatch costs tags` lists all")
    if violations.unlisted:
        lines.append(f"... and {violations.unlisted:,} beyond the {len(ranked):,} kinds that are listed")
    return lines


def write_csv(report: Chargeback, out: IO[bytes]) -> None:
    """One row a line of the chargeback, dollars to the micro-dollar; usage without a price has no cost."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([
        "month", *report.by, "kind", "subject", "requests", "input_tokens", "cached_input_tokens", "output_tokens",
        "payg_usd", "spillover_usd", "provisioned_usd", "total_usd",
    ])  # fmt: skip
    for line in report.lines:
        amounts = line.amounts
        costs = (line.payg, line.spillover, line.provisioned, line.total)
        rows.writerow([
            str(report.month), *(cell(value or "") for value in line.group), line.kind, cell(line.subject),
            amounts.requests, amounts.input_tokens, amounts.cached_tokens, amounts.output_tokens,
            *("" if line.kind == "unpriced" else f"{Decimal(micro) / MICRO_USD:.6f}" for micro in costs),
        ])  # fmt: skip
    out.write(text.getvalue().encode())


def cell(value: str) -> str:
    """A value that no spreadsheet takes for a formula: one that starts like it gets an apostrophe in front."""
    return f"'{value}" if value.startswith(_FORMULA) else value
