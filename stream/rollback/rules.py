"""The bounds within which the rollback subscriber acts: its own, whatever a verdict asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.controls import ANY
from schemas.outputs import Verdict
from schemas.words import ActionMode

HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rules:
    """All of them. `environments`, `systems` and `components` are exact names, or `*` for every one."""

    mode: ActionMode
    environments: frozenset[str]
    systems: frozenset[str]
    components: frozenset[str]
    min_confidence: float
    always_approve: bool
    """A person must approve every action, even where the verdict says that none need."""
    longest: timedelta
    """How long after its verdict was decided an action may begin at most, whatever `not_after` says."""
    skew: timedelta
    """How far ahead of our clock a verdict's time may lie."""
    cool_down: timedelta
    per_hour: int
    lease: timedelta
    """How long a start holds: after that, without an end, whoever made it is taken for dead."""
    attempts: int
    """How often an action is taken up at most."""
    verify_for: timedelta

    @property
    def memory(self) -> timedelta:
        """How long what was done, and what was said, can still matter."""
        return max(self.longest, self.cool_down, HOUR) + self.verify_for + self.lease * self.attempts + self.skew

    def deadline(self, verdict: Verdict) -> datetime:
        """The last moment at which its action may begin."""
        return min(verdict.recommendation.not_after, verdict.decided_at + self.longest)

    def outside(self, verdict: Verdict) -> str | None:
        """Which allow-list does not hold what it is about, or None."""
        component = verdict.target.component if verdict.target else ""
        for name, value, allowed in (
            ("environment", verdict.scope.environment, self.environments),
            ("system", verdict.scope.system, self.systems),
            ("component", component, self.components),
        ):
            if ANY not in allowed and value not in allowed:
                return name
        return None
