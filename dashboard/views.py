"""What the on-call page shows: values, ready to be written out, that know nothing of HTML, Kafka or Redis.

Times are UTC; whoever writes them out adds the reader's own zone. Every text may hold what telemetry says, so it is
escaped wherever it is written. Rates are fractions (0.137 is 13.7 %), money is in dollars, latencies in milliseconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from pydantic import Field

from schemas.base import JsonObject, Model, Time
from schemas.outputs import Finding, Recommendation, Scope, Verdict
from schemas.words import CheckName, Severity, StepStatus

IncidentState = Literal["open", "acknowledged", "muted", "resolved"]
Span = Literal["3h", "24h", "7d"]
MarkKind = Literal["onset", "fired", "resolved", "deployment", "breaker", "acknowledged", "action"]


class Problem(Model):
    """Something that is wrong with the engine itself, in words, and what to do about it."""

    severity: Severity
    text: str
    remedy: str | None = None


class Health(Model):
    """Whether what the page shows can be trusted. Any problem goes on top of every page."""

    problems: tuple[Problem, ...] = ()
    last_event_at: Time | None = None
    """When the fleet was last heard from, by the newest tick that was evaluated or the newest telemetry."""
    last_tick_at: Time | None = None
    checked_at: Time
    shards: int = 0
    shards_alive: int = 0
    series: int = 0
    simulated: bool = False
    """The demonstration: a fleet of its own, and a scripted judge."""
    clock: Literal["wall", "stream"] = "wall"
    """`stream`: telemetry alone moves time (demonstration, catching up), so ages count from `now_at`, not the wall."""
    now_at: Time | None = None


class IncidentCard(Model):
    """One incident in one plain sentence, for the first screen and every list."""

    incident_id: str
    severity: Severity
    state: IncidentState
    sentence: str
    """E.g. "Refund escalates 13.7 % of requests, 3.3x normal, since 02:14; likeliest cause: ...; roll back". Times in
    it are UTC and marked so."""
    headline: str
    """The same in a few words: what, where. E.g. "Escalations 3.3x normal in refunds"."""
    advice: str
    """What to do, in a few words. E.g. "Roll back 2026.11.3 to 2026.11.2"."""
    scope: Scope
    detector: str
    triage_result: str
    onset_at: Time
    decided_at: Time
    resolved_at: Time | None = None
    revision: int
    acknowledged_by: str | None = None
    muted_by: str | None = None
    awaits_approval: bool = False
    related: int = 0


class Overview(Model):
    """The first screen: open incidents, gravest first and then newest; what has ended lately; the engine's health."""

    health: Health
    open: tuple[IncidentCard, ...]
    muted: tuple[IncidentCard, ...] = ()
    ended: tuple[IncidentCard, ...] = ()
    version: int
    """Rises with every change of anything above."""


class Point(Model):
    """One value of a course over time. `low` to `high` is what was expected; None where there is nothing to say."""

    at: Time
    value: float | None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    count: float | None = None
    """How many observations stand behind `value`."""


class Line(Model):
    """A named course over time."""

    name: str
    unit: Literal["fraction", "score", "count", "usd", "ms", "tokens"]
    points: tuple[Point, ...]


class Mark(Model):
    """Something that happened, drawn on a chart at its time."""

    at: Time
    kind: MarkKind
    text: str


class Chart(Model):
    """Lines over the same time, and what happened meanwhile. `summary` says in words what the chart shows."""

    key: str
    title: str
    summary: str
    starts_at: Time
    ends_at: Time
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...] = ()
    target: float | None = None
    """A level to compare with: a budget, a threshold."""


class ChainStep(Model):
    """One check of the runbook in its order. `finding` None: it was not reached, and `why` says so."""

    order: int
    check: str
    question: str
    """What the check asks, in plain words."""
    finding: Finding | None
    decided: bool = False
    """This check's answer ended the chain."""
    why: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    """The evidence as name and value, written for people."""


class VersionOutcome(Model):
    """How one version fared since the onset (or in the period before)."""

    version: str
    interactions: int
    escalated: int
    rate: float
    low: float
    high: float
    is_suspect: bool = False


class TraceStep(Model):
    """One step of a request, in order."""

    agent: str
    operation: str
    name: str | None = None
    start_ms: float
    duration_ms: float
    status: StepStatus
    dependency: str | None = None
    tokens: int | None = None


class TraceView(Model):
    """One request as a waterfall. `failed_at` is the index of the first step that did not end well."""

    interaction_id: str
    trace_id: str | None = None
    at: Time
    flow: str
    version: str | None = None
    outcome: str
    reason: str | None = None
    duration_ms: float | None = None
    steps: tuple[TraceStep, ...] = ()
    failed_at: int | None = None


class DenialRow(Model):
    """Denied requests of one agent and action."""

    agent: str
    action: str
    requests: int
    denials: int
    principal: str | None = None
    reason: str | None = None


class ScoreRow(Model):
    """The mean of one criterion with its confidence interval, of 1 to 5."""

    criterion: str
    flow: str
    version: str | None
    mean: float | None
    low: float | None
    high: float | None
    scores: int
    method: str | None = None
    """How it was judged; `scripted` is no model's opinion."""


class Revision(Model):
    """One verdict of an incident, and what was new in it."""

    revision: int
    verdict_id: str
    at: Time
    status: str
    text: str


class ActionView(Model):
    """Something that was done or decided about the incident: by a machine, or by a person."""

    at: Time
    by: str
    what: str
    detail: str | None = None
    ok: bool | None = None


class IncidentView(Model):
    """An incident's whole page."""

    card: IncidentCard
    verdict: Verdict
    recommendation: Recommendation
    chain: tuple[ChainStep, ...]
    chart: Chart | None
    versions: tuple[VersionOutcome, ...] = ()
    traces: tuple[TraceView, ...] = ()
    denials: tuple[DenialRow, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    revisions: tuple[Revision, ...] = ()
    actions: tuple[ActionView, ...] = ()
    approval_key: str | None = None
    """The idempotency key to approve or refuse; None where nothing waits for a person."""
    approval_until: Time | None = None
    narration: str | None = None
    """A model's summary of the verdict, marked as such; checked against the verdict's own numbers."""


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


class Viewer(Model):
    """Who looks, and whether they may act. `csrf` goes back with every act."""

    name: str
    role: Literal["reader", "operator"]
    csrf: str


class Pages(Protocol):
    """The read model, as the page asks it. It answers at once, from memory or from a cache of its own."""

    async def overview(self) -> Overview:
        """The first screen."""

    async def incident(self, incident_id: str) -> IncidentView | None:
        """One incident; None if it is not known."""

    async def incidents(self, *, limit: int, before: datetime | None) -> tuple[IncidentCard, ...]:
        """The history, newest first."""

    async def signals(self, asked: Filter) -> SignalsView:
        """The four signals."""

    async def quality(self, asked: Filter) -> QualityView:
        """Evaluation trends."""

    async def costs(self, asked: Filter, tag: str | None) -> CostsView:
        """Spend, budgets, provisioned throughput."""


class ActResult(Model):
    """What an act did, in words for the one who did it. `detail` is for programs."""

    ok: bool
    text: str
    detail: JsonObject = Field(default_factory=dict)


class Acts(Protocol):
    """What a viewer may do. Each is stored in Kafka before it returns, and is part of the audit trail.

    Each raises ValueError with a sentence for the viewer where it cannot be done.
    """

    async def acknowledge(self, viewer: Viewer, incident_id: str, note: str, *, withdraw: bool) -> ActResult:
        """Take an incident in hand, or give it back."""

    async def silence(self, viewer: Viewer, incident_id: str, minutes: int, reason: str) -> ActResult:
        """Page nobody about the incident's scope for so long."""

    async def judge(self, viewer: Viewer, incident_id: str, *, right: bool, cause: str | None, note: str) -> ActResult:
        """Confirm or refute the verdict."""

    async def decide_rollback(self, viewer: Viewer, incident_id: str, key: str, *, approve: bool) -> ActResult:
        """Approve or refuse the rollback that waits under this idempotency key."""


CHECK_QUESTIONS: dict[CheckName, str] = {
    "authorization_denials": "Does an agent act outside its scope?",
    "circuit_breaker_state": "Is a dependency degraded, and did its breaker engage?",
    "eval_score_trend": "Is the agents' own judgement getting worse?",
    "recent_deployments": "Did a change ship just before, without its full canary?",
}
"""What each check of the runbook asks, in plain words."""
