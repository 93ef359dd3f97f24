"""Commitments to provisioned throughput: a flat cost that accrues by the hour, used or not.

What accrues is a function of the configuration and the time alone. It needs no counter, so nothing of it can be lost,
and any two readers agree on it to the micro-dollar.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from costs.budgets import BudgetRule
from costs.money import rounded
from costs.months import Month
from costs.ptu import Term


@dataclass(frozen=True, slots=True)
class Commitment:
    """Units that are paid for from `first_hour` up to `end_hour` (None: until further notice); hours since 1970 UTC.

    `micro_per_unit` is for an hour if the term is hourly, else for a calendar month. It counts against the budget that
    is named, or else against every one that covers its environment, system and tags as it would a usage event's.
    """

    name: str
    units: int
    term: Term
    micro_per_unit: int
    first_hour: int
    end_hour: int | None = None
    environment: str = "*"
    system: str = "*"
    tags: tuple[tuple[str, str], ...] = ()
    budget: str | None = None

    def counts_against(self, rule: BudgetRule) -> bool:
        """Whether it is paid from that budget."""
        if self.budget is not None:
            return self.budget == rule.name
        return rule.covers(self.environment, self.system, dict(self.tags))

    def accrued_micro(self, start: int, end: int) -> int:
        """Micro-dollars that accrue in the hours from `start` up to `end`.

        A reservation's month accrues evenly over the hours that the month has. Neighbouring spans add up exactly, and
        a whole month is the month's price, to the micro-dollar.
        """
        start = max(start, self.first_hour)
        end = end if self.end_hour is None else min(end, self.end_hour)
        if end <= start:
            return 0
        price = self.units * self.micro_per_unit
        if self.term == "hourly":
            return price * (end - start)
        total = 0
        while start < end:
            month = Month.of(start)
            stop = min(end, month.end_hour)
            share = (rounded(price * (hour - month.first_hour), month.hours) for hour in (stop, start))
            total += next(share) - next(share)
            start = stop
        return total


def accrued_micro(commitments: Iterable[Commitment], rule: BudgetRule, start: int, end: int) -> int:
    """Micro-dollars of all commitments that a budget pays for, in the hours from `start` up to `end`."""
    return sum(one.accrued_micro(start, end) for one in commitments if one.counts_against(rule))
