"""One incident: firings that belong together, from onset to resolution, and the answer that was last given to it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from schemas.base import JsonObject
from schemas.canonical import content_id, jsonable
from schemas.outputs import Firing, Scope, Verdict
from schemas.words import CHECK_ORDER, DetectorName, RecommendationKind, Severity
from triage.words import millis

LEADERS: Final[tuple[DetectorName, ...]] = (
    "authorization_denials",
    "escalation_rate",
    "evaluation_drop",
    "silence",
    "burn_rate",
)
"""Which detector leads among firings of one tier that fired at the same tick, gravest first."""

_SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")
_KINDS: Final[tuple[RecommendationKind, ...]] = ("none", "investigate", "escalate", "escalate_security", "rollback")

SURE: Final = 0.9
"""Probability from which a cause is news, if another one was named."""

Answer = tuple[str, str, str, str, str]
"""What makes two verdicts the same answer: result, action, severity, kind of recommendation, its key."""


@dataclass(slots=True)
class Member:
    """A firing of the incident, as of its latest record, and whether it is still open."""

    firing: Firing
    open: bool
    inhibited: bool = False
    """The incident's cause explains it: it is listed, and neither speaks nor keeps the incident open."""


@dataclass(slots=True)
class Incident:
    """The state of one open incident. Everything in it is JSON, so that it can be stored and taken up again."""

    incident_id: str
    environment: str
    system: str
    opened_ms: int
    active_ms: int
    """When a firing last joined or was raised."""
    members: dict[str, Member] = field(default_factory=dict)
    revision: int = 0
    """Of the next verdict."""
    last: Verdict | None = None
    """The verdict that was given last."""
    triaged_ms: int = 0
    pending: Answer | None = None
    """A softer answer that waits until it has held."""
    pending_ticks: int = 0
    withdrawn: bool = False
    """A rollback was recommended and taken back: it is not recommended again before that has held."""
    answered_ms: int = 0
    """When the result that the last verdict gives was first given."""
    heard: bool = False
    """A verdict that was not muted has been given."""
    told: int = 0
    """Firings that the last verdict knew of."""
    told_detectors: list[str] = field(default_factory=list)
    """Their detectors."""
    untold_ms: int | None = None
    """When the first firing that no verdict has told of came."""
    burst_seen: int = 0
    """Scores of the incident's burst at the last triage."""
    burst_told: bool = False
    """A verdict has told of the burst."""

    @classmethod
    def opened_by(cls, firing: Firing, tick_ms: int) -> Incident:
        """The incident that `firing` opens. Its id follows from the firing's."""
        return cls(
            incident_id=content_id("inc", {"firing_id": firing.firing_id}),
            environment=firing.scope.environment,
            system=firing.scope.system,
            opened_ms=tick_ms,
            active_ms=tick_ms,
        )

    @property
    def is_over(self) -> bool:
        """Whether every firing of its own has recovered."""
        return not any(member.open for member in self._own())

    @property
    def groups(self) -> bool:
        """Whether other firings may join: a budget's burn is an incident of its own."""
        return all(member.firing.detector != "burn_rate" for member in self._own())

    def _own(self) -> list[Member]:
        """The firings that are the incident, without those that it explains."""
        return [member for member in self.members.values() if not member.inhibited]

    def speaking(self) -> list[Firing]:
        """The firings that it is about now: of its own those still open, or all if none is."""
        own = self._own()
        return [member.firing for member in own if member.open] or [member.firing for member in own]

    @property
    def lead(self) -> Firing:
        """The firing that speaks for the incident: of those still open the first in `leading` order."""
        return min(self.speaking(), key=leading)

    @property
    def onset_ms(self) -> int:
        """The earliest onset of all its firings."""
        return min(millis(member.firing.onset_at) for member in self._own())

    @property
    def size(self) -> int:
        """How many firings it has had of its own."""
        return len(self._own())

    def detectors(self) -> list[str]:
        """The detectors of its own firings, by name."""
        return sorted({member.firing.detector for member in self._own()})

    def related(self) -> list[Scope]:
        """The other scopes that fired, in the order in which they did."""
        return _scopes((member.firing for member in self._own()), self.lead.scope)

    def explained(self) -> list[Scope]:
        """The scopes of the open firings that its cause explains, in the order in which they fired."""
        return _scopes(member.firing for member in self.members.values() if member.inhibited and member.open)

    def to_json(self) -> JsonObject:
        """The state as JSON."""
        return {
            "incident_id": self.incident_id,
            "environment": self.environment,
            "system": self.system,
            "opened_ms": self.opened_ms,
            "active_ms": self.active_ms,
            "members": [
                {"firing": jsonable(item.firing), "open": item.open, "inhibited": item.inhibited}
                for item in self.members.values()
            ],
            "revision": self.revision,
            "last": jsonable(self.last) if self.last else None,
            "triaged_ms": self.triaged_ms,
            "pending": list(self.pending) if self.pending else None,
            "pending_ticks": self.pending_ticks,
            "withdrawn": self.withdrawn,
            "answered_ms": self.answered_ms,
            "heard": self.heard,
            "told": self.told,
            "told_detectors": self.told_detectors,
            "untold_ms": self.untold_ms,
            "burst_seen": self.burst_seen,
            "burst_told": self.burst_told,
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Incident:
        """The incident that `to_json` stored, in this version or in one that knew no controls."""
        members = [
            Member(Firing.model_validate_json(json.dumps(item["firing"])), item["open"], item.get("inhibited", False))
            for item in data["members"]
        ]
        plain = {key: data[key] for key in data if key not in ("members", "last", "pending")}
        plain.setdefault("answered_ms", data["opened_ms"])
        plain.setdefault("heard", data["last"] is not None)
        plain.setdefault("told", len(members))
        pending = data["pending"]
        return cls(
            **plain,
            members={member.firing.firing_id: member for member in members},
            last=Verdict.model_validate_json(json.dumps(data["last"])) if data["last"] else None,
            pending=None if pending is None else (pending[0], pending[1], pending[2], pending[3], pending[4]),
        )


def _scopes(firings: Iterable[Firing], but: Scope | None = None) -> list[Scope]:
    """The scopes of firings, each once, in the order in which they fired."""
    found: dict[tuple[str | None, ...], Scope] = {}
    for firing in sorted(firings, key=lambda firing: (firing.fired_at, firing.firing_id)):
        found.setdefault(_place(firing.scope), firing.scope)
    if but is not None:
        found.pop(_place(but), None)
    return list(found.values())


def _place(scope: Scope) -> tuple[str | None, ...]:
    return (scope.environment, scope.system, scope.flow, scope.agent, scope.budget, scope.criterion, scope.version)


def burst_scores(verdict: Verdict) -> int:
    """How many burst scores a verdict tells of."""
    return sum(
        burst["scores"]
        for finding in verdict.findings
        if finding.check == "eval_score_trend"
        for burst in finding.evidence.get("burst", ())
    )


def leading(firing: Firing) -> tuple[bool, int, int, str]:
    """The order in which firings lead: page before warning, then the earliest, then the gravest detector, then id.

    The earliest, so that the trigger of an incident stays the same while others join.
    """
    # A third party's detector leads behind ours: the runbook was written for ours.
    place = LEADERS.index(firing.detector) if firing.detector in LEADERS else len(LEADERS)
    return firing.tier != "page", millis(firing.fired_at), place, firing.firing_id


def in_order(firings: Iterable[Firing]) -> list[Firing]:
    """The firings of a tick in the order in which they are taken in: those that fire first, leaders first."""
    return sorted(firings, key=lambda firing: (firing.status != "firing", leading(firing)))


def answer_of(verdict: Verdict) -> Answer:
    """What the verdict says, without its evidence."""
    advice = verdict.recommendation
    return verdict.triage_result, verdict.action, verdict.severity, advice.kind, advice.idempotency_key


def other_cause(fresh: Verdict, last: Verdict) -> bool:
    """Whether the evidence has become sure of another cause than the one that was named first."""
    top = fresh.causes[0]
    return top.probability >= SURE and top.cause != last.causes[0].cause


def gravity(verdict: Verdict) -> tuple[int, int, int]:
    """How grave the answer is: by severity, then by the runbook's order, then by what it recommends."""
    order = [*CHECK_ORDER, "inconclusive"]
    return (
        _SEVERITIES.index(verdict.severity),
        -order.index(verdict.triage_result),
        _KINDS.index(verdict.recommendation.kind),
    )
