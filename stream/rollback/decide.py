"""What to do about a verdict now: a pure function of the verdict, of what was done and said so far, and of the time.

It is asked again whenever anything changed, and gives the next step alone, so nothing hangs on which event came first,
or on what a process remembers: after a crash the same function, over the same topics, goes on where the last one
stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.actions import ActionTaken
from schemas.base import format_time
from schemas.outputs import Verdict
from schemas.words import ActionStatus
from stream.rollback.book import ApprovalBook
from stream.rollback.ledger import DRY_RUN, Entry, Ledger
from stream.rollback.rules import Rules
from stream.rollback.steps import Said

WAITING: Final[frozenset[ActionStatus]] = frozenset({"proposed", "awaiting_approval", "approved"})
"""Statuses on the way to a start."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How an executor would do it, in words; or, without an executor, why none can: `reason` and `words`."""

    executor: str | None
    words: str
    reason: str = "no_executor"


@dataclass(frozen=True, slots=True)
class Start:
    """Claim the action, and then do it if the claim counts.

    An attempt beyond the first takes up what somebody started and did not end: it finds out how far that came before
    it does anything, and without `may_execute` does nothing at all.
    """

    said: Said
    may_execute: bool = True


Decision = Said | Start | None


def decide(
    verdict: Verdict,
    plan: Plan,
    ledger: Ledger,
    book: ApprovalBook,
    rules: Rules,
    now: datetime,
    *,
    stopped: str | None = None,
) -> Decision:
    """The next step, or None where there is nothing to do (yet). `verdict` is the newest revision of its incident.

    `stopped` says why nothing may be done at all, whatever anybody recommends (the kill switch's file).
    """
    entry = ledger.entries.get(verdict.recommendation.idempotency_key)
    if verdict.recommendation.kind != "rollback" or verdict.status == "resolved":
        return None
    if entry is not None and (entry.is_over or entry.is_open):
        return None
    refusal = _refusal(verdict, plan, ledger, book, rules, now, stopped)
    if refusal is not None:
        return refusal if _is_news(entry, refusal) else None
    steps = _approval_steps(verdict, plan, book, rules, now)
    for said in steps:
        if _is_news(entry, said):
            return said
        if said.status == "awaiting_approval":
            return None
    if rules.mode == "dry_run":
        return Start(Said("skipped", f"dry run, nothing was done; would now: {plan.words}", DRY_RUN))
    return Start(Said("started", plan.words))


def superseded(ledger: Ledger, newest: Verdict) -> Iterator[tuple[ActionTaken, Said]]:
    """Actions of the incident that nobody has started and that its newest verdict asks for no longer."""
    asked = newest.recommendation
    for key, entry in ledger.entries.items():
        if entry.last.incident_id != newest.incident_id or entry.last.status not in WAITING:
            continue
        if key == asked.idempotency_key and asked.kind == "rollback":
            continue
        said = Said("expired", f"revision {newest.revision} asks for it no longer: {asked.reason}", "superseded")
        if _is_news(entry, said):
            yield entry.last, said


def take_up(
    entry: Entry, newest: Verdict, plan: Plan, ledger: Ledger, book: ApprovalBook, rules: Rules, now: datetime,
    *, stopped: str | None = None,
) -> Decision:  # fmt: skip
    """A start without an end: leave it to whoever made it for as long as that may take, then find out how it went.

    `newest` is the incident's newest verdict. It is done again only if that still asks for it and nothing forbids it.
    """
    started = entry.started
    if started is None or entry.is_over or now < started.time + rules.lease:
        return None
    if started.attempt >= rules.attempts:
        words = f"started {started.attempt} times and never ended; nobody knows whether it was done: look by hand"
        return Said("failed", words, "unknown_outcome", attempt=started.attempt, attention=True)
    same = asks_for(newest, started)
    refusal = _refusal(newest, plan, ledger, book, rules, now, stopped)
    # Its own start is what fills the hour and cools the target down.
    free = refusal is None or refusal.reason in {"cool_down", "hourly_limit"}
    # A newer revision may ask for an approval that the one that was started did not need.
    free = free and all(step.status != "awaiting_approval" for step in _approval_steps(newest, plan, book, rules, now))
    words = f"{started.by} started it at {format_time(started.time)} and did not say how that ended: finding out"
    return Start(Said("started", words, "taken_up", attempt=started.attempt + 1), may_execute=same and free)


def asks_for(newest: Verdict, step: ActionTaken) -> bool:
    """Whether a verdict asks for just what a step is about.

    The key alone will not do: the step is read from the topic of actions, and its target is what would be touched. How
    much traffic the target has, and since when, may have changed.
    """
    advice, there, here = newest.recommendation, newest.target, step.target
    if newest.status == "resolved" or advice.kind != "rollback" or advice.idempotency_key != step.idempotency_key:
        return False
    if there is None or here is None:
        return False
    where = (newest.scope.environment, newest.scope.system) == (step.scope.environment, step.scope.system)
    ours = {"canary_percent": there.canary_percent, "deployed_at": there.deployed_at}
    return where and here.model_copy(update=ours) == there


def needs_approval(verdict: Verdict, rules: Rules) -> bool:
    """Whether a person must say yes first."""
    return rules.always_approve or verdict.recommendation.requires_approval


def abandoned(entry: Entry, rules: Rules, now: datetime) -> Said | None:
    """What is to be said of an action whose incident nobody has heard of for so long that it cannot be looked after."""
    started = entry.started
    if started is None or now <= started.time + rules.memory:
        return None
    if entry.is_open:
        words = f"{started.by} started it and no subscriber was there to find out how it ended: look by hand"
        return Said("failed", words, "unknown_outcome", attention=True)
    if entry.last.status == "succeeded":
        return Said("not_verified", "no subscriber was there to see whether it helped", "not_watched", attention=True)
    return None


def _refusal(
    verdict: Verdict,
    plan: Plan,
    ledger: Ledger,
    book: ApprovalBook,
    rules: Rules,
    now: datetime,
    stopped: str | None,
) -> Said | None:
    """Why it must not be done now, the most lasting reason first."""
    return (
        _bounds(verdict, plan, rules)
        or _times(verdict, rules, now)
        or _people(verdict, book, now, stopped)
        or _pace(verdict, ledger, rules, now)
    )


def _bounds(verdict: Verdict, plan: Plan, rules: Rules) -> Said | None:
    advice = verdict.recommendation
    if verdict.target is None:
        return Said("skipped", "the verdict names no target: roll back by hand", "no_target")
    outside = rules.outside(verdict)
    if outside is not None:
        return Said("skipped", f"the {outside} is in none of rollback.{outside}s", "not_allowed")
    if advice.confidence < rules.min_confidence:
        words = f"{advice.confidence:.2f} sure; rollback.min_confidence asks for {rules.min_confidence:.2f}"
        return Said("skipped", words, "low_confidence")
    if plan.executor is None:
        return Said("skipped", plan.words, plan.reason)
    return None


def _times(verdict: Verdict, rules: Rules, now: datetime) -> Said | None:
    if verdict.decided_at > now + rules.skew:
        words = f"decided at {format_time(verdict.decided_at)}, which is still to come: a clock is wrong"
        return Said("skipped", words, "from_the_future")
    deadline = rules.deadline(verdict)
    if now > deadline:
        return Said("expired", f"it was to begin until {format_time(deadline)}", "expired")
    return None


def _people(verdict: Verdict, book: ApprovalBook, now: datetime, stopped: str | None) -> Said | None:
    if verdict.muted is not None:
        return Said("skipped", f"muted by {verdict.muted.by} {verdict.muted.id}", "muted")
    if stopped is not None:
        return Said("skipped", stopped, "halted")
    halt = book.halt(verdict.scope.environment, verdict.scope.system, now)
    if halt is not None and halt.expires_at is not None:
        note = f": {halt.note}" if halt.note else ""
        return Said("skipped", f"halted by {halt.by} until {format_time(halt.expires_at)}{note}", "halted", by=halt.by)
    word = book.word(verdict.recommendation.idempotency_key, verdict.incident_id, now)
    if word is not None and word.decision == "refuse":
        note = f": {word.note}" if word.note else ""
        return Said("refused", f"refused by {word.by}{note}", "refused", by=word.by)
    return None


def _pace(verdict: Verdict, ledger: Ledger, rules: Rules, now: datetime) -> Said | None:
    component = verdict.target.component if verdict.target else ""
    pace = ledger.pace((verdict.scope.environment, verdict.scope.system, component), now)
    if pace == "cool_down":
        return Said("skipped", f"{component} was acted on less than {_minutes(rules)} ago", pace)
    if pace == "hourly_limit":
        words = f"{rules.per_hour} actions in the last hour, which is all that rollback.max_per_hour allows"
        return Said("skipped", words, pace, attention=True)
    return None


def _approval_steps(
    verdict: Verdict, plan: Plan, book: ApprovalBook, rules: Rules, now: datetime
) -> Iterator[Said]:
    """What is said before a start, in order; each is said once."""
    yield Said("proposed", plan.words)
    if not needs_approval(verdict, rules):
        return
    word = book.word(verdict.recommendation.idempotency_key, verdict.incident_id, now)
    if word is None:
        until = format_time(rules.deadline(verdict))
        words = f"waits until {until}: midwatch actions approve {verdict.recommendation.idempotency_key}"
        yield Said("awaiting_approval", words)
    else:
        note = f": {word.note}" if word.note else ""
        yield Said("approved", f"approved by {word.by}{note}", by=word.by)


def _is_news(entry: Entry | None, said: Said) -> bool:
    """Whether it has not been said: of what is on the way to a start ever, of anything else just before."""
    if entry is None:
        return True
    if said.status in {"proposed", "approved"}:
        return (said.status, said.reason) not in entry.said
    return (entry.last.status, entry.last.reason) != (said.status, said.reason)


def _minutes(rules: Rules) -> str:
    return f"{rules.cool_down.total_seconds() / 60:g} min"
