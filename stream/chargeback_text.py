"""A chargeback as text for people, and as CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from typing import IO, Final

from costs.chargeback import Chargeback, Line
from costs.chargeback_charges import Amounts, ChargeBook
from costs.tags_check import Violations
from schemas.series import MICRO_USD
from stream.chargeback_table import aligned, money, number_of

UNTAGGED: Final = "(untagged)"

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula."""

SHOWN_VIOLATIONS: Final = 15
VIOLATION_HEADS: Final = ("calls", "environment", "system", "agent", "tag", "problem")


def table(report: Chargeback) -> str:
    """The chargeback as aligned text."""
    usage = [line for line in report.lines if line.kind != "unpriced"]
    usd = money([cost for line in usage for cost in _costs([line])], MICRO_USD)
    heads = (*report.by, "requests", "input", "cached", "output", "pay-as-you-go", "spillover", "provisioned", "USD")
    rows = [(*_names(line), *_tokens([line]), *map(usd, _costs([line]))) for line in usage]
    rows.append(("total", *[""] * (len(report.by) - 1), *_tokens(usage), *map(usd, _costs(usage))))
    parts = [f"Chargeback for {report.month} (UTC), by {', '.join(report.by)}", ""]
    parts.append(aligned(heads, rows, range(len(report.by)), total=True))
    if any(line.untagged for line in usage):
        share = f" ({report.untagged / report.total:.1%} of the total)" if report.total else ""
        parts += ["", f"Without an owner: {usd(report.untagged)} USD{share}"]
    parts += [*_unpriced(report), "", events_text(report.book)]
    return "\n".join([*parts, *violations_text(report.book.violations)])


def _names(line: Line) -> tuple[str, ...]:
    values = [UNTAGGED if value is None else value for value in line.group]
    if line.kind == "unused_commitment":
        values[0] = f"{values[0]}: unused of {line.subject}"
    return tuple(values)


def _tokens(lines: Sequence[Line]) -> tuple[str, ...]:
    total = Amounts()
    for line in lines:
        total.add(line.amounts)
    return tuple(
        f"{number:,}" for number in (total.requests, total.input_tokens, total.cached_tokens, total.output_tokens)
    )


def _costs(lines: Sequence[Line]) -> tuple[int, ...]:
    costs = [(line.payg, line.spillover, line.provisioned, line.total) for line in lines]
    return tuple(map(sum, zip(*costs, strict=True))) or (0, 0, 0, 0)


def _unpriced(report: Chargeback) -> list[str]:
    lines = [line for line in report.lines if line.kind == "unpriced"]
    if not lines:
        return []
    heads = (*report.by, "model", "requests", "input", "cached", "output", "why")
    rows = [(*_names(line), line.subject, *_tokens([line]), line.why) for line in lines]
    text = aligned(heads, rows, (*range(len(report.by) + 1), len(heads) - 1))
    return ["", "Not priced, and not in the total:", "", text]


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
    lines = ["", _violations(violations)]
    lines += ["", aligned(VIOLATION_HEADS, rows, range(1, 6))]
    if more := len(ranked) - len(rows):
        lines.append(f"... and {more} more kinds; `midwatch costs tags` lists all")
    if violations.unlisted:
        lines.append(f"... and {violations.unlisted:,} beyond the {len(ranked):,} kinds that are listed")
    return lines


def _violations(found: Violations) -> str:
    number = number_of(found.total, "violation", "violations")
    return f"Tags: {number} in {number_of(found.calls, 'call', 'calls')}"


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
