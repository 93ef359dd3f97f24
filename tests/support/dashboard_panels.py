"""The pages of signals, quality and costs, made up."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from dashboard import views as v
from tests.support import dashboard_fleet as fleet
from tests.support import dashboard_incident as incident


def plain_chart(
    key: str, title: str, unit: fleet.Line, names: tuple[str, ...], level: float, **changes: Any
) -> v.Chart:
    chance = random.Random(key)
    starts = fleet.ago(180)
    lines = []
    for order, name in enumerate(names):
        mean = level / (order + 1)
        points = tuple(
            v.Point(
                at=starts + timedelta(minutes=at),
                value=max(0.0, mean + chance.gauss(0, mean / 9) * (0.3 if unit == "score" else 1)),
                **({"low": mean * 0.95, "high": mean * 1.05} if len(names) == 1 else {}),
            )
            for at in range(0, 181, 4)
        )
        lines.append(v.Line(name=name, unit=unit, points=points))
    base: dict[str, Any] = {"summary": f"{title}: no change in this time.", "starts_at": starts, "ends_at": fleet.NOW}
    return v.Chart(key=key, title=title, lines=tuple(lines), **(base | changes))


BUDGETS = (
    v.BudgetView(
        budget="refunds",
        amount_usd=12000.0,
        spent_usd=9210.4,
        forecast_usd=13950.0,
        low_usd=12800.0,
        high_usd=15100.0,
        overrun_at=datetime(2026, 3, 24, tzinfo=UTC),
    ),
    v.BudgetView(
        budget="claims", amount_usd=8000.0, spent_usd=1203.1, forecast_usd=5210.0, low_usd=4800.0, high_usd=5600.0
    ),
)


def choices() -> v.Choices:
    return v.Choices(
        environments=("production", "staging"),
        systems=("refunds", "claims", "payments"),
        flows=tuple(f"flow-{number:03d}" for number in range(40)),
    )


def signals(asked: v.Filter, cards: tuple[v.IncidentCard, ...], well: v.Health) -> v.SignalsView:
    return v.SignalsView(
        filter=asked,
        choices=choices(),
        escalation=fleet.chart("escalation"),
        appropriateness=plain_chart("apt", "Appropriateness of escalations", "score", ("Score",), 4.19),
        denials=plain_chart(
            "denials",
            "Denied requests",
            "count",
            tuple(f"returns-and-refunds-agent-{number}" for number in range(8)),
            12,
        ),
        budgets=BUDGETS,
        latency=(
            v.LatencyRow(
                agent="refund-agent",
                operation="execute_tool fraud_check",
                requests=412,
                p50_ms=310,
                p95_ms=3000,
                errors=31,
            ),
            v.LatencyRow(agent="refund-agent", operation="chat", requests=412, p50_ms=930, p95_ms=1800, errors=0),
            v.LatencyRow(agent="triage-agent", operation="chat", requests=988, p50_ms=640, p95_ms=1120, errors=2),
        ),
        traces=(incident.trace(4736), incident.trace(4738, "resolved")),
        incidents=cards,
        health=well,
    )


def quality(asked: v.Filter, well: v.Health) -> v.QualityView:
    return v.QualityView(
        filter=asked,
        choices=choices(),
        charts=tuple(
            plain_chart(name, name.capitalize(), "score", ("1.1", "1.0"), 4.3) for name in ("correctness", "tone")
        ),
        rows=incident.SCORES,
        judge=(
            ("Model", "gpt-5.1-mini"),
            ("Method", "G-Eval, 5 samples"),
            ("Spent today", "412,000 of 1,000,000 tokens"),
        ),
        health=well,
    )


def costs(asked: v.Filter, tag: str, well: v.Health) -> v.CostsView:
    return v.CostsView(
        filter=asked,
        choices=choices(),
        tag=tag,
        tags=("system", "cost-center", "business-unit"),
        rows=(
            v.SpendRow(value="refunds", cost_usd=9210.4, share=0.74, tokens=812_400_000),
            v.SpendRow(value="claims", cost_usd=1203.1, share=0.1, tokens=99_000_000),
            v.SpendRow(value="untagged", cost_usd=2034.0, share=0.16, tokens=181_000_000, unpriced=4120),
        ),
        budgets=BUDGETS,
        ptus=(
            v.PtuRow(
                name="refunds-ptu",
                model="gpt-5.1",
                units=100,
                utilisation=0.41,
                monthly_usd=26000.0,
                payg_usd=17400.0,
                break_even_tokens=2_900_000_000,
                advice="At 41 % it costs $8,600 more a month than paying as you go; do not renew in April.",
            ),
        ),
        health=well,
    )
