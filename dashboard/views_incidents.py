"""What the page says of incidents: one in a sentence, one whole, all of the first screen; and of the engine itself."""

from __future__ import annotations

from typing import Literal

from dashboard.views_charts import Chart
from schemas.base import Model, Time
from schemas.outputs import Finding, Recommendation, Scope, Verdict
from schemas.words import CheckName, Severity, StepStatus

IncidentState = Literal["open", "acknowledged", "muted", "resolved"]


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
    """The demonstration: a fleet of its own."""
    scripted: bool = False
    """Scores come from rules, not from a model."""
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
    """How the newest of these scores were judged, `scripted` is no model's opinion; None if none has been seen yet."""


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


CHECK_QUESTIONS: dict[CheckName, str] = {
    "authorization_denials": "Does an agent act outside its scope?",
    "circuit_breaker_state": "Is a dependency degraded, and did its breaker engage?",
    "eval_score_trend": "Is the agents' own judgement getting worse?",
    "recent_deployments": "Did a change ship just before, without its full canary?",
}
"""What each check of the runbook asks, in plain words."""
