"""Did a change that skipped its canary ramp come just before the onset? The runbook's fourth question.

A flow, model, prompt, schema or config change in the look-back before the onset that did not go through the full
canary ramp is the most likely single cause: critical, roll back. The outcome by version clears it or turns suspicion
into proof, also against a change that did ramp. A change that came after the onset, was rolled back before it, was
replaced by then, or is itself the return to an earlier version, is not blamed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import Count, Percent, Ratio
from schemas.canonical import jsonable
from schemas.outputs import Evidence, Finding, RollbackTarget
from schemas.words import CheckName, DetectorName, FindingSeverity
from triage.case import Case
from triage.checks.base import MAX_LISTED, CheckSettings, evaluated, no_data
from triage.outcomes import UNKNOWN, Comparison, OutcomeRule, compare
from triage.rollouts import RampRule, Rollout, fates, read_rollout, shortfall
from triage.words import against_onset, quoted, span, utc


class RecentDeploymentsSettings(CheckSettings):
    """What a full canary ramp is, how far back to look, and when an outcome by version is proof."""

    lookback_hours: Annotated[
        Count, Field(ge=1, le=168, description="how long before the onset a change can do it")
    ] = 6
    ramp_steps: Annotated[Count, Field(description="fewest steps below 100 % in a full canary ramp")] = 2
    ramp_minutes: Annotated[Count, Field(description="least minutes from the first traffic to all of it")] = 15
    ramp_percents: Annotated[
        list[Percent], Field(max_length=20, description="shares that every ramp must pass, in per cent; empty: any")
    ] = Field(default_factory=list)
    onset_grace_minutes: Annotated[
        Count, Field(description="how early the estimated onset may be: a change this much later is still suspected")
    ] = 5
    coarse_grace_minutes: Annotated[
        Count, Field(description="the same for detectors that see hours, not minutes: burn_rate and evaluation_drop")
    ] = 60
    alpha: Annotated[Ratio, Field(description="p-value below which the new version is proven worse")] = 0.001
    natural_odds: Annotated[float, Field(ge=1, le=100, description="odds ratio of two versions that is no news")] = 1.25
    innocent_alpha: Annotated[Ratio, Field(description="p-value below which the new version is cleared")] = 0.05
    material_odds: Annotated[
        float, Field(gt=1, le=100, description="odds ratio that must be ruled out to clear it")
    ] = 2.0
    minimum_interactions: Annotated[Count, Field(ge=1, description="fewest interactions of a version to compare")] = 20

    def ramp_rule(self) -> RampRule:
        """The ramp that is required."""
        return RampRule(self.ramp_steps, self.ramp_minutes, tuple(self.ramp_percents))

    def outcome_rule(self) -> OutcomeRule:
        """When versions differ."""
        return OutcomeRule(
            self.alpha, self.natural_odds, self.innocent_alpha, self.material_odds, self.minimum_interactions
        )

    def grace_ms(self, detector: DetectorName) -> int:
        """How far after the estimated onset a change is still looked at, in milliseconds."""
        coarse = detector in ("burn_rate", "evaluation_drop")
        return 60_000 * (self.coarse_grace_minutes if coarse else self.onset_grace_minutes)


Answer = Literal["worse", "short", "cleared", "other_flow", "ramped", "not_blamed", "after_onset"]
"""Proven worse; short of its ramp; short of it but cleared by its outcome; of another flow; ramped in full; rolled
back, replaced or itself a rollback; after the onset."""

_GRAVITY: Final[dict[Answer, int]] = {
    "worse": 0,
    "short": 1,
    "cleared": 2,
    "ramped": 3,
    "other_flow": 4,
    "not_blamed": 5,
    "after_onset": 6,
}
_SEVERITY: Final[dict[Answer, FindingSeverity]] = {
    "worse": "critical",
    "short": "critical",
    "cleared": "info",
    "ramped": "info",
    "other_flow": "info",
    "not_blamed": "none",
    "after_onset": "none",
}


@dataclass(frozen=True)
class _Suspect:
    """One rollout, judged."""

    rollout: Rollout
    answer: Answer
    why: str
    lacks: str | None
    comparison: Comparison


@dataclass(frozen=True)
class RecentDeploymentsCheck:
    """The check `recent_deployments`; readings as `Answer`, and `none` where nothing changed."""

    settings: RecentDeploymentsSettings = field(default_factory=RecentDeploymentsSettings)
    name: CheckName = "recent_deployments"

    def check(self, case: Case) -> Finding:
        """Critical for a change short of its ramp that its outcome does not clear, or one that is proven worse."""
        if case.deployments is None:
            return no_data(self.name, "No deployment telemetry from this system, so changes cannot be checked.")
        suspects, later = self._suspects(case)
        if not suspects:
            return evaluated(self.name, "none", self._nothing(later), {"reading": "after_onset" if later else "none"})
        suspects.sort(key=lambda item: (_GRAVITY[item.answer], -item.rollout.changed_ms, item.rollout.component))
        first = suspects[0]
        target = rollback_target(first.rollout) if _SEVERITY[first.answer] == "critical" else None
        evidence: Evidence = {
            "reading": first.answer,
            **_suspect_evidence(first, case.onset_ms),
            "target": jsonable(target) if target else None,
            "changes": [_suspect_evidence(item, case.onset_ms) for item in suspects[:MAX_LISTED]],
            "changes_seen": len(suspects) + later,
        }
        return evaluated(self.name, _SEVERITY[first.answer], _words(first, case), evidence, case.exemplars)

    def _suspects(self, case: Case) -> tuple[list[_Suspect], int]:
        until = max(case.onset_ms, case.onset_latest_ms or 0) + self.settings.grace_ms(case.firing.detector)
        since = case.onset_ms - self.settings.lookback_hours * 3_600_000
        # A ramp counts as far as it had come by the onset; the grace is for a change that took no traffic before.
        read = [
            read_rollout(history, case.onset_ms, case.tick_ms) or read_rollout(history, until, case.tick_ms)
            for history in case.deployments or ()
        ]
        rollouts = [item for item in read if item is not None]
        standing = zip(rollouts, fates(rollouts, until), strict=True)
        suspects = [self._judge(rollout, fate, case) for rollout, fate in standing if since <= rollout.changed_ms]
        return suspects, len(read) - len(rollouts)

    def _judge(self, rollout: Rollout, fate: str, case: Case) -> _Suspect:
        lacks = shortfall(rollout, self.settings.ramp_rule())
        if fate in ("rolled_back", "superseded"):
            word = "was rolled back before the onset" if fate == "rolled_back" else "was replaced before the onset"
            return _Suspect(rollout, "not_blamed", word, lacks, UNKNOWN)
        comparison = compare(rollout, case, self.settings.outcome_rule())
        if comparison.outcome == "worse":
            return _Suspect(rollout, "worse", comparison.words(), lacks, comparison)
        if fate == "restored":
            return _Suspect(rollout, "not_blamed", "is itself the return to an earlier version", lacks, comparison)
        if lacks is None:
            return _Suspect(rollout, "ramped", "went through the full canary ramp", None, comparison)
        if case.firing.detector == "escalation_rate" and comparison.outcome == "not_higher":
            return _Suspect(rollout, "cleared", comparison.words(), lacks, comparison)
        if _other_flow(rollout, case):
            return _Suspect(rollout, "other_flow", "changed another flow than the trigger's", lacks, comparison)
        return _Suspect(rollout, "short", lacks, lacks, comparison)

    def _nothing(self, later: int) -> str:
        if later:
            subject = "One change" if later == 1 else f"{later} changes"
            return f"{subject} came after the onset and cannot have caused it; none in the hours before."
        return f"No change took traffic in the {self.settings.lookback_hours} h before the onset."


def _other_flow(rollout: Rollout, case: Case) -> bool:
    """Whether the component is a flow with traffic of its own that is not the one that the trigger is about."""
    flow = case.firing.scope.flow
    return flow is not None and rollout.component != flow and any(v.flow == rollout.component for v in case.versions)


def rollback_target(rollout: Rollout) -> RollbackTarget | None:
    """What to roll back; None where no event names a target, or where it has been rolled back since."""
    if rollout.event.target is None or rollout.rolled_back_ms is not None:
        return None
    return RollbackTarget(
        kind=rollout.event.target.kind,
        ref=dict(rollout.event.target.ref),
        component=rollout.component,
        change=rollout.event.change,
        from_version=rollout.version,
        to_version=rollout.previous_version,
        canary_percent=rollout.share_now,
        deployed_at=rollout.event.time,
        deployment_event_id=rollout.event.id,
    )


def _words(suspect: _Suspect, case: Case) -> str:
    rollout = suspect.rollout
    to = f"{quoted(rollout.previous_version)} -> " if rollout.previous_version else ""
    subject = f"The {rollout.event.change} change of {quoted(rollout.component)} ({to}{quoted(rollout.version)})"
    when = f"{utc(rollout.changed_ms)}, {against_onset(rollout.changed_ms, case.onset_ms)}"
    if suspect.answer == "worse":
        ramp = f" It {suspect.lacks}." if suspect.lacks else " It had gone through its canary ramp."
        return f"{subject} at {when}, is proven worse: {suspect.why}.{ramp}{_after(rollout, case)}"
    if suspect.answer == "short":
        seen = f" {suspect.comparison.words()}." if suspect.comparison.new.total else ""
        return f"{subject} at {when}, {suspect.why}: the most likely single cause.{seen}{_after(rollout, case)}"
    if suspect.answer == "cleared":
        return f"{subject} at {when}, {suspect.lacks}, but is innocent by outcome: {suspect.why}."
    return f"{subject} at {when}, {suspect.why}."


def _after(rollout: Rollout, case: Case) -> str:
    if rollout.rolled_back_ms is None:
        return ""
    ago = span(case.tick_ms - rollout.rolled_back_ms)
    return f" It was rolled back {ago} ago, at {utc(rollout.rolled_back_ms)}: watch the recovery."


def _suspect_evidence(suspect: _Suspect, onset_ms: int) -> Evidence:
    rollout = suspect.rollout
    return {
        "component": rollout.component,
        "change": rollout.event.change,
        "version": rollout.version,
        "previous_version": rollout.previous_version,
        "judged": suspect.answer,
        "changed_at": utc(rollout.changed_ms),
        "minutes_before_onset": (onset_ms - rollout.changed_ms) // 60_000,
        "precedes_onset": rollout.changed_ms <= onset_ms,
        "canary_percents": list(rollout.shares[-10:]),
        "ramp_lacks": suspect.lacks,
        "rolled_back": rollout.rolled_back_ms is not None,
        "deployment_event_id": rollout.event.id,
        **suspect.comparison.evidence(),
    }
