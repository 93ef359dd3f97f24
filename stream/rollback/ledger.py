"""What was done so far: the steps on `midwatch.actions`, read in their order.

The order of the topic's one partition is the law. Of all the `started` steps that several subscribers may write, one
counts where the steps before it allow it: nobody else has started the action, the target is not cooling down, the hour
is not full, its time is not over. Each subscriber reads its own step back and learns by the same rule whether it may go
on. So two of them never both act, whatever their consumer group believes, and a restart knows what the last run knew.

Steps of the other mode do not count: what was only planned has changed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from schemas.actions import ActionTaken
from schemas.words import ActionStatus
from stream.rollback.rules import HOUR, Rules

DRY_RUN: Final = "dry_run"
"""Reason of the step that takes the place of a start where nothing is done."""

ENDED: Final[frozenset[ActionStatus]] = frozenset({"succeeded", "failed", "verified", "not_verified"})
"""Statuses after which the action is not taken up again."""

KEPT: Final = timedelta(days=90)
"""How long a start is remembered; the topic's retention, as `midwatch topics create` makes it."""

Subject = tuple[str, str, str]


@dataclass(slots=True)
class Entry:
    """One action: its last step, its start if it was started, what has been said of it."""

    last: ActionTaken
    started: ActionTaken | None = None
    said: set[tuple[str, str | None]] = field(default_factory=set)

    @property
    def is_open(self) -> bool:
        """Whether it was started and nobody knows how that went."""
        return self.started is not None and not self.is_over

    @property
    def is_over(self) -> bool:
        """Whether nothing will be done about it any more."""
        return self.last.status in ENDED or is_dry_start(self.last)


def is_dry_start(step: ActionTaken) -> bool:
    """Whether the step says that here one would have started."""
    return (step.status, step.reason) == ("skipped", DRY_RUN)


def subject_of(step: ActionTaken) -> Subject:
    """What cools down after an action: a component of a system."""
    return (step.scope.environment, step.scope.system, step.target.component if step.target else "")


class Ledger:
    """All actions that still matter, by idempotency key."""

    def __init__(self, rules: Rules) -> None:
        self.entries: dict[str, Entry] = {}
        self._rules = rules
        self._starts: list[ActionTaken] = []

    def apply(self, step: ActionTaken) -> str | None:
        """Take the topic's next step in. Of a start: None if it counts, else in one word why not."""
        if step.mode != self._rules.mode:
            return "other_mode"
        if step.status == "started" or is_dry_start(step):
            return self._start(step)
        entry = self.entries.get(step.idempotency_key)
        if step.status in ENDED:
            self._end(entry, step)
        elif entry is None:
            self.entries[step.idempotency_key] = Entry(step, said={(step.status, step.reason)})
        else:
            entry.said.add((step.status, step.reason))
            if not entry.is_over and not entry.is_open:
                entry.last = step
        return None

    def refusal(self, step: ActionTaken) -> str | None:
        """Why a start at this place of the topic would not count, or None."""
        entry = self.entries.get(step.idempotency_key)
        if entry is not None and entry.is_over:
            return "already_done"
        if entry is not None and entry.started is not None:
            if step.attempt != entry.started.attempt + 1 or step.attempt > self._rules.attempts:
                return "claimed"
            return "claimed" if step.time < entry.started.time + self._rules.lease else None
        if step.attempt != 1:
            return "claimed"
        if step.time > min(step.not_after, step.decided_at + self._rules.longest):
            return "expired"
        return self.pace(subject_of(step), step.time)

    def pace(self, subject: Subject, now: datetime) -> str | None:
        """`cool_down` or `hourly_limit` where it is too early for another action, else None."""
        if any(subject_of(one) == subject and now - one.time < self._rules.cool_down for one in self._starts):
            return "cool_down"
        recent = sum(now - one.time < HOUR for one in self._starts)
        return "hourly_limit" if recent >= self._rules.per_hour else None

    def prune(self, now: datetime) -> None:
        """Forget what cannot matter any more.

        A start is remembered for as long as the topic keeps it: an incident that stays open for days asks for the same
        action, under the same key, with each revision.
        """
        recent, oldest = now - self._rules.memory, now - KEPT
        self._starts = [one for one in self._starts if one.time >= recent]
        self.entries = {
            key: one for key, one in self.entries.items() if one.last.time >= (oldest if one.started else recent)
        }

    def _start(self, step: ActionTaken) -> str | None:
        why = self.refusal(step)
        if why is not None:
            return why
        if step.attempt == 1:
            self._starts.append(step)
        entry = self.entries.get(step.idempotency_key)
        if entry is None:
            entry = self.entries[step.idempotency_key] = Entry(step)
        entry.last = entry.started = step
        entry.said.add((step.status, step.reason))
        return None

    def _end(self, entry: Entry | None, step: ActionTaken) -> None:
        """An end counts from whoever holds the start; a later one may only tell how an action has turned out."""
        if entry is None or entry.started is None:
            return
        entry.said.add((step.status, step.reason))
        told = step.status in {"verified", "not_verified"}
        if entry.is_open:
            if not told and step.attempt == entry.started.attempt:
                entry.last = step
        elif told and entry.last.status == "succeeded":
            entry.last = step
