"""A month's chargeback against the provider's bill: what agrees, what differs, what one side lacks.

Money is in nano-dollars here: a bill has rows of far less than a micro-dollar, and integers add up to the same sum in
any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from costs.chargeback import Chargeback, Group, group_of
from costs.tags import fold
from schemas.base import JsonObject

CostKind = Literal["effective", "billed"]
"""Effective: what the month's use is worth, commitments spread over it. Billed: what the month's invoice says."""

Subject = Literal["resource", "unused_commitment", "commitment_purchase"]

Status = Literal["matched", "differing", "missing_in_bill", "missing_in_ours"]

STATUSES: Final[tuple[Status, ...]] = ("differing", "missing_in_bill", "missing_in_ours", "matched")

NANO_USD: Final = 1_000_000_000
_NANO_PER_MICRO: Final = 1000

NO_RESOURCE: Final = "(no resource)"


class BillKey(NamedTuple):
    """What two sides are compared by: a resource or commitment, by its id, and the values of the tags."""

    subject: Subject
    id: str
    group: Group


Sums = Mapping[BillKey, int]
"""Nano-dollars by what is compared."""


def resource_key(resource: str | None) -> str:
    """The form in which two ids of a resource are equal: those of Azure do not differ by case."""
    if not resource:
        return NO_RESOURCE
    return resource.casefold() if resource.startswith("/") else resource


class Tolerance(NamedTuple):
    """How far two amounts may be apart and still agree: a share of the greater one, or an amount in nano-dollars."""

    relative: float = 0.01
    absolute: int = NANO_USD // 100

    def holds(self, ours: int, bill: int) -> bool:
        """Whether two amounts agree."""
        share = Decimal(repr(self.relative)) * max(abs(ours), abs(bill))
        return abs(ours - bill) <= max(share, Decimal(self.absolute))


@dataclass(frozen=True, slots=True)
class Compared:
    """One line: `ours` and `bill` in nano-dollars, None where a side has no such thing."""

    status: Status
    name: tuple[str | None, ...]
    ours: int | None
    bill: int | None

    @property
    def difference(self) -> int:
        """What the bill has more than we, in nano-dollars."""
        return (self.bill or 0) - (self.ours or 0)

    def to_json(self) -> JsonObject:
        """The amounts as plain JSON types, in dollars."""
        return {
            "status": self.status,
            "ours_usd": None if self.ours is None else self.ours / NANO_USD,
            "bill_usd": None if self.bill is None else self.bill / NANO_USD,
            "difference_usd": self.difference / NANO_USD,
        }


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All lines, by resource (subject and id) and by tags; the worst first."""

    by: tuple[str, ...]
    cost: CostKind
    tolerance: Tolerance
    resources: tuple[Compared, ...]
    tags: tuple[Compared, ...]

    @property
    def ours(self) -> int:
        """Our total, in nano-dollars."""
        return sum(line.ours or 0 for line in self.resources)

    @property
    def bill(self) -> int:
        """The bill's total of what was compared, in nano-dollars."""
        return sum(line.bill or 0 for line in self.resources)

    @property
    def agrees(self) -> bool:
        """Whether every line is matched."""
        return all(line.status == "matched" for line in (*self.resources, *self.tags))

    def to_json(self) -> JsonObject:
        """The comparison as plain JSON types."""
        return {
            "cost": self.cost,
            "tolerance": {"relative": self.tolerance.relative, "absolute_usd": self.tolerance.absolute / NANO_USD},
            "agrees": self.agrees,
            "ours_usd": self.ours / NANO_USD,
            "bill_usd": self.bill / NANO_USD,
            "difference_usd": (self.bill - self.ours) / NANO_USD,
            "resources": {
                "counts": counts(self.resources),
                "lines": [{"subject": line.name[0], "id": line.name[1], **line.to_json()} for line in self.resources],
            },
            "tags": {
                "counts": counts(self.tags),
                "lines": [{"tags": dict(zip(self.by, line.name, strict=True)), **line.to_json()} for line in self.tags],
            },
        }


def counts(lines: Iterable[Compared]) -> dict[Status, int]:
    """How many lines have which status."""
    found: dict[Status, int] = dict.fromkeys(STATUSES, 0)
    for line in lines:
        found[line.status] += 1
    return found


def our_sums(report: Chargeback, cost: CostKind) -> dict[BillKey, int]:
    """Our side. Usage without a price is not in it: it shows as a difference."""
    book, allocation = report.book, report.allocation
    policy = book.tagger.policy
    names = tuple(fold(book.tagger.canonical(name)) for name in report.by)
    found: dict[BillKey, int] = {}

    def add(subject: Subject, identity: str, group: Group, micro: int) -> None:
        key = BillKey(subject, resource_key(identity), group)
        found[key] = found.get(key, 0) + micro * _NANO_PER_MICRO

    for key, amounts in book.charges.items():
        if key.source == "none" or (key.source == "flat" and key not in allocation.shares):
            continue
        micro = amounts.micro
        if key.source == "flat":
            micro = allocation.shares[key][1] if cost == "effective" else 0
        add("resource", policy.resource_of(key.environment, key.system), group_of(key.tags, names), micro)
    if cost == "effective":
        for unused in allocation.unused:
            identity = policy.commitments[unused.commitment].id or unused.commitment
            add("unused_commitment", identity, group_of(unused.tags, names), unused.micro)
    else:
        for name, micro in allocation.totals.items():
            commitment = policy.commitments[name]
            group = group_of(tuple(sorted(commitment.tags.items())), names)
            add("commitment_purchase", commitment.id or name, group, micro)
    return found


def reconcile(ours: Sums, bill: Sums, by: tuple[str, ...], cost: CostKind, tolerance: Tolerance) -> Reconciliation:
    """Compare two sides, once by resource and once by tags."""
    return Reconciliation(
        by,
        cost,
        tolerance,
        _compare(_collapse(ours, _by_resource), _collapse(bill, _by_resource), tolerance),
        _compare(_collapse(ours, _by_group), _collapse(bill, _by_group), tolerance),
    )


def _by_resource(key: BillKey) -> tuple[str | None, ...]:
    return key.subject, key.id


def _by_group(key: BillKey) -> tuple[str | None, ...]:
    return key.group


def _collapse(sums: Sums, name: Callable[[BillKey], tuple[str | None, ...]]) -> dict[tuple[str | None, ...], int]:
    found: dict[tuple[str | None, ...], int] = {}
    for key, amount in sums.items():
        found[name(key)] = found.get(name(key), 0) + amount
    return found


def _compare(
    ours: Mapping[tuple[str | None, ...], int], bill: Mapping[tuple[str | None, ...], int], tolerance: Tolerance
) -> tuple[Compared, ...]:
    lines = []
    for name in ours.keys() | bill.keys():
        mine, theirs = ours.get(name), bill.get(name)
        status: Status = "matched"
        if not tolerance.holds(mine or 0, theirs or 0):
            status = "missing_in_bill" if theirs is None else "missing_in_ours" if mine is None else "differing"
        lines.append(Compared(status, name, mine, theirs))
    return tuple(sorted(lines, key=_order))


def _order(line: Compared) -> tuple[int, int, tuple[str, ...]]:
    return STATUSES.index(line.status), -abs(line.difference), tuple(part or "" for part in line.name)
