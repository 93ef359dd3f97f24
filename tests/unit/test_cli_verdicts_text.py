"""A verdict as a person reads it."""

from datetime import UTC, datetime, timedelta

from schemas.outputs import (
    Acknowledged,
    Engine,
    Finding,
    Muted,
    ProbableCause,
    RankedCause,
    Recommendation,
    Scope,
    Trigger,
    Verdict,
)
from stream.verdicts_text import verdict_lines

TICK = datetime(2026, 3, 1, 2, 15, tzinfo=UTC)


def example(status: str = "firing", flow: str = "refund") -> Verdict:
    """A verdict with what a page needs."""
    return Verdict.model_validate(
        {
            "verdict_id": "vrd_x",
            "incident_id": "inc_x",
            "revision": 0,
            "status": status,
            "decided_at": TICK,
            "onset_at": TICK - timedelta(minutes=9),
            "scope": Scope(environment="production", system="refunds", flow=flow),
            "trigger": Trigger(
                firing_id="fir_x",
                detector="escalation_rate",
                tier="page",
                observed=0.137,
                baseline=0.041,
                ratio=3.3,
                threshold=4.2,
                unit="escalations per interaction",
                sample_count=300,
                baseline_count=40.0,
                confidence=0.9999,
                window_start=TICK - timedelta(minutes=30),
                window_end=TICK,
                summary="41 of 300 escalated in 30 min, 13.7 % against 4.1 %",
            ),
            "triage_result": "recent_deployments",
            "action": "immediate_rollback_or_escalation",
            "severity": "critical",
            "probable_cause": ProbableCause(check="recent_deployments", summary="flow 2.4.0 went to 100 % at once"),
            "findings": (
                Finding(check="authorization_denials", severity="none", status="evaluated", summary="no spike"),
                Finding(check="eval_score_trend", severity="none", status="no_data", summary="no scores"),
                Finding(check="recent_deployments", severity="critical", status="evaluated", summary="not ramped"),
            ),
            "causes": (RankedCause(cause="deployment", probability=0.97),),
            "recommendation": Recommendation(
                kind="rollback",
                confidence=0.97,
                reason="the change is the cause",
                requires_approval=True,
                not_after=TICK + timedelta(minutes=15),
                idempotency_key="key",
            ),
            "engine": Engine(version="0.1.0", config_hash="cfg_x"),
        }
    )


def test_a_page_says_what_who_since_when_and_what_to_do() -> None:
    """Place, severity, numbers, onset, cause, every finding and the advice are there."""
    text = "\n".join(verdict_lines(example()))
    for part in (
        "CRITICAL",
        "production/refunds flow=refund",
        "41 of 300 escalated",
        "since 2026-03-01T02:06:00.000Z",
        "recent_deployments -> immediate_rollback_or_escalation",
        "not ramped",
        "[no_data]",
        "deployment 97%",
        "rollback (97% sure, needs approval, until 2026-03-01T02:30:00.000Z)",
    ):
        assert part in text


def test_a_resolve_is_short() -> None:
    """The end of an incident takes two lines."""
    address = "https://midwatch.example.com/incidents/inc_x"
    assert list(verdict_lines(example("resolved"), address))[-1] == f"  page: {address}"
    lines = list(verdict_lines(example("resolved")))
    assert len(lines) == 2
    assert "resolved" in lines[0]


def test_telemetry_cannot_command_the_terminal() -> None:
    """Escape sequences and line breaks in a name do not reach the terminal."""
    text = "".join(verdict_lines(example(flow="evil\x1b[2J\r\nname\u202e")))
    assert "\x1b" not in text
    assert "\n" not in text
    assert "\u202e" not in text


def test_it_says_who_muted_it_and_who_has_it_in_hand() -> None:
    """Muted by what, until when and why; acknowledged by whom: right below the head, for a resolve as well."""
    update = {
        "muted": Muted(by="maintenance", id="sil_x", until=TICK + timedelta(hours=1), reason="upgrade\x1b[2J"),
        "acknowledged": Acknowledged(by="ada", at=TICK, note="on it"),
    }
    for status in ("firing", "resolved"):
        lines = list(verdict_lines(example(status).model_copy(update=update)))
        assert lines[1].startswith("  muted by maintenance sil_x until 2026-03-01T03:15:00.000Z: upgrade")
        assert "\x1b" not in lines[1]
        assert lines[2] == "  acknowledged by ada at 2026-03-01T02:15:00.000Z: on it"


def test_it_says_what_else_fired() -> None:
    """A few of the others by name, and how many there are; what the cause explains apart."""
    others = tuple(Scope(environment="production", system="refunds", flow=f"flow-{number}") for number in range(5))
    update = {"related": others, "related_total": 900, "inhibited": others[:1]}
    text = "\n".join(verdict_lines(example().model_copy(update=update)))
    assert "with 900 other series: flow=flow-0, flow=flow-1, flow=flow-2 and 897 more" in text
    assert "explains 1 more: flow=flow-0" in text
