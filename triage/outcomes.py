"""The outcome by version: whether the new version escalates more than the old one in the same period.

It is the evidence that turns suspicion of a rollout into proof, or clears it. Only traffic of the same period counts as
either; where the old version has none left, the period before is compared, which is shown but proves nothing, because
anything else that changed at the onset looks the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.outputs import Evidence
from triage.case import Case, Rate, VersionOutcome
from triage.rollouts import Rollout
from triage.statistics import fisher_greater, fisher_less, rounded
from triage.words import chance, fraction, percent

Outcome = Literal["worse", "not_higher", "unclear", "unknown"]
"""Proven worse; proven not (materially) worse; neither; no comparison possible."""


@dataclass(frozen=True, slots=True)
class OutcomeRule:
    """`alpha` and `natural_odds` for proof of worse, `innocent_alpha` and `material_odds` for proof of innocence."""

    alpha: float
    natural_odds: float
    innocent_alpha: float
    material_odds: float
    minimum: int
    """Fewest interactions of either version."""


NO_TRAFFIC = Rate(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """New against old: the outcome, the two rates, and the p-values behind it."""

    outcome: Outcome
    flow: str | None = None
    new: Rate = NO_TRAFFIC
    old: Rate = NO_TRAFFIC
    same_period: bool = True
    p_worse: float = 1.0
    p_innocent: float = 1.0

    def words(self) -> str:
        """`31.0 % of the new version's interactions escalate against 4.1 % of the old one's in the same period`."""
        period = "in the same period" if self.same_period else "in the period before"
        rates = (
            f"{percent(fraction(self.new))} of {self.new.total:,} interactions of the new version escalate against "
            f"{percent(fraction(self.old))} of {self.old.total:,} of the old one {period}"
        )
        return f"{rates} ({chance(self.p_worse)})" if self.outcome == "worse" else rates

    def evidence(self) -> Evidence:
        """The comparison as facts."""
        if self.outcome == "unknown" and not self.new.total:
            return {"outcome": self.outcome}
        return {
            "outcome": self.outcome,
            "flow": self.flow,
            "same_period": self.same_period,
            "new_escalations": self.new.hits,
            "new_interactions": self.new.total,
            "old_escalations": self.old.hits,
            "old_interactions": self.old.total,
            "p_value_worse": rounded(self.p_worse),
            "p_value_not_higher": rounded(self.p_innocent),
        }


UNKNOWN = Comparison("unknown")


def compare(rollout: Rollout, case: Case, rule: OutcomeRule) -> Comparison:
    """The outcome of the rollout's version against the one that it replaces."""
    found = _find(rollout, case)
    if found is None:
        return UNKNOWN
    new, others = found
    if new.recent.total < rule.minimum:
        return UNKNOWN
    recent, old_recent = new.same_period, _pooled([item.same_period for item in others])
    if min(recent.total, old_recent.total) >= rule.minimum:
        p_worse = fisher_greater(recent, old_recent, rule.natural_odds)
        p_innocent = fisher_less(recent, old_recent, rule.material_odds)
        outcome: Outcome = (
            "worse" if p_worse <= rule.alpha else "not_higher" if p_innocent <= rule.innocent_alpha else "unclear"
        )
        return Comparison(outcome, new.flow, recent, old_recent, p_worse=p_worse, p_innocent=p_innocent)
    old_before = _pooled([item.before for item in others])
    if old_before.total < rule.minimum:
        return UNKNOWN
    p_worse = fisher_greater(new.recent, old_before, rule.natural_odds)
    return Comparison("unknown", new.flow, new.recent, old_before, same_period=False, p_worse=p_worse)


def _find(rollout: Rollout, case: Case) -> tuple[VersionOutcome, list[VersionOutcome]] | None:
    """The new version's outcome and those of the versions that it replaces, in the flow that shows it best."""
    mine = [item for item in case.versions if item.version == rollout.version]
    of_component = [item for item in mine if item.flow == rollout.component]
    of_scope = [item for item in mine if item.flow == case.firing.scope.flow]
    candidates = of_component or of_scope or mine
    if not candidates:
        return None
    new = max(candidates, key=lambda item: (item.recent.total, item.flow))
    beside = [item for item in case.versions if item.flow == new.flow and item.version != new.version]
    previous = [item for item in beside if item.version == rollout.previous_version]
    return new, previous or beside


def _pooled(rates: list[Rate]) -> Rate:
    return Rate(
        sum(rate.hits for rate in rates),
        sum(rate.total for rate in rates),
        max((rate.minutes for rate in rates), default=0),
    )
