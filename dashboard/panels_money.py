"""The panels of money: budgets with their forecast, and spend by tag. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from costs.months import Month
from dashboard.panels import CHOICES, ROWS, Views, newest_tick, rows_of, summary_of
from dashboard.shards import ShardView
from dashboard.views import BudgetView, Chart, Filter, Line, Point, SpendRow
from schemas.series import MICRO_USD
from stream.core.ticks import time_of
from stream.cost_budgets import BudgetReport, Spend, report_budgets
from stream.cost_budgets_read import held_spends
from stream.settings import Settings
from triage.words import quoted


def budgets_of(views: Views, settings: Settings) -> tuple[BudgetView, ...]:
    """Every budget of the configuration as it stands this month."""
    if not settings.budgets or not views:
        return ()
    keys = [rule.key() for rule in settings.budget_rules()]
    spends: dict[Any, Spend] = {}
    for view in views:
        spends.update(held_spends(view.machine, keys))
    tick = newest_tick(views)
    reports = report_budgets(settings, spends, tick)
    by_name = {rule.name: rule.key() for rule in settings.budget_rules()}
    return tuple(_budget(report, spends.get(by_name[report.name], Spend()), tick) for report in reports)


def _budget(report: BudgetReport, spend: Spend, tick: int) -> BudgetView:
    look = report.outlook
    return BudgetView(
        budget=report.name,
        amount_usd=report.amount_micro / MICRO_USD,
        spent_usd=report.spent_micro / MICRO_USD,
        forecast_usd=look.total if look is not None else None,
        low_usd=look.low if look is not None else None,
        high_usd=look.high if look is not None else None,
        overrun_at=time_of(look.over) if look is not None and look.over is not None else None,
        chart=_spend_chart(report, spend, tick),
    )


def _spend_chart(report: BudgetReport, spend: Spend, tick: int) -> Chart | None:
    first, now = report.month.first_hour, tick // 60
    if now <= first:
        return None
    amount = report.amount_micro / MICRO_USD
    points, total = [], spend.earlier_micro / MICRO_USD
    share = report.accrued_micro / MICRO_USD / (now - first)
    for hour in range(first, now):
        if hour % 6 == 0:
            even = amount * (hour - first) / report.month.hours
            points.append(Point(at=time_of(hour * 60), value=total + share * (hour - first), expected=even))
        total += spend.hours.get(hour, [0, 0])[1] / MICRO_USD
    # The last point is what the budget says is spent, the running hour with it.
    even = amount * (tick / 60 - first) / report.month.hours
    points.append(Point(at=time_of(tick), value=report.spent_micro / MICRO_USD, expected=even))
    line = Line(name=f"Spent of {quoted(report.name)}", unit="usd", points=tuple(points))
    return Chart(
        key=f"budget-{report.name}",
        title=f"Budget {quoted(report.name)}",
        summary=summary_of([line], 0),
        starts_at=time_of(first * 60),
        ends_at=time_of(report.month.end_hour * 60),
        lines=(line,),
        target=amount,
    )


OWN_TAGS: Final = ("system", "environment", "model", "agent")
"""What usage can be split by without any tag: what its series says."""


def tags_of(views: Views) -> tuple[str, ...]:
    """What spend can be split by: what the series say, then the tags that systems bear."""
    found = {name for view in views for record in view.machine.evidence.tags.values() for name, _ in record.tags}
    return (*OWN_TAGS, *sorted(found - set(OWN_TAGS))[:CHOICES])


def spend_rows(views: Views, asked: Filter, tag: str) -> tuple[SpendRow, ...]:
    """What each value of a tag spent this month, dearest first. A system's tags are those of its latest event."""
    month = Month.of(newest_tick(views) // 60)
    cost: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    unpriced: Counter[str] = Counter()
    for view, rows in rows_of(views, "usage", asked.model_copy(update={"flow": None})):
        windows = view.machine.windows["usage"]
        wanted = set(rows)
        values = {row: _tag_value(view, row, tag) for row in rows}
        for hour, block in windows.hour_blocks.items():
            if not month.first_hour <= hour < month.end_hour:
                continue
            for row, counts in zip(block.rows.tolist(), block.counts.tolist(), strict=True):
                if row in wanted:
                    value = values[row]
                    cost[value] += counts[4]
                    tokens[value] += counts[1] + counts[3]
                    free = counts[4] == 0 and windows.keys[row].dims[2] != "ptu"
                    unpriced[value] += counts[0] if free else 0
    whole = sum(cost.values()) or 1
    return tuple(
        SpendRow(
            value=value,
            cost_usd=micro / MICRO_USD,
            share=micro / whole,
            tokens=tokens[value],
            unpriced=unpriced[value],
        )
        for value, micro in cost.most_common(ROWS)
    )


def _tag_value(view: ShardView, row: int, tag: str) -> str:
    key = view.machine.windows["usage"].keys[row]
    own = {**key.labels(), "environment": key.environment, "system": key.system}
    if tag in OWN_TAGS:
        return str(own.get(tag, "unknown"))
    record = view.machine.evidence.tags.get((key.environment, key.system))
    return dict(record.tags).get(tag, "(untagged)") if record is not None else "(untagged)"
