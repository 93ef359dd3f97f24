"""Chargeback: what a month of usage costs, line by line, by the tags that say who pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from costs.chargeback_charges import Amounts, ChargeBook, ChargeKey
from costs.chargeback_commitments import Allocation, allocate
from costs.months import Month
from costs.tags import Tags, fold
from schemas.base import JsonObject
from schemas.series import MICRO_USD

LineKind = Literal["usage", "unused_commitment", "unpriced"]

Group = tuple[str | None, ...]
"""The values of the tags that lines are made by, in their order; None where a call carries no such tag."""

NO_PRICE: Final = "the price book does not know the model"
NO_COMMITMENT: Final = "provisioned, and the policy names no commitment that covers it"


@dataclass(slots=True)
class Line:
    """One line of the chargeback; costs are in micro-dollars.

    Attributes:
        kind: usage; the unused part of a commitment; or usage without a price, whose cost is not known.
        group: the values of the tags.
        subject: the commitment, or the unpriced model; empty for usage.
        amounts: calls and tokens.
        payg, spillover, provisioned: the cost by how it was priced.
        why: why there is no price.
    """

    kind: LineKind
    group: Group
    subject: str = ""
    amounts: Amounts = field(default_factory=Amounts)
    payg: int = 0
    spillover: int = 0
    provisioned: int = 0
    why: str = ""

    @property
    def total(self) -> int:
        """The line's cost, in micro-dollars."""
        return self.payg + self.spillover + self.provisioned

    @property
    def untagged(self) -> bool:
        """Whether a tag is missing."""
        return None in self.group

    def to_json(self, by: Sequence[str]) -> JsonObject:
        """The line as plain JSON types; without a price there is no cost."""
        priced = self.kind != "unpriced"
        costs = {"payg": self.payg, "spillover": self.spillover, "provisioned": self.provisioned, "total": self.total}
        return {
            "kind": self.kind,
            "tags": dict(zip(by, self.group, strict=True)),
            "untagged": self.untagged,
            **({"commitment": self.subject} if self.kind == "unused_commitment" else {}),
            **({"model": self.subject, "why": self.why} if self.kind == "unpriced" else {}),
            "requests": self.amounts.requests,
            "input_tokens": self.amounts.input_tokens,
            "cached_input_tokens": self.amounts.cached_tokens,
            "output_tokens": self.amounts.output_tokens,
            **{f"{name}_usd": micro / MICRO_USD if priced else None for name, micro in costs.items()},
            "micro_usd": self.total if priced else None,
        }


@dataclass(frozen=True, slots=True)
class Chargeback:
    """A month's chargeback. `lines` add up to `total` exactly."""

    month: Month
    by: tuple[str, ...]
    lines: tuple[Line, ...]
    book: ChargeBook
    allocation: Allocation

    @property
    def total(self) -> int:
        """What the month costs, in micro-dollars; usage without a price is not in it."""
        return sum(line.total for line in self.lines)

    @property
    def untagged(self) -> int:
        """What of it has no owner, in micro-dollars."""
        return sum(line.total for line in self.lines if line.untagged)

    @property
    def unpriced(self) -> Amounts:
        """The calls and tokens whose cost is not known."""
        found = Amounts()
        for line in self.lines:
            if line.kind == "unpriced":
                found.add(line.amounts)
        return found

    def to_json(self) -> JsonObject:
        """The chargeback as plain JSON types."""
        book, unpriced = self.book, self.unpriced
        return {
            "month": str(self.month),
            "by": list(self.by),
            "currency": "USD",
            "lines": [line.to_json(self.by) for line in self.lines],
            "total_usd": self.total / MICRO_USD,
            "total_micro_usd": self.total,
            "untagged_usd": self.untagged / MICRO_USD,
            "untagged_micro_usd": self.untagged,
            "unpriced": {"requests": unpriced.requests, "tokens": unpriced.tokens},
            "commitments": {name: micro / MICRO_USD for name, micro in self.allocation.totals.items()},
            "events": {
                "counted": book.counted,
                "duplicates": book.duplicates,
                "conflicting_duplicates": book.conflicts,
                "other_months": {str(month): number for month, number in sorted(book.elsewhere.items())},
            },
            "violations": book.violations.to_json(),
        }


def chargeback(book: ChargeBook, by: Sequence[str]) -> Chargeback:
    """The charges of a book as lines by the tags `by`, whose names are compared without regard to case."""
    charges = book.sorted_charges()
    allocation = allocate(charges, book.tagger.policy.commitments, book.month, book.units)
    names = tuple(fold(book.tagger.canonical(name)) for name in by)
    lines: dict[tuple[LineKind, Group, str, str], Line] = {}
    for key, amounts in charges:
        _add(lines, names, key, amounts, allocation)
    for unused in allocation.unused:
        name, group = unused.commitment, group_of(unused.tags, names)
        line = lines.setdefault(("unused_commitment", group, name, ""), Line("unused_commitment", group, name))
        line.provisioned += unused.micro
    ordered = tuple(sorted(lines.values(), key=_order))
    return Chargeback(book.month, tuple(by), ordered, book, allocation)


def _add(
    lines: dict[tuple[LineKind, Group, str, str], Line],
    names: Sequence[str],
    key: ChargeKey,
    amounts: Amounts,
    allocation: Allocation,
) -> None:
    group = group_of(key.tags, names)
    why = NO_PRICE if key.source == "none" else NO_COMMITMENT
    if key.source == "none" or (key.source == "flat" and key not in allocation.shares):
        line = lines.setdefault(("unpriced", group, key.model, why), Line("unpriced", group, key.model, why=why))
        line.amounts.add(amounts)
        return
    line = lines.setdefault(("usage", group, "", ""), Line("usage", group))
    line.amounts.add(amounts)
    if key.source == "flat":
        line.provisioned += allocation.shares[key][1]
    elif key.pricing == "spillover":
        line.spillover += amounts.micro
    else:
        line.payg += amounts.micro


def group_of(tags: Tags, folded: Sequence[str]) -> Group:
    """The values of the tags with these folded names; an empty value counts as none."""
    values = {fold(name): value for name, value in tags}
    return tuple(values.get(name) or None for name in folded)


def _order(line: Line) -> tuple[int, bool, int, tuple[str, ...], str, str]:
    """Usage first, the dearest on top, those without an owner behind; then what is unused, then what has no price."""
    kinds: tuple[LineKind, ...] = ("usage", "unused_commitment", "unpriced")
    values = tuple(value or "" for value in line.group)
    return kinds.index(line.kind), line.untagged, -line.total, values, line.subject, line.why
