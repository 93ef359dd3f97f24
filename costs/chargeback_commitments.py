"""Flat commitments, shared out among those who used them, to the micro-dollar.

A provisioned deployment costs the same whether it is used or not. Its cost of the month goes to the provisioned usage
that it covers in proportion to normalised tokens: what is read and not cached, plus a model's weight times what is
written. The weight is that of the table of units (`costs.ptu`), unless the policy has one of its own. With a stated
capacity, what was not used stays a part of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from costs.chargeback_charges import Amounts, ChargeKey
from costs.months import Month
from costs.ptu import PtuTable
from costs.tags import Tags
from costs.tags_policy import Commitment

_MILLI: Final = 1000
"""Normalised tokens are counted in thousandths, so that weights such as 1.5 stay whole."""


def largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    """Whole parts of `total` in proportion to `weights`, whose sum is exactly `total`.

    Each part is its exact quota rounded down or up; up goes to the largest remainders, first come first among equals.
    Raises ValueError for negative numbers, or if there is something to share and no weight.
    """
    whole = sum(weights)
    if total < 0 or any(weight < 0 for weight in weights):
        raise ValueError("only positive amounts can be shared out by positive weights")
    if not whole:
        if total:
            raise ValueError("there is nobody to share it out to")
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -(total * weights[place] % whole))
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts


@dataclass(frozen=True, slots=True)
class Unused:
    """The part of a commitment that nobody used, in micro-dollars."""

    commitment: str
    micro: int
    tags: Tags


@dataclass(slots=True)
class Allocation:
    """Who pays which part of the commitments.

    Attributes:
        shares: by charge: the commitment that covers it and its part, in micro-dollars.
        unused: what is left of each commitment.
        totals: what each commitment costs in the month.
    """

    shares: dict[ChargeKey, tuple[str, int]] = field(default_factory=dict)
    unused: list[Unused] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)


def allocate(
    charges: Iterable[tuple[ChargeKey, Amounts]], commitments: Mapping[str, Commitment], month: Month, table: PtuTable
) -> Allocation:
    """Share out the commitments among the provisioned charges; each draws on the first one that covers it."""
    covered: dict[str, list[tuple[ChargeKey, int]]] = {name: [] for name in commitments}
    for key, amounts in sorted(charges):
        if key.pricing == "ptu":
            for name, commitment in commitments.items():
                if commitment.covers(key.environment, key.system, key.model):
                    covered[name].append((key, _normalised(commitment, table, key.model, amounts)))
                    break
    found = Allocation()
    for name, commitment in commitments.items():
        total = found.totals[name] = commitment.micro_in(month)
        weights = [weight for _, weight in covered[name]]
        capacity = (commitment.capacity_tokens_per_minute or 0) * month.hours * 60 * _MILLI
        idle = max(capacity - sum(weights), 0) if sum(weights) else 1
        parts = largest_remainder(total, [*weights, idle])
        found.shares.update((key, (name, part)) for (key, _), part in zip(covered[name], parts[:-1], strict=True))
        if parts[-1]:
            found.unused.append(Unused(name, parts[-1], tuple(sorted(commitment.tags.items()))))
    return found


def _normalised(commitment: Commitment, table: PtuTable, model: str, amounts: Amounts) -> int:
    """Normalised tokens in thousandths."""
    given = commitment.output_weight
    weight = Decimal(repr(table.output_ratio(model) if given is None else given))
    return (amounts.input_tokens - amounts.cached_tokens) * _MILLI + int(weight * _MILLI) * amounts.output_tokens
