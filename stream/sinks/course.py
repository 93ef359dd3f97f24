"""What a verdict means to somebody who is told of incidents: the rules that `schemas.outputs.Verdict` states.

All of it is a pure fold over an incident's verdicts, so a restarted process learns what its destination knows from the
topic itself:

    not open there, verdict not muted, not resolved -> opened
    open there, verdict not muted, not resolved     -> changed, acknowledged, released, or nothing new
    open there, verdict muted                       -> muted
    open there, verdict resolved                    -> ended
    anything else                                   -> nothing: nobody heard of it
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from schemas.outputs import Verdict
from schemas.words import Severity
from stream.sinks.base import Heard, SinkSettings, StepKind

RANK: Final[dict[Severity, int]] = {"info": 0, "warning": 1, "critical": 2}

MAX_INCIDENTS: Final = 20_000
"""Most incidents that a sink remembers; beyond, those are forgotten that were silent for longest."""


def kinds_of(before: Heard | None, verdict: Verdict) -> frozenset[StepKind]:
    """What `verdict` changes for somebody who knows `before`."""
    if before is not None and verdict.revision <= before.revision:
        return frozenset()
    if before is None or not before.loud or before.verdict is None:
        if verdict.status == "resolved" or verdict.muted is not None:
            return frozenset()
        return frozenset({"opened", "acknowledged"} if verdict.acknowledged is not None else {"opened"})
    if verdict.status == "resolved":
        return frozenset({"ended"})
    if verdict.muted is not None:
        return frozenset({"muted"})
    kinds: set[StepKind] = {"changed"} if differences(before.verdict, verdict) else set()
    if verdict.acknowledged != before.verdict.acknowledged:
        kinds.add("acknowledged" if verdict.acknowledged is not None else "released")
    return frozenset(kinds)


def quiets(verdict: Verdict) -> bool:
    """Whether it takes something back that a destination may have been told: that is done however old it is."""
    return verdict.status == "resolved" or verdict.muted is not None


def differences(before: Verdict, after: Verdict) -> list[str]:
    """What is new in the answer, in words. What humans said (muted, acknowledged) is not part of it."""
    found = [
        f"{name}: {_show(old)} → {_show(new)}"
        for (name, old), (_, new) in zip(_facts(before), _facts(after), strict=True)
        if old != new
    ]
    if (one := before.trigger.summary) != after.trigger.summary and not found and _kind(before) != _kind(after):
        found.append(f"trigger: {one} → {after.trigger.summary}")
    more = _company(after) - _company(before)
    if more > 0:
        found.append(f"{more} more series fire")
    return found


def _facts(verdict: Verdict) -> Iterator[tuple[str, Any]]:
    target = verdict.target
    yield "severity", verdict.severity
    yield "tier", verdict.trigger.tier
    yield "answer", verdict.triage_result
    yield "action", verdict.action.replace("_", " ")
    yield "advice", verdict.recommendation.kind
    yield "needs approval", verdict.recommendation.requires_approval
    yield "target", None if target is None else f"{target.component} {target.from_version}"


def _kind(verdict: Verdict) -> tuple[str, str]:
    return verdict.trigger.firing_id, verdict.trigger.detector


def _company(verdict: Verdict) -> int:
    return verdict.related_total or len(verdict.related)


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which incidents a sink is told of."""

    settings: SinkSettings

    def takes(self, verdict: Verdict) -> bool:
        """Whether a verdict is wanted."""
        wanted = self.settings
        return (
            _matches(verdict.scope.environment, wanted.environments)
            and _matches(verdict.scope.system, wanted.systems)
            and (not wanted.severities or verdict.severity in wanted.severities)
            and (not wanted.tiers or verdict.trigger.tier in wanted.tiers)
        )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


class Course:
    """What a destination knows of every incident of some partition."""

    def __init__(self) -> None:
        self._heard: OrderedDict[str, Heard] = OrderedDict()

    def heard(self, incident_id: str) -> Heard | None:
        """What the destination knows of an incident."""
        return self._heard.get(incident_id)

    def note(self, verdict: Verdict, at_ms: int, *, told: bool) -> None:
        """Remember a verdict that was told, or passed over (then what stands at the destination is as before)."""
        before = self._heard.get(verdict.incident_id)
        if before is not None and verdict.revision <= before.revision:
            return
        self._heard[verdict.incident_id] = _after(before, verdict, at_ms, told=told)
        self._heard.move_to_end(verdict.incident_id)
        if len(self._heard) > MAX_INCIDENTS:
            self._heard.popitem(last=False)

    def standing(self, since_ms: int) -> list[Heard]:
        """What stands open at the destination and was heard of since a time."""
        return [one for one in self._heard.values() if one.loud and one.at_ms >= since_ms]


def _after(before: Heard | None, verdict: Verdict, at_ms: int, *, told: bool) -> Heard:
    open_before = before is not None and before.loud
    if not told:
        known = before.verdict if before is not None else None
        return Heard(verdict.revision, open_before, known, before.severity if before is not None else "info", at_ms)
    if verdict.status == "resolved" or verdict.muted is not None:
        return Heard(verdict.revision, loud=False, at_ms=at_ms)
    gravest = graver(before.severity, verdict.severity) if before is not None and open_before else verdict.severity
    return Heard(verdict.revision, loud=True, verdict=verdict, severity=gravest, at_ms=at_ms)


def graver(one: Severity, other: Severity) -> Severity:
    """The graver of two severities."""
    return max(one, other, key=RANK.__getitem__)
