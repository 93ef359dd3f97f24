"""What the page remembers, bounded: incidents with their revisions, what people and machines did, signs of life.

It is filled by `dashboard.feed` and changed in one event loop alone. Every change that a viewer could see raises
`version` and wakes who waits for it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from schemas.actions import ActionTaken
from schemas.controls import Acknowledgement, Approval, Silence
from schemas.feedback import Feedback
from schemas.outputs import Firing, Heartbeat, Scope, Verdict

REVISIONS: Final = 60
"""Revisions of one incident that are kept: the first one and the newest."""

STEPS: Final = 100
"""Actions, and words of people, that are kept for one incident."""

SILENCES: Final = 500
FIRINGS: Final = 1000


class Memory:
    """All of it. `incidents` is the most incidents that are kept; the oldest that are over go first."""

    def __init__(self, incidents: int, namespace: str) -> None:
        self.version = 0
        self.heartbeats: dict[int, Heartbeat] = {}
        self.heard_at: dict[int, float] = {}
        """Monotonic seconds at which each shard's last heartbeat was read."""
        self.firings: deque[Firing] = deque(maxlen=FIRINGS)
        self.silences: OrderedDict[str, Silence] = OrderedDict()
        self._cap = incidents
        self._namespace = namespace
        self._incidents: OrderedDict[str, list[Verdict]] = OrderedDict()
        self._steps: OrderedDict[str, deque[ActionTaken]] = OrderedDict()
        self._words: OrderedDict[str, deque[Acknowledgement | Approval | Feedback]] = OrderedDict()
        self._changed = asyncio.Condition()

    def verdict(self, verdict: Verdict) -> None:
        """Take a verdict in; one that is known is passed over, whatever order they come in."""
        known = self._incidents.setdefault(verdict.incident_id, [])
        if any(one.verdict_id == verdict.verdict_id for one in known):
            return
        known.append(verdict)
        known.sort(key=lambda one: (one.revision, one.decided_at))
        if len(known) > REVISIONS:
            del known[1]
        self._incidents.move_to_end(verdict.incident_id)
        self._evict()
        self.version += 1

    def heartbeat(self, beat: Heartbeat, now: float) -> None:
        """Take a sign of life in; those of other engines on the same topic are passed over."""
        if (beat.namespace or self._namespace) != self._namespace:
            return
        known = self.heartbeats.get(beat.shard)
        if known is None or known.shards != beat.shards or beat.tick >= known.tick:
            self.heartbeats[beat.shard] = beat
            self.heard_at[beat.shard] = now
        for gone in [shard for shard, one in self.heartbeats.items() if one.shards != beat.shards]:
            del self.heartbeats[gone], self.heard_at[gone]

    def control(self, control: Silence | Acknowledgement | Approval) -> None:
        """Take in what a person told the engine."""
        self.version += 1
        if isinstance(control, Silence):
            self.silences[control.id] = control
            self.silences.move_to_end(control.id)
            _cut(self.silences, SILENCES)
        else:
            self._said(control.incident_id, control)

    def feedback(self, feedback: Feedback) -> None:
        """Take a judgement in."""
        self.version += 1
        self._said(feedback.incident_id, feedback)

    def action(self, taken: ActionTaken) -> None:
        """Take in a step of an action."""
        self.version += 1
        steps = self._steps.setdefault(taken.incident_id, deque(maxlen=STEPS))
        if all(one.action_id != taken.action_id for one in steps):
            steps.append(taken)
        _cut(self._steps, self._cap)

    def _said(self, incident_id: str, word: Acknowledgement | Approval | Feedback) -> None:
        words = self._words.setdefault(incident_id, deque(maxlen=STEPS))
        if all(one.id != word.id for one in words):
            words.append(word)
        self._words.move_to_end(incident_id)
        _cut(self._words, self._cap)

    def _evict(self) -> None:
        while len(self._incidents) > self._cap:
            over = next((key for key, story in self._incidents.items() if story[-1].status == "resolved"), None)
            del self._incidents[over if over is not None else next(iter(self._incidents))]

    def story(self, incident_id: str) -> tuple[Verdict, ...]:
        """The revisions of an incident, oldest first; empty if it is not known."""
        return tuple(self._incidents.get(incident_id, ()))

    def latest(self) -> Iterator[Verdict]:
        """The latest verdict of each incident, in no order that matters."""
        return (story[-1] for story in self._incidents.values())

    def steps(self, incident_id: str) -> tuple[ActionTaken, ...]:
        """What machines did about an incident, as it came."""
        return tuple(self._steps.get(incident_id, ()))

    def words(self, incident_id: str) -> tuple[Acknowledgement | Approval | Feedback, ...]:
        """What people said about an incident, as it came."""
        return tuple(self._words.get(incident_id, ()))

    def silences_of(self, scope: Scope, since: datetime) -> tuple[Silence, ...]:
        """The silences that cover a scope and were not over before `since`."""
        return tuple(one for one in self.silences.values() if one.ends_at >= since and _covers(one, scope))

    def touch(self) -> None:
        """Note a change of something that is shown, but not kept here."""
        self.version += 1

    async def changed(self, known: int, seconds: float) -> int:
        """Wait until the version is another than `known`, at most so many seconds; the version."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self.version != known)
        except TimeoutError:
            pass
        return self.version

    async def wake(self) -> None:
        """Wake those who wait for a change."""
        async with self._changed:
            self._changed.notify_all()


def _cut(known: OrderedDict[str, object] | OrderedDict[str, Silence] | OrderedDict[str, deque], cap: int) -> None:  # type: ignore[type-arg]
    while len(known) > cap:
        known.popitem(last=False)


def _covers(silence: Silence, scope: Scope) -> bool:
    exact = ("flow", "agent", "budget")
    places = (silence.environment in ("*", scope.environment), silence.system in ("*", scope.system))
    wanted = (getattr(silence, name) in (None, getattr(scope, name)) for name in exact)
    return all(places) and all(wanted)
