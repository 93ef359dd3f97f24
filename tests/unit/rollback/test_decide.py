"""Which step follows from a verdict, what was done, what was said, and the time; and how an action turns out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.outputs import Verdict
from stream.rollback.book import ApprovalBook
from stream.rollback.decide import Decision, Plan, Start, abandoned, decide, superseded, take_up
from stream.rollback.ledger import Ledger
from stream.rollback.rules import Rules
from stream.rollback.steps import Said, follow_up, step_of
from stream.rollback.verify import Observed, verify
from tests.support.rollback import MINUTE, MUTED, RULES, START, approval, standing, verdict

PLAN = Plan("prod", "roll it back")


def ask(
    given: Verdict, ledger: Ledger | None = None, book: ApprovalBook | None = None, rules: Rules = RULES, **more: Any
) -> Decision:
    fields: dict[str, Any] = {"plan": PLAN, "now": START + MINUTE, "stopped": None} | more
    known = ledger if ledger is not None else Ledger(rules)
    words = book if book is not None else ApprovalBook()
    return decide(given, fields["plan"], known, words, rules, fields["now"], stopped=fields["stopped"])


def told(ledger: Ledger, given: Verdict, *said: Said, minutes: float = 0) -> None:
    """Put steps about a verdict on the record."""
    for one in said:
        now = START + minutes * MINUTE
        assert ledger.apply(step_of(given, one, ledger._rules.mode, "prod", "me", now)) is None


def book_of(*said: Any) -> ApprovalBook:
    book = ApprovalBook()
    for one in said:
        book.apply(one)
    return book


@pytest.mark.parametrize(
    ("given", "more", "status", "reason"),
    [
        (verdict(target=None), {}, "skipped", "no_target"),
        (verdict(environment="staging"), {}, "skipped", "not_allowed"),
        (verdict(confidence=0.89), {}, "skipped", "low_confidence"),
        (verdict(), {"plan": Plan(None, "none serves it")}, "skipped", "no_executor"),
        (verdict(), {"plan": Plan(None, "no such namespace", "unfit_target")}, "skipped", "unfit_target"),
        (verdict(decided_at=START + 3 * MINUTE), {}, "skipped", "from_the_future"),
        (verdict(), {"now": START + 15.1 * MINUTE}, "expired", "expired"),
        (verdict(not_after=START + 99 * MINUTE), {"now": START + 30.1 * MINUTE}, "expired", "expired"),
        (verdict(muted=MUTED), {}, "skipped", "muted"),
        (verdict(), {"stopped": "halted: the file /stop exists"}, "skipped", "halted"),
        (verdict(), {"book": book_of(standing(START, START + 9 * MINUTE))}, "skipped", "halted"),
        (verdict(), {"book": book_of(approval(decision="refuse"))}, "refused", "refused"),
        (verdict(), {}, "proposed", None),
    ],
)
def test_what_is_said_first(given: Verdict, more: dict[str, Any], status: str, reason: str | None) -> None:
    """Each bound has its word, and says in the detail what it is."""
    said = ask(given, **more)
    assert isinstance(said, Said)
    assert (said.status, said.reason) == (status, reason)
    assert said.detail


@pytest.mark.parametrize("kind", ["none", "investigate", "escalate", "escalate_security"])
def test_only_rollbacks_are_acted_on(kind: str) -> None:
    """Of anything else not even a word is said, nor of an incident that is over."""
    assert ask(verdict(kind=kind)) is None
    assert ask(verdict(status="resolved")) is None


def test_the_last_moment_is_still_in_time() -> None:
    """`not_after` itself is not too late."""
    said = ask(verdict(), now=START + 15 * MINUTE)
    assert isinstance(said, Said)
    assert said.status == "proposed"


def test_without_approval_it_starts_at_once() -> None:
    """Proposed, started; while it is on, and once it has ended, nothing follows."""
    ledger, given = Ledger(RULES), verdict()
    told(ledger, given, Said("proposed", "x"))
    start = ask(given, ledger)
    assert isinstance(start, Start)
    assert start.said.status == "started"
    told(ledger, given, start.said)
    assert ask(given, ledger) is None
    told(ledger, given, Said("succeeded", "x"))
    assert ask(given, ledger) is None
    assert ask(verdict(revision=9, decided_at=START + 5 * MINUTE), ledger, now=START + 6 * MINUTE) is None


def test_a_person_is_waited_for() -> None:
    """It waits, saying how to approve; approved it starts, under the name of who approved; a refusal ends that."""
    ledger, given = Ledger(RULES), verdict(requires_approval=True)
    told(ledger, given, Said("proposed", "x"))
    waiting = ask(given, ledger)
    assert isinstance(waiting, Said)
    assert (waiting.status, "midwatch actions approve act_1" in waiting.detail) == ("awaiting_approval", True)
    told(ledger, given, waiting)
    assert ask(given, ledger) is None
    book = book_of(approval(note="go on"))
    approved = ask(given, ledger, book)
    assert isinstance(approved, Said)
    assert (approved.status, approved.by, approved.detail) == ("approved", "ada", "approved by ada: go on")
    told(ledger, given, approved)
    assert isinstance(ask(given, ledger, book), Start)
    book.apply(approval(decision="refuse", at=START + MINUTE))
    refused = ask(given, ledger, book)
    assert isinstance(refused, Said)
    assert refused.status == "refused"


@pytest.mark.parametrize(
    "said",
    [
        approval(2),
        approval(idempotency_key="act_2"),
        approval(incident_id="inc_9"),
        approval(expires_at=START + 0.5 * MINUTE),
    ],
)
def test_what_does_not_approve(said: Any) -> None:
    """A word about another action or incident, or one that has expired, approves nothing."""
    ledger, given = Ledger(RULES), verdict(requires_approval=True)
    told(ledger, given, Said("proposed", "x"), Said("awaiting_approval", "x"))
    assert ask(given, ledger, book_of(said)) is None


def test_own_rules_may_ask_for_a_person_always() -> None:
    """Even where the verdict needs none."""
    ledger, rules = Ledger(RULES), replace(RULES, always_approve=True)
    told(ledger, verdict(), Said("proposed", "x"))
    said = ask(verdict(), ledger, rules=rules)
    assert isinstance(said, Said)
    assert said.status == "awaiting_approval"


def test_a_muted_incident_that_speaks_again() -> None:
    """While it is muted that is said once; then it goes on where it was."""
    ledger, given = Ledger(RULES), verdict(requires_approval=True)
    told(ledger, given, Said("proposed", "x"), Said("awaiting_approval", "x"))
    muted = ask(verdict(revision=2, requires_approval=True, muted=MUTED), ledger)
    assert isinstance(muted, Said)
    told(ledger, given, muted)
    assert ask(verdict(revision=2, requires_approval=True, muted=MUTED), ledger) is None
    said = ask(verdict(revision=3, requires_approval=True), ledger)
    assert isinstance(said, Said)
    assert said.status == "awaiting_approval"


def test_the_target_cools_down_and_the_hour_fills() -> None:
    """One action in 20 minutes on a component, two in an hour in all."""
    ledger = Ledger(RULES)
    told(ledger, verdict(1), Said("started", "x"))
    later: dict[str, Any] = {"decided_at": START + 10 * MINUTE}
    same = ask(verdict(2, component="flow-1", **later), ledger, now=START + 11 * MINUTE)
    other = ask(verdict(3, **later), ledger, now=START + 11 * MINUTE)
    assert isinstance(same, Said)
    assert isinstance(other, Said)
    assert (same.reason, other.status) == ("cool_down", "proposed")
    told(ledger, verdict(3, **later), Said("started", "x"), minutes=11)
    full = ask(verdict(4, **later), ledger, now=START + 12 * MINUTE)
    assert isinstance(full, Said)
    assert (full.reason, full.attention) == ("hourly_limit", True)
    free = ask(verdict(4, decided_at=START + 60 * MINUTE), ledger, now=START + 60.1 * MINUTE)
    assert isinstance(free, Said)
    assert free.status == "proposed"


def test_a_dry_run_ends_where_it_would_start() -> None:
    """It says what it would do, once per key; the same bounds hold; and it does not count once it is live."""
    rules = replace(RULES, mode="dry_run")
    ledger, given = Ledger(rules), verdict()
    told(ledger, given, Said("proposed", "x"))
    start = ask(given, ledger, rules=rules)
    assert isinstance(start, Start)
    assert (start.said.status, start.said.reason) == ("skipped", "dry_run")
    told(ledger, given, start.said)
    assert ask(given, ledger, rules=rules) is None
    pace = ask(verdict(2, component="flow-1"), ledger, rules=rules)
    assert isinstance(pace, Said)
    assert pace.reason == "cool_down"
    live = Ledger(RULES)
    assert live.apply(step_of(given, start.said, "dry_run", "prod", "me", START)) == "other_mode"
    assert not live.entries


def test_what_is_asked_for_no_longer_is_said_to_be_over() -> None:
    """A newer revision without the recommendation, or with another target, ends what nobody has started."""
    ledger, given = Ledger(RULES), verdict(requires_approval=True)
    told(ledger, given, Said("awaiting_approval", "x"))
    assert list(superseded(ledger, given)) == []
    for newer in (verdict(revision=2, kind="escalate"), verdict(revision=2, idempotency_key="act_9")):
        [(step, said)] = superseded(ledger, newer)
        assert (step.idempotency_key, said.status, said.reason) == ("act_1", "expired", "superseded")
    told(ledger, given, Said("started", "x"))
    assert list(superseded(ledger, verdict(revision=2, kind="escalate"))) == []


def test_a_start_without_an_end_is_taken_up() -> None:
    """Not within the lease of who started it; then by a further attempt, which acts only on what is still asked for."""
    ledger, given = Ledger(RULES), verdict()
    told(ledger, given, Said("started", "x"))
    entry = ledger.entries["act_1"]
    around = (PLAN, ledger, ApprovalBook(), RULES)
    assert take_up(entry, given, *around, START + 4.9 * MINUTE) is None
    start = take_up(entry, given, *around, START + 5 * MINUTE)
    assert isinstance(start, Start)
    assert (start.said.attempt, start.said.reason, start.may_execute) == (2, "taken_up", True)
    for newest in (
        verdict(revision=2, kind="none"),
        verdict(revision=2, muted=MUTED),
        verdict(revision=2, requires_approval=True),
        verdict(revision=2, status="resolved"),
        verdict(revision=2, ref={"namespace": "agents", "name": "another"}),
        verdict(revision=2, from_version="3.0"),
        verdict(revision=2, environment="production", system="payments"),
    ):
        start = take_up(entry, newest, *around, START + 5 * MINUTE)
        assert isinstance(start, Start)
        assert not start.may_execute
    late = take_up(entry, given, *around, START + 16 * MINUTE)
    assert isinstance(late, Start)
    assert not late.may_execute


def test_it_is_not_taken_up_for_ever() -> None:
    """After the last attempt a person is told."""
    ledger, given = Ledger(RULES), verdict()
    for attempt in (1, 2, 3):
        told(ledger, given, Said("started", "x", attempt=attempt), minutes=5 * (attempt - 1))
    entry = ledger.entries["act_1"]
    said = take_up(entry, given, PLAN, ledger, ApprovalBook(), RULES, START + 15 * MINUTE)
    assert isinstance(said, Said)
    assert (said.status, said.reason, said.attention) == ("failed", "unknown_outcome", True)
    told(ledger, given, said, minutes=15)
    assert entry.is_over


@pytest.mark.parametrize(
    ("ended", "reason", "status"), [(False, "unknown_outcome", "failed"), (True, "not_watched", "not_verified")]
)
def test_what_nobody_was_there_for_is_told(ended: bool, reason: str, status: str) -> None:
    """After hours without any subscriber, whose incident is no longer to be read, a person is told; once."""
    ledger, given = Ledger(RULES), verdict()
    told(ledger, given, Said("started", "x"), *([Said("succeeded", "x")] if ended else []))
    entry = ledger.entries["act_1"]
    assert abandoned(entry, RULES, START + RULES.memory) is None
    late = START + RULES.memory + MINUTE
    said = abandoned(entry, RULES, late)
    assert isinstance(said, Said)
    assert (said.status, said.reason, said.attention) == (status, reason, True)
    assert ledger.apply(follow_up(entry.last, said, "me", late)) is None
    assert abandoned(entry, RULES, late) is None


@pytest.mark.parametrize(
    ("attempt", "minutes", "why"),
    [(1, 6, "claimed"), (2, 4, "claimed"), (3, 9, "claimed"), (2, 5, None), (1, 0, "claimed")],
)
def test_which_second_start_counts(attempt: int, minutes: float, why: str | None) -> None:
    """Only the next attempt, once the lease of the one before is over."""
    ledger, given = Ledger(RULES), verdict()
    told(ledger, given, Said("started", "x"))
    step = step_of(given, Said("started", "x", attempt=attempt), "live", "prod", "you", START + minutes * MINUTE)
    assert ledger.apply(step) == why


def test_the_end_of_an_attempt_that_was_given_up_does_not_count() -> None:
    """Who was taken for dead and comes back late says nothing about the attempt that took over."""
    ledger, given = Ledger(RULES), verdict()
    told(ledger, given, Said("started", "x"))
    told(ledger, given, Said("started", "x", attempt=2), minutes=6)
    told(ledger, given, Said("failed", "x", attempt=1), minutes=7)
    assert ledger.entries["act_1"].is_open
    told(ledger, given, Said("succeeded", "x", attempt=2), minutes=7)
    assert ledger.entries["act_1"].is_over


def test_a_start_is_remembered_for_as_long_as_the_topic_is() -> None:
    """An incident that is open for days asks for the same action again, with each revision: it was done."""
    ledger, given = Ledger(RULES), verdict()
    told(ledger, given, Said("started", "x"), Said("failed", "x"))
    told(ledger, verdict(2), Said("proposed", "x"))
    much_later = START + timedelta(days=60)
    ledger.prune(much_later)
    assert list(ledger.entries) == ["act_1"]
    assert ask(verdict(revision=7, decided_at=much_later), ledger, now=much_later) is None


@pytest.mark.parametrize(
    ("status", "observed", "minutes", "answer"),
    [
        ("resolved", "rolled_back", 10, ("verified", None, False)),
        ("resolved", "moved_on", 10, ("verified", None, False)),
        ("resolved", "unknown", 10, ("verified", "rate_only", False)),
        ("resolved", "serving", 10, ("not_verified", "came_back", True)),
        ("updated", "serving", 1, ("not_verified", "came_back", True)),
        ("updated", "rolled_back", 60, None),
        ("updated", "rolled_back", 60.1, ("not_verified", "not_recovered", True)),
        ("updated", "unknown", 60.1, ("not_verified", "not_recovered", True)),
    ],
)
def test_how_an_action_turns_out(status: str, observed: Observed, minutes: float, answer: Any) -> None:
    """Verified by the incident's end and the version's absence; else, in time, a person is told."""
    done = step_of(verdict(), Said("succeeded", "x"), "live", "prod", "me", START)
    said = verify(done, verdict(revision=2, status=status), observed, RULES, START + minutes * MINUTE)
    assert (None if said is None else (said.status, said.reason, said.attention)) == answer


def test_an_incident_that_ended_before_is_no_proof() -> None:
    """Only a revision behind the one that was acted on shows that it helped."""
    done = step_of(verdict(revision=2), Said("succeeded", "x"), "live", "prod", "me", START)
    assert verify(done, verdict(revision=2, status="resolved"), "rolled_back", RULES, START + MINUTE) is None


def test_steps_have_ids_of_their_content() -> None:
    """The same step has the same id; another time, another id; the key stays the action's."""
    one = step_of(verdict(), Said("started", "x"), "live", "prod", "me", START)
    same = step_of(verdict(), Said("started", "x"), "live", "prod", "me", START)
    later = follow_up(one, Said("succeeded", "x"), "me", START + MINUTE)
    assert one.action_id == same.action_id != later.action_id
    assert one.idempotency_key == later.idempotency_key == "act_1"
