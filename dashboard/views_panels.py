"""What the panels say: the four signals, quality, costs, and which part of the fleet they are about."""

from __future__ import annotations

from typing import Literal

from dashboard.views_charts import Chart
from dashboard.views_incidents import Health, IncidentCard, ScoreRow, TraceView
from schemas.base import Model, Time

Span = Literal["3h", "24h", "7d"]


class Filter(Model):
    """Which part of the fleet is asked about; None: all of it."""

    span: Span = "3h"
    environment: str | None = None
    system: str | None = None
    flow: str | None = None


class Choices(Model):
    """What there is to filter by."""

    environments: tuple[str, ...]
    systems: tuple[str, ...]
    flows: tuple[str, ...]


class LatencyRow(Model):
    """Latency of one step of one agent over the span; from the requests that were kept, `requests` of them."""

    agent: str
    operation: str
    requests: int
    p50_ms: float
    p95_ms: float
    errors: int


class BudgetView(Model):
    """A budget this month: spent, forecast with its interval, and when it runs out."""

    budget: str
    amount_usd: float
    spent_usd: float
    forecast_usd: float | None = None
    low_usd: float | None = None
    high_usd: float | None = None
    overrun_at: Time | None = None
    chart: Chart | None = None


class SignalsView(Model):
    """The four signals over a span."""

    filter: Filter
    choices: Choices
    escalation: Chart | None
    appropriateness: Chart | None
    denials: Chart | None
    """One line for each agent, the most denied first."""
    budgets: tuple[BudgetView, ...] = ()
    latency: tuple[LatencyRow, ...] = ()
    traces: tuple[TraceView, ...] = ()
    incidents: tuple[IncidentCard, ...] = ()
    health: Health


class QualityView(Model):
    """Evaluation scores: their courses, with intervals, and the table by version."""

    filter: Filter
    choices: Choices
    charts: tuple[Chart, ...]
    rows: tuple[ScoreRow, ...]
    judge: tuple[tuple[str, str], ...] = ()
    """Facts about the judge: model, method, spend against budget."""
    health: Health


class SpendRow(Model):
    """What one value of a tag spent this month."""

    value: str
    cost_usd: float
    share: float
    tokens: int
    unpriced: int = 0


class PtuRow(Model):
    """A commitment of provisioned throughput: how much of it is used, and from where on it pays."""

    name: str
    model: str
    units: int
    utilisation: float | None
    monthly_usd: float
    payg_usd: float | None
    break_even_tokens: int | None
    advice: str


class CostsView(Model):
    """Spend by tag, budgets, provisioned throughput."""

    filter: Filter
    choices: Choices
    tag: str
    tags: tuple[str, ...]
    rows: tuple[SpendRow, ...]
    budgets: tuple[BudgetView, ...]
    ptus: tuple[PtuRow, ...]
    health: Health
