"""The subscriber's work between its topics: decide, claim, act, say how it went, look how it turned out.

It knows no Kafka: what it reads and writes is handed in, so that a simulation can run it through every crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from schemas.actions import ActionTaken
from schemas.outputs import Verdict
from stream.rollback.book import ApprovalBook
from stream.rollback.decide import Plan, Start, abandoned, asks_for, decide, needs_approval, superseded, take_up
from stream.rollback.executors.base import Executor, Order, Outcome, Refused, order_of
from stream.rollback.executors.registry import TRIES, Executors
from stream.rollback.journal import Journal
from stream.rollback.ledger import Entry, is_dry_start
from stream.rollback.rules import Rules
from stream.rollback.steps import Said, follow_up, step_of
from stream.rollback.verify import Observed, verify

MOST_STEPS: Final = 8
"""Most steps of one incident in one round; more would be a circle."""

PAUSES: Final = (1.0, 3.0)
"""Seconds before the second and the third try."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the subscriber is given: who it is, its bounds, its clock, and what it may use."""

    name: str
    rules: Rules
    executors: Executors
    book: ApprovalBook
    now: Callable[[], datetime]
    stop_file: Path | None = None
    action_seconds: float = 120.0
    verify_every: timedelta = timedelta(minutes=1)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    refresh: Callable[[], Awaitable[None]] | None = None
    """Called before each try, so that `book` and `newest` hold what has been said since."""
    newest: Callable[[str], Verdict | None] | None = None
    """The newest verdict of an incident; None where its partition has gone to another subscriber."""
    announce: Callable[[ActionTaken], Awaitable[None]] | None = None
    """Called with the start of an action that succeeded, before that is said; may be called again."""
    seen: Callable[[ActionTaken, str | None], None] | None = None
    """Called with each step that was written, and why it does not count, if so."""


class Subscriber:
    """One round is `reconcile`; it may be run at any time, any number of times."""

    def __init__(self, journal: Journal, around: Surroundings) -> None:
        self._journal = journal
        self._around = around
        self._looked: dict[str, datetime] = {}

    async def reconcile(self, newest: Mapping[str, Verdict]) -> None:
        """Do what there is to do about the newest verdicts of some incidents.

        It ends behind the first thing that takes time: what was read before it may be out of date by then.
        """
        for verdict in list(newest.values()):
            for step, said in list(superseded(self._journal.ledger, verdict)):
                await self._write(follow_up(step, said, self._around.name, self._around.now()))
            if await self._about(verdict):
                return
        if self._around.rules.mode == "live":
            for entry in list(self._journal.ledger.entries.values()):
                if await self._after_the_start(entry, newest.get(entry.last.incident_id)):
                    return

    async def _after_the_start(self, entry: Entry, about: Verdict | None) -> bool:
        """Look after what was started; whether that took time."""
        if entry.started is None:
            return False
        if about is None:
            gone = abandoned(entry, self._around.rules, self._around.now())
            if gone is not None:
                await self._write(follow_up(entry.last, gone, self._around.name, self._around.now()))
            return False
        if entry.is_open:
            return await self._take_up(entry, entry.started, about)
        return entry.last.status == "succeeded" and await self._verify(entry.last, about)

    def stopped(self) -> str | None:
        """Why nothing may be done at all, or None."""
        path = self._around.stop_file
        return f"halted: the file {path} exists" if path is not None and path.exists() else None

    async def _about(self, verdict: Verdict) -> bool:
        """All steps about one verdict that can be taken now; whether something was done."""
        if verdict.recommendation.kind != "rollback":
            return False
        around, plan = self._around, self._plan(_order(verdict))
        for _ in range(MOST_STEPS):
            decision = decide(
                verdict, plan, self._journal.ledger, around.book, around.rules, around.now(), stopped=self.stopped()
            )
            if decision is None:
                return False
            said = decision.said if isinstance(decision, Start) else decision
            step = step_of(verdict, said, around.rules.mode, plan.executor, around.name, around.now())
            if await self._write(step) is not None or is_dry_start(step):
                return False
            if isinstance(decision, Start):
                await self._act(step, decision, verdict)
                return True
        return False

    async def _take_up(self, entry: Entry, started: ActionTaken, verdict: Verdict) -> bool:
        """Find out about a start without an end; whether that was for us to do."""
        around, plan = self._around, self._plan(order_of(started))
        decision = take_up(
            entry, verdict, plan, self._journal.ledger, around.book, around.rules, around.now(), stopped=self.stopped()
        )
        if decision is None:
            return False
        if isinstance(decision, Said):
            await self._write(follow_up(started, decision, around.name, around.now()))
            return True
        step = follow_up(started, decision.said, around.name, around.now())
        step = step.model_copy(update={"attempt": decision.said.attempt}).with_id()
        if await self._write(step) is None:
            await self._act(step, decision, verdict)
        return True

    def _plan(self, order: Order | None) -> Plan:
        return self._around.executors.plan(order) if order is not None else Plan(None, "no target", "no_target")

    async def _write(self, step: ActionTaken) -> str | None:
        why = await self._journal.append(step)
        if self._around.seen is not None:
            self._around.seen(step, why)
        return why

    async def _act(self, step: ActionTaken, start: Start, verdict: Verdict) -> None:
        """Do what was claimed, and say how it went."""
        outcome = await self._perform(step, start, verdict)
        if outcome.ok:
            if self._around.announce is not None:
                await self._around.announce(step)
            said = Said("succeeded", outcome.detail, outcome.reason)
        else:
            said = Said("failed", outcome.detail, outcome.reason or "executor_failed", attention=True)
        await self._write(follow_up(step, said, self._around.name, self._around.now()))

    async def _perform(self, step: ActionTaken, start: Start, verdict: Verdict) -> Outcome:
        order = order_of(step)
        if order is None or step.executor is None:
            return Outcome(ok=False, detail="the step names no target or no executor", reason="no_target")
        try:
            named = self._around.executors.pick(order)
        except Refused as why:
            return Outcome(ok=False, detail=str(why), reason="no_executor")
        executor = named.executor
        if step.attempt > 1:
            observed = await self._observe(executor, order)
            if observed == "rolled_back":
                return Outcome(ok=True, detail="it had been done before its end was said", reason="found_done")
            if not start.may_execute or (observed == "unknown" and not executor.idempotent):
                words = f"whoever started it did not say how it ended; now: {observed}. Not done again: look by hand"
                return Outcome(ok=False, detail=words, reason="unknown_outcome")
        return await self._try(executor, order, step, verdict)

    async def _try(self, executor: Executor, order: Order, step: ActionTaken, verdict: Verdict) -> Outcome:
        """Execute, again if it may pass, within the time of an action; if it went wrong, look whether it was done."""
        outcome = Outcome(ok=False, detail="not tried", reason="expired")
        try:
            async with asyncio.timeout(self._around.action_seconds):
                for number in range(TRIES):
                    if self._around.refresh is not None:
                        await self._around.refresh()
                    why = self._forbidden(step, verdict)
                    if why is not None:
                        return why if number == 0 else replace(why, detail=f"{outcome.detail}; then {why.detail}")
                    outcome = await executor.execute(order)
                    if outcome.ok or not (outcome.again and executor.idempotent) or number == TRIES - 1:
                        break
                    await self._around.sleep(PAUSES[number])
        except Refused as why:
            return Outcome(ok=False, detail=f"nothing was done: {why}", reason="left_alone")
        except TimeoutError:
            seconds = self._around.action_seconds
            outcome = Outcome(ok=False, detail=f"not done within {seconds:g} s: look by hand", reason="timed_out")
        if not outcome.ok and await self._observe(executor, order) == "rolled_back":
            return Outcome(ok=True, detail=f"{outcome.detail}; but it is rolled back", reason="found_done")
        return outcome

    def _forbidden(self, step: ActionTaken, verdict: Verdict) -> Outcome | None:
        """Why an execution may not begin now, the last thing that is asked; `verdict` is what it was claimed by."""
        around, now = self._around, self._around.now()
        newest = around.newest(step.incident_id) if around.newest is not None else None
        newest = newest or verdict
        word = around.book.word(step.idempotency_key, step.incident_id, now)
        if not asks_for(newest, step):
            return _nothing("superseded", f"revision {newest.revision} asks for it no longer")
        if newest.muted is not None:
            return _nothing("muted", f"muted by {newest.muted.by} {newest.muted.id}")
        halted = self.stopped()
        if halted is None and around.book.halt(step.scope.environment, step.scope.system, now) is not None:
            halted = "halted by a standing refusal"
        if halted is None and word is not None and word.decision == "refuse":
            halted = f"refused by {word.by}"
        if halted is not None:
            return _nothing("halted", halted)
        if word is None and needs_approval(newest, around.rules):
            return _nothing("not_approved", "it needs an approval, and none holds now")
        if now > around.rules.deadline(newest) or now >= step.time + around.rules.lease / 2:
            return _nothing("expired", "its time was over")
        return None

    async def _observe(self, executor: Executor, order: Order) -> Observed:
        try:
            async with asyncio.timeout(self._around.action_seconds):
                return await executor.observe(order)
        except (Refused, TimeoutError):
            return "unknown"

    async def _verify(self, done: ActionTaken, verdict: Verdict) -> bool:
        """Look how an action has turned out, every now and then; whether we looked."""
        now = self._around.now()
        looked = self._looked.get(done.idempotency_key)
        if looked is not None and now - looked < self._around.verify_every:
            return False
        self._looked[done.idempotency_key] = now
        observed: Observed = "unknown"
        order = order_of(done)
        if order is not None:
            try:
                observed = await self._observe(self._around.executors.pick(order).executor, order)
            except Refused:
                observed = "unknown"
        said = verify(done, verdict, observed, self._around.rules, self._around.now())
        if said is not None:
            await self._write(follow_up(done, said, self._around.name, self._around.now()))
            self._looked.pop(done.idempotency_key, None)
        return True


def _nothing(reason: str, why: str) -> Outcome:
    return Outcome(ok=False, detail=f"nothing was done: {why}", reason=reason)


def _order(verdict: Verdict) -> Order | None:
    if verdict.target is None:
        return None
    scope, key = verdict.scope, verdict.recommendation.idempotency_key
    return Order(scope.environment, scope.system, verdict.incident_id, key, verdict.target)
