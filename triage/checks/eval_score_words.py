"""What `eval_score_trend` says beside the trend: escalations and appropriateness together, and the burst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from schemas.outputs import Evidence
from triage.case import BurstScores, Case, Rate, ScoreSummary
from triage.checks.base import MAX_LISTED
from triage.estimates import interval
from triage.statistics import fisher_greater, rounded
from triage.words import quoted

RISE_ODDS: Final = 1.25
"""Odds of an escalation wander by this factor without news."""

RISE_ALPHA: Final = 0.005

Meaning = Literal["over_escalation", "riskier_cohort", "not_more_escalations"]
"""Escalations rise and appropriateness falls: it escalates what it should not. They rise and it is stable: a riskier
cohort. It falls, and escalations do not rise: what is wrong is not that too much is escalated."""


@dataclass(frozen=True, slots=True)
class Joint:
    """Escalation rate and appropriateness, read together; `meaning` is None where that says nothing."""

    recent: Rate | None
    before: Rate | None
    meaning: Meaning | None

    @classmethod
    def of(cls, case: Case, answer: str, about_escalations: bool) -> Joint:
        """The joint reading of a trend; `about_escalations` if it is appropriateness in the flow that fired."""
        recent, before = case.interactions, case.interactions_before
        meaning: Meaning | None = None
        if about_escalations and recent is not None and before is not None and recent.total and before.total:
            rising = fisher_greater(recent, before, RISE_ODDS) <= RISE_ALPHA
            if answer == "dropping":
                meaning = "over_escalation" if rising else "not_more_escalations"
            elif answer == "stable" and rising:
                meaning = "riskier_cohort"
        return cls(recent, before, meaning)

    def evidence(self) -> Evidence:
        """The numbers and the meaning; nothing where there is none."""
        if self.meaning is None or self.recent is None or self.before is None:
            return {}
        return {
            "joint": self.meaning,
            "escalation_rate": rounded(self.recent.hits / self.recent.total),
            "escalation_rate_before": rounded(self.before.hits / self.before.total),
        }

    def words(self) -> str:
        """The same in a sentence."""
        if self.meaning is None or self.recent is None or self.before is None:
            return ""
        rates = f"from {_percent(self.before)} to {_percent(self.recent)} of the interactions"
        match self.meaning:
            case "over_escalation":
                return f"Escalations rose {rates} meanwhile: it escalates what it should not."
            case "riskier_cohort":
                return f"Escalations rose {rates} while their appropriateness held: the cases are riskier."
            case _:
                return f"Escalations did not rise ({rates}): it is not that too much is escalated."


def between(summary: ScoreSummary) -> str:
    """The interval of a mean, as ` [3.01, 3.39]`; empty where there is none."""
    bounds = interval(summary)
    return f" [{bounds[0]:.2f}, {bounds[1]:.2f}]" if bounds is not None else ""


def burst_words(bursts: Sequence[BurstScores], criterion: str) -> str:
    """The burst of the deciding criterion: how many of the incident's escalated interactions scored low."""
    for burst in bursts:
        if burst.criterion == criterion:
            return (
                f"Burst: {burst.low} of {burst.summary.count} escalated interactions of {quoted(burst.flow)} scored "
                f"below 3, mean {burst.summary.mean:.1f}{between(burst.summary)}."
            )
    return ""


def burst_evidence(bursts: Sequence[BurstScores]) -> Evidence:
    """All bursts as evidence; nothing where there is none."""
    found = []
    for burst in bursts[:MAX_LISTED]:
        bounds = interval(burst.summary) or (None, None)
        found.append(
            {
                "flow": burst.flow,
                "criterion": burst.criterion,
                "scores": burst.summary.count,
                "below_3": burst.low,
                "mean": rounded(burst.summary.mean),
                "low": None if bounds[0] is None else rounded(bounds[0]),
                "high": None if bounds[1] is None else rounded(bounds[1]),
            }
        )
    return {"burst": found} if found else {}


def _percent(rate: Rate) -> str:
    return f"{100 * rate.hits / rate.total:.1f} %"
