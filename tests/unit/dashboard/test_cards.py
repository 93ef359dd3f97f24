"""The parts of an incident's page: states, order, chain, outcome by version, news, what waits for a person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dashboard import cards
from schemas.actions import ActionTaken
from schemas.controls import Approval
from schemas.outputs import Acknowledged, Muted
from tests.support.dashboard_verdicts import AT, KEY, finding, findings, recommendation, resolved, verdict


def test_the_gravest_that_nobody_has_come_first() -> None:
    """Severity, then what nobody has in hand, then the newest."""
    taken = verdict(incident_id="a", acknowledged=Acknowledged(by="ada", at=AT))
    old, new = verdict(incident_id="b"), verdict(incident_id="c", onset_at=AT)
    warning = verdict(incident_id="d", severity="warning", onset_at=AT)
    ordered = cards.by_gravity(cards.card_of(one) for one in (warning, taken, old, new))
    assert [card.incident_id for card in ordered] == ["c", "b", "a", "d"]
    assert [card.state for card in ordered] == ["open", "open", "acknowledged", "open"]


def test_a_muted_incident_is_muted_even_in_somebodys_hands() -> None:
    """What pages nobody stands apart."""
    both = verdict(acknowledged=Acknowledged(by="ada", at=AT), muted=Muted(by="silence", id="s"))
    card = cards.card_of(both)
    assert (card.state, card.muted_by, card.acknowledged_by) == ("muted", "silence", "ada")
    assert cards.card_of(resolved()).resolved_at == resolved().decided_at


def test_the_chain_stands_in_the_runbooks_order_with_what_was_not_answered() -> None:
    """Every check of the runbook is there, whatever the verdict holds; the one that decided is marked."""
    steps = cards.chain_of(verdict(findings=(finding("recent_deployments"), finding("third_party"))))
    assert [step.check for step in steps] == [
        "authorization_denials",
        "circuit_breaker_state",
        "eval_score_trend",
        "recent_deployments",
        "third_party",
    ]
    assert [step.order for step in steps] == [1, 2, 3, 4, 5]
    assert steps[0].finding is None
    assert steps[0].why == "The verdict holds no answer of this check."
    assert [step.check for step in steps if step.decided] == ["recent_deployments"]


def test_facts_are_written_for_people() -> None:
    """Names lose their underscores, p-values their digits; what is nested stays in the verdict."""
    facts = dict(cards.facts_of({"p_value": 1.23456e-8, "is_new": True, "calls": 12345, "top": [{}], "x": None}))
    assert facts == {"P value": "1.23e-08", "Is new": "yes", "Calls": "12,345"}


def test_outcome_by_version_has_the_suspect_and_its_intervals() -> None:
    """New against old, with Wilson's intervals; counts that contradict themselves are left out."""
    new, old = cards.versions_of(verdict())
    assert (new.version, new.is_suspect, new.rate) == ("2026.11.3", True, 0.2)
    assert (old.version, old.is_suspect) == ("2026.11.2", False)
    assert new.low < 0.2 < new.high
    assert old.high < new.low
    assert cards.versions_of(verdict(findings=findings(new_escalations=999, old_interactions="many"))) == ()


def test_the_timeline_says_what_each_revision_brought() -> None:
    """Opened, taken, changed its mind, resolved; what brings nothing new says that too."""
    taken = verdict(revision=1, acknowledged=Acknowledged(by="ada", at=AT))
    worse = verdict(revision=2, acknowledged=Acknowledged(by="ada", at=AT), severity="warning")
    story = cards.revisions_of([verdict(), taken, worse, worse.model_copy(update={"revision": 3}), resolved()])
    assert [one.text for one in story] == [
        "Opened: Escalations 3.3x normal in refunds. Roll back refund 2026.11.3 to 2026.11.2.",
        "ada took it.",
        "Now warning, was critical.",
        "Confirmed with newer numbers.",
        "Resolved: every firing has recovered.",
    ]


def _step(status: Any, mode: Any = "live") -> ActionTaken:
    told = verdict()
    return ActionTaken(
        action_id="new",
        idempotency_key=KEY,
        verdict_id=told.verdict_id,
        incident_id=told.incident_id,
        revision=0,
        scope=told.scope,
        mode=mode,
        status=status,
        detail="x",
        confidence=0.9,
        decided_at=AT,
        not_after=AT,
        time=AT,
        by="midwatch-rollback",
    ).with_id()


def _approval(decision: Any) -> Approval:
    return Approval(
        id="apr_1",
        time=AT,
        environment="production",
        system="refunds",
        incident_id="inc_refunds",
        idempotency_key=KEY,
        decision=decision,
        by="ada",
    )


@pytest.mark.parametrize(
    ("changes", "steps", "decided", "minutes", "waits"),
    [
        ({}, [], [], 0, True),
        ({}, [_step("awaiting_approval"), _step("proposed")], [], 0, True),
        ({}, [_step("started", "dry_run")], [], 0, True),
        ({}, [_step("started")], [], 0, False),
        ({}, [], [_approval("refuse")], 0, False),
        ({}, [], [], 15, False),
        ({"recommendation": recommendation(requires_approval=False)}, [], [], 0, False),
        ({"recommendation": recommendation(kind="escalate")}, [], [], 0, False),
        ({"muted": Muted(by="silence", id="s")}, [], [], 0, False),
    ],
)
def test_a_rollback_waits_only_while_a_person_can_still_decide(
    changes: dict[str, Any], steps: list[ActionTaken], decided: list[Approval], minutes: int, waits: bool
) -> None:
    """Nothing is offered that is decided, begun, out of time, silenced or no rollback."""
    found = cards.approval_key(verdict(**changes), steps, decided, AT + timedelta(minutes=minutes))
    assert (found == KEY) is waits
