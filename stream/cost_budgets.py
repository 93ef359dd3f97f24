"""Budgets as they stand: spent, pace, forecast with its interval, and the date on which they run out.

The counters are the budget series of the windows: micro-dollars by the hour, exact. What commitments cost is added by
the hour (`costs.ptu_commitments`). The forecast is the one that `burn_rate` judges by (`detectors.burn_rate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from costs.months import Month
from costs.ptu_commitments import accrued_micro
from detectors import words
from detectors.arrays import HourView
from detectors.base import HOURS
from detectors.burn_rate import BurnRate, BurnRateSettings, Outlook
from schemas.base import JsonObject
from schemas.series import MICRO_USD, SeriesKey
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.settings import Settings

Z80: Final = 80
"""Per cent of the forecast's interval."""


@dataclass
class Spend:
    """What counts against one budget: (requests, micro-dollars) by hour since 1970.

    `earlier_micro` is what its month had before the first of these hours, where they do not reach back to its start.
    """

    hours: dict[int, list[int]] = field(default_factory=dict)
    earlier_micro: int = 0

    def micro(self, start: int, end: int) -> int:
        """Micro-dollars in the hours from `start` up to `end`."""
        return sum(cell[1] for hour, cell in self.hours.items() if start <= hour < end)


@dataclass(frozen=True)
class BudgetReport:
    """One budget in one month. Money in micro-dollars; `outlook` is None where there is nothing to foresee."""

    name: str
    month: Month
    amount_micro: int
    usage_micro: int
    accrued_micro: int
    flat_micro: int
    requests: int
    as_of_minute: int
    outlook: Outlook | None
    why: str

    @property
    def spent_micro(self) -> int:
        """Usage, and what has accrued."""
        return self.usage_micro + self.accrued_micro

    def to_json(self) -> JsonObject:
        """The report as JSON, in dollars."""
        found: JsonObject = {
            "budget": self.name,
            "month": str(self.month),
            "as_of": rfc3339(self.as_of_minute * MINUTE_MS),
            "amount_usd": self.amount_micro / MICRO_USD,
            "spent_usd": self.spent_micro / MICRO_USD,
            "usage_usd": self.usage_micro / MICRO_USD,
            "committed_usd": self.accrued_micro / MICRO_USD,
            "committed_month_usd": self.flat_micro / MICRO_USD,
            "requests": self.requests,
            "forecast": None,
            "why_no_forecast": self.why or None,
        }
        if self.outlook is not None:
            one = self.outlook
            found["forecast"] = {
                "usd_a_day": round(one.daily, 2),
                "affordable_usd_a_day": round(one.affordable, 2),
                "month_usd": round(one.total, 2),
                "low_usd": round(one.low, 2),
                "high_usd": round(one.high, 2),
                "interval_percent": Z80,
                "chance_of_overrun": round(one.chance, 4),
                "overrun_at": None if one.over is None else words.at(one.over),
            }
        return found


def report_budgets(
    settings: Settings, spends: Mapping[SeriesKey, Spend], as_of_minute: int, month: Month | None = None
) -> list[BudgetReport]:
    """Every budget of the configuration, by name, in `month` (that of `as_of_minute` if not given).

    What lies behind `as_of_minute` is not known; a month that was over by then has no forecast.
    """
    hour = as_of_minute // 60
    at = month or Month.of(hour)
    limits = BurnRateSettings.model_validate(settings.detector_settings()["burn_rate"])
    commitments = settings.flat_costs()
    found = []
    for rule in settings.budget_rules():
        spend = spends.get(rule.key(), Spend())
        budget = settings.budgets[rule.name]
        until = min(max(hour, at.first_hour), at.end_hour)
        share = (until - at.first_hour) / at.hours
        flat, accrued = round(budget.flat_usd * MICRO_USD), round(budget.flat_usd * share * MICRO_USD)
        earlier = spend.earlier_micro if at == Month.of(hour) else 0
        used = spend.micro(at.first_hour, at.end_hour) + earlier
        outlook, why = _foresee(limits, rule.key(), spend, used, hour, at)
        amount = round(budget.amount_usd * MICRO_USD)
        month_flat = flat + accrued_micro(commitments, rule, at.first_hour, at.end_hour)
        gone = _gone(spend, earlier, amount - month_flat, at)
        if outlook is not None and gone is not None:
            # The forecast looks ahead: it knows that the money is gone, not since when.
            outlook = replace(outlook, over=gone * 60)
        found.append(
            BudgetReport(
                name=rule.name,
                month=at,
                amount_micro=amount,
                usage_micro=used,
                accrued_micro=accrued + accrued_micro(commitments, rule, at.first_hour, until),
                flat_micro=month_flat,
                requests=sum(cell[0] for place, cell in spend.hours.items() if at.first_hour <= place < at.end_hour),
                as_of_minute=as_of_minute,
                outlook=outlook,
                why=why,
            )
        )
    return found


def _foresee(
    limits: BurnRateSettings, key: SeriesKey, spend: Spend, used: int, hour: int, month: Month
) -> tuple[Outlook | None, str]:
    """The forecast as of a full hour, or why there is none."""
    if hour >= month.end_hour:
        return None, "the month is over"
    if hour < month.first_hour:
        return None, "the month has not begun"
    known = [place for place in spend.hours if hour - HOURS <= place < hour]
    if not known:
        return None, "nothing has been spent in the last 28 days"
    covered = hour - min(known)
    if covered < limits.min_history_hours:
        return None, f"{covered} hours of history are too few: {limits.min_history_hours} are needed"
    counts = np.zeros((1, HOURS, 2), np.int64)
    for place in known:
        counts[0, place - hour + HOURS] = spend.hours[place]
    view = HourView("budget", [key], counts, (hour - HOURS) * 60)
    view.tick = hour * 60
    if not view.size:
        return None, "nothing has been spent in the last 28 days"
    return BurnRate(limits).outlooks(view, np.array([used / MICRO_USD]))[0], ""


def _gone(spend: Spend, earlier_micro: int, left_micro: int, month: Month) -> int | None:
    """The hour in which usage took more than commitments leave for it; None if in none of these."""
    total = earlier_micro
    if total > left_micro:
        return None
    for hour in sorted(hour for hour in spend.hours if month.first_hour <= hour < month.end_hour):
        total += spend.hours[hour][1]
        if total > left_micro:
            return hour
    return None


def budget_rows(reports: Sequence[BudgetReport]) -> list[tuple[str, ...]]:
    """A row for each budget: name, amount, spent, of which committed, pace, forecast, interval, overrun."""
    return [tuple(_row(one)) for one in reports]


def _row(one: BudgetReport) -> list[str]:
    spent = one.spent_micro / one.amount_micro
    start: list[Any] = [
        one.name,
        _usd(one.amount_micro / MICRO_USD),
        f"{_usd(one.spent_micro / MICRO_USD)} ({spent:.0%})",
        _usd(one.accrued_micro / MICRO_USD),
    ]
    if one.outlook is None:
        over = "overspent" if spent > 1 else ""
        return [*start, "-", "-", "-", over or one.why]
    look = one.outlook
    ends = "lasts" if look.over is None else f"used up {words.at(look.over)[:10]}"
    interval = f"{_usd(look.low)} to {_usd(look.high)}"
    return [*start, _usd(look.daily), _usd(look.total), interval, ends]


def _usd(amount: float) -> str:
    return f"${amount:,.0f}" if abs(amount) >= 100 else f"${amount:,.2f}"
