"""What a night looks like: views with the texts that the engine really writes, for the page to show."""

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from dashboard import views as v
from schemas.outputs import Scope

NOW = datetime(2026, 3, 3, 2, 26, tzinfo=UTC)
NASTY = "<script>window.pwned=1</script><img src=x onerror=window.pwned=2>\"'{{7*7}}"
"""Telemetry of somebody who means harm."""

LONG = "customer-communication-and-refund-orchestration-" * 4
"""A name as long as nobody would choose."""

Line = Literal["fraction", "score", "count", "usd", "ms", "tokens"]


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def health(**changes: Any) -> v.Health:
    base: dict[str, Any] = {
        "last_event_at": ago(0.1),
        "last_tick_at": ago(1),
        "checked_at": NOW,
        "shards": 8,
        "shards_alive": 8,
        "series": 1000,
        "now_at": NOW,
    }
    return v.Health(**(base | changes))


SICK = v.Problem(
    severity="critical",
    text="The engine is 14 min behind the fleet: 3 of 8 shards have sent no heartbeat since 02:12 UTC.",
    remedy="Run `midwatch doctor`; then see whether Redis at redis-0:6379 answers.",
)

_SCOPES: dict[str, Scope] = {
    "inc_rollback": Scope(environment="production", system="refunds", flow="refund-request"),
    "inc_security": Scope(environment="production", system="refunds", agent="refund-agent"),
    "inc_cohort": Scope(environment="production", system="claims", flow="storm-damage"),
    "inc_breaker": Scope(environment="production", system="payments", flow="payout"),
}


def card(incident_id: str, **changes: Any) -> v.IncidentCard:
    return CARDS[incident_id].model_copy(update=changes)


CARDS: dict[str, v.IncidentCard] = {
    "inc_security": v.IncidentCard(
        incident_id="inc_security",
        severity="critical",
        state="open",
        headline="Refund-agent is refused what it attempts",
        sentence="Agent refund-agent is denied 42.1 % of its calls, 244x normal, since 02:15 UTC; most are "
        "customers:export by user-4711; suspect a prompt injection or a misconfigured deployment; call security.",
        advice="Call security now",
        scope=_SCOPES["inc_security"],
        detector="authorization_denials",
        triage_result="authorization_denials",
        onset_at=ago(11),
        decided_at=ago(8),
        revision=2,
        related=1,
    ),
    "inc_rollback": v.IncidentCard(
        incident_id="inc_rollback",
        severity="critical",
        state="open",
        headline="Escalations 12.2x normal in refund-request",
        sentence="Refund-request escalates 45.5 % of requests, 12.2x normal, since 02:04 UTC; likeliest cause: flow "
        "1.1 shipped at 02:00 UTC to 100 % without a canary; roll back.",
        advice="Roll back refund-request 1.1 to 1.0",
        scope=_SCOPES["inc_rollback"],
        detector="escalation_rate",
        triage_result="recent_deployments",
        onset_at=ago(22),
        decided_at=ago(17),
        revision=1,
        awaits_approval=True,
    ),
    "inc_cohort": v.IncidentCard(
        incident_id="inc_cohort",
        severity="warning",
        state="acknowledged",
        acknowledged_by="Ada Lovelace",
        headline="Escalations 4.0x normal in storm-damage",
        sentence="Storm-damage escalates 15.6 % of requests, 4.0x normal, since 01:28 UTC; the scores are stable, so "
        "the cases are riskier; staff the queue, change nothing.",
        advice="Staff the queue, change nothing",
        scope=_SCOPES["inc_cohort"],
        detector="escalation_rate",
        triage_result="inconclusive",
        onset_at=ago(58),
        decided_at=ago(40),
        revision=3,
        related=4,
    ),
}


def ended(number: int, *, text: str | None = None) -> v.IncidentCard:
    scope = Scope(environment="production", system=f"system-{number % 9}", flow=f"flow-{number % 31:03d}")
    kinds: tuple[tuple[Literal["critical", "warning", "info"], str, str], ...] = (
        ("critical", "circuit_breaker_state", "payments-api fails and no breaker is open"),
        ("warning", "inconclusive", f"Escalations 3.{number % 9}x normal in flow-{number % 31:03d}"),
        ("info", "eval_score_trend", "Scores drop in tone"),
    )
    severity, result, headline = kinds[number % 3]
    onset = ago(180 + number * 47)
    return v.IncidentCard(
        incident_id=f"inc_{number:04d}",
        severity=severity,
        state="resolved",
        headline=text or headline,
        sentence=text or f"{headline}; over.",
        advice="Nothing to do",
        scope=scope,
        detector="escalation_rate",
        triage_result=result,
        onset_at=onset,
        decided_at=onset + timedelta(minutes=5),
        resolved_at=onset + timedelta(minutes=12 + number % 50),
        revision=2,
        acknowledged_by="Grace Hopper" if number % 4 == 0 else None,
    )


def chart(key: str = "signal", *, minutes: int = 180, surge_at: float = 158, unit: Line = "fraction") -> v.Chart:
    chance = random.Random(key)
    starts = ago(minutes)
    points = []
    for minute in range(0, minutes + 1, max(1, minutes // 180)):
        usual = 0.037 + 0.008 * math.sin(minute / 40)
        surge = 0.4 * (1 - math.exp(-(minute - surge_at) / 6)) if minute > surge_at else 0
        value = max(0.0, usual + chance.gauss(0, 0.007) + surge)
        missing = 60 <= minute * 180 / minutes < 66
        points.append(
            v.Point(
                at=starts + timedelta(minutes=minute),
                value=None if missing else value,
                expected=usual,
                low=usual * 0.4,
                high=usual * 1.9,
                count=22,
            )
        )
    return v.Chart(
        key=key,
        title="Share of requests that go to a person",
        summary="45.5 % now against 3.7 % expected; it began to rise at 02:04 UTC, four minutes behind flow 1.1.",
        starts_at=starts,
        ends_at=NOW,
        lines=(v.Line(name="Escalation rate", unit=unit, points=tuple(points)),),
        marks=(
            v.Mark(at=ago(150), kind="breaker", text="Breaker of payments-api opens for 40 s"),
            v.Mark(at=ago(26), kind="deployment", text="refund-request 1.1 to 100 % at once"),
            v.Mark(at=ago(22), kind="onset", text="Estimated onset"),
            v.Mark(at=ago(17), kind="fired", text="Incident opened"),
            v.Mark(at=ago(9), kind="acknowledged", text="Looked at by Ada Lovelace"),
        ),
    )
