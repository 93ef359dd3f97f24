"""Is the system's judgement degrading? The runbook's third question.

`escalation_appropriateness` dropping beside the spike means that the agents escalate what they should not, or resolve
what they should not: critical. Stable means that they are right to escalate: a riskier cohort, legitimate traffic. Each
flow's scores since the onset are compared with the reference period by Welch's t test with a floor under the variance,
corrected for the number of trends. Stable is claimed only where a material drop is itself ruled out.

Means are weighted back for the sampling rates (`triage.estimates`). A burst, the scores of the incident's own escalated
interactions, is told beside the trend and never decides: those interactions were chosen, not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import Count, Name, Ratio
from schemas.outputs import Evidence, Finding
from schemas.words import CheckName, FindingSeverity
from triage.case import Case, ScoreSummary, ScoreTrend
from triage.checks.base import MAX_LISTED, CheckSettings, evaluated, no_data
from triage.checks.eval_score_words import Joint, between, burst_evidence, burst_words
from triage.estimates import interval
from triage.statistics import bonferroni, rounded, welch_greater, welch_less
from triage.words import chance, quoted, sentence_number


class EvalScoreTrendSettings(CheckSettings):
    """When scores drop, and when they are known to be stable."""

    criterion: Annotated[Name, Field(description="the criterion whose drop is critical")] = "escalation_appropriateness"
    alpha: Annotated[Ratio, Field(description="p-value below which scores drop")] = 0.005
    margin: Annotated[float, Field(ge=0, le=4, description="points that a mean wanders without news")] = 0.15
    material_drop: Annotated[
        float, Field(gt=0, le=4, description="a drop in points that must be ruled out to call scores stable")
    ] = 0.6
    stable_alpha: Annotated[Ratio, Field(description="p-value below which a material drop is ruled out")] = 0.05
    variance_floor: Annotated[float, Field(gt=0, le=4, description="least variance believed, points squared")] = 0.16
    minimum_scores: Annotated[Count, Field(ge=2, description="fewest scores since the onset")] = 5
    minimum_scores_before: Annotated[Count, Field(ge=2, description="fewest scores in the reference period")] = 10


Answer = Literal["dropping", "dropping_elsewhere", "other_criterion", "unclear", "stable"]
"""The deciding criterion drops in the trigger's flow; in another one; only another criterion drops; no proof of either;
a material drop is ruled out."""

_SEVERITY: Final[dict[Answer, FindingSeverity]] = {
    "dropping": "critical",
    "dropping_elsewhere": "warning",
    "other_criterion": "warning",
    "unclear": "none",
    "stable": "info",
}


@dataclass(frozen=True)
class _Reading:
    """One trend, tested."""

    trend: ScoreTrend
    decisive: bool
    """The criterion is the one that decides."""
    here: bool
    """The flow is the trigger's, or the trigger has none."""
    p_drop: float
    p_stable: float


@dataclass(frozen=True)
class EvalScoreTrendCheck:
    """The check `eval_score_trend`; its readings are those of `Answer`."""

    settings: EvalScoreTrendSettings = field(default_factory=EvalScoreTrendSettings)
    name: CheckName = "eval_score_trend"

    def check(self, case: Case) -> Finding:
        """Critical where the deciding criterion drops in the trigger's flow; info where it is stable."""
        if case.scores is None:
            said = "No evaluation scores from this system, so its judgement cannot be checked."
            return no_data(self.name, *self._with_burst(case, said, {"reading": "none"}))
        readings = [self._read(trend, case, len(case.scores)) for trend in case.scores if self._enough(trend)]
        if not any(item.decisive for item in readings):
            lacking: Evidence = {"reading": "none", "trends": _listing(case.scores)}
            return no_data(self.name, *self._with_burst(case, self._too_few(case.scores), lacking))
        readings.sort(key=lambda item: (item.p_drop, item.trend.flow, item.trend.criterion))
        answer, reading = self._answer(readings)
        joint = Joint.of(case, answer, reading.trend.criterion == self.settings.criterion and reading.here)
        evidence: Evidence = {
            "reading": answer,
            "flow": reading.trend.flow,
            "criterion": reading.trend.criterion,
            "p_value": rounded(reading.p_drop),
            "p_value_stable": rounded(reading.p_stable),
            "change": rounded(_change(reading.trend)),
            "trends": [_trend_evidence(item.trend, item.p_drop) for item in readings[:MAX_LISTED]],
            **joint.evidence(),
            **burst_evidence(case.bursts),
        }
        words = " ".join(filter(None, [_words(answer, reading), joint.words(), self._burst_words(case)]))
        return evaluated(self.name, _SEVERITY[answer], words, evidence, case.exemplars)

    def _burst_words(self, case: Case) -> str:
        return burst_words(case.bursts, self.settings.criterion)

    def _with_burst(self, case: Case, said: str, evidence: Evidence) -> tuple[str, Evidence]:
        words = " ".join(filter(None, [said, self._burst_words(case)]))
        return words, {**evidence, **burst_evidence(case.bursts)}

    def _answer(self, readings: list[_Reading]) -> tuple[Answer, _Reading]:
        dropping = [item for item in readings if item.p_drop <= self.settings.alpha]
        here = [item for item in dropping if item.decisive and item.here]
        if here:
            return "dropping", here[0]
        elsewhere = [item for item in dropping if item.decisive]
        if elsewhere:
            return "dropping_elsewhere", elsewhere[0]
        if dropping:
            return "other_criterion", dropping[0]
        decisive = [item for item in readings if item.decisive]
        nearest = next((item for item in decisive if item.here), decisive[0])
        stable = nearest.here and nearest.p_stable <= self.settings.stable_alpha
        return ("stable" if stable else "unclear"), nearest

    def _read(self, trend: ScoreTrend, case: Case, tests: int) -> _Reading:
        scope = case.firing.scope
        decisive = trend.criterion == self.settings.criterion or (
            case.firing.detector == "evaluation_drop" and trend.criterion == scope.criterion
        )
        p_drop = welch_less(trend.recent, trend.before, self.settings.margin, self.settings.variance_floor)
        return _Reading(
            trend=trend,
            decisive=decisive,
            here=scope.flow is None or scope.flow == trend.flow,
            p_drop=bonferroni(p_drop, tests),
            p_stable=welch_greater(
                trend.recent, trend.before, self.settings.material_drop, self.settings.variance_floor
            ),
        )

    def _enough(self, trend: ScoreTrend) -> bool:
        return (
            trend.recent.count >= self.settings.minimum_scores
            and trend.before.count >= self.settings.minimum_scores_before
        )

    def _too_few(self, scores: tuple[ScoreTrend, ...]) -> str:
        recent = sum(item.recent.count for item in scores if item.criterion == self.settings.criterion)
        return (
            f"Too few scores to tell: {sentence_number(recent, 'score')} of {self.settings.criterion} since the onset, "
            f"{self.settings.minimum_scores} in one flow are needed."
        )


def _words(answer: Answer, reading: _Reading) -> str:
    trend = reading.trend
    numbers = (
        f"{trend.recent.mean:.2f} over {sentence_number(trend.recent.count, 'score')}{between(trend.recent)} "
        f"against {trend.before.mean:.2f} over {trend.before.count:,} before"
    )
    subject = f"{quoted(trend.criterion)} of {quoted(trend.flow)}"
    match answer:
        case "dropping":
            return (
                f"{subject} is dropping: {numbers} ({chance(reading.p_drop)}). The system's judgement is degrading: "
                "look at recent regressions of schema validation and hand-off logic."
            )
        case "dropping_elsewhere":
            return f"{subject} is dropping, in another flow than the trigger's: {numbers} ({chance(reading.p_drop)})."
        case "other_criterion":
            return f"{subject} is dropping, while the deciding criterion is not: {numbers} ({chance(reading.p_drop)})."
        case "stable":
            return f"{subject} is stable: {numbers}. The escalations are apt: a riskier cohort, legitimate traffic."
        case _:
            return f"{subject} shows no clear trend: {numbers}; neither a drop nor stability is proven."


def _change(trend: ScoreTrend) -> float:
    return trend.recent.mean - trend.before.mean


def _listing(scores: tuple[ScoreTrend, ...]) -> list[Evidence]:
    return [_trend_evidence(trend, None) for trend in scores[:MAX_LISTED]]


def _trend_evidence(trend: ScoreTrend, p_value: float | None) -> Evidence:
    return {
        "flow": trend.flow,
        "criterion": trend.criterion,
        "recent": _summary_evidence(trend.recent),
        "before": _summary_evidence(trend.before),
        "p_value": None if p_value is None else rounded(p_value),
        "recent_by_version": [
            {"version": version, **_summary_evidence(summary)} for version, summary in trend.by_version[:MAX_LISTED]
        ],
    }


def _summary_evidence(summary: ScoreSummary) -> Evidence:
    found: Evidence = {
        "scores": summary.count,
        "mean": rounded(summary.mean),
        "variance": rounded(summary.variance),
    }
    if summary.effective is not None:
        found["effective_scores"] = rounded(summary.effective)
    bounds = interval(summary)
    if bounds is not None:
        found["low"], found["high"] = map(rounded, bounds)
    return found
