"""The runbook's third question, told in cases."""

from __future__ import annotations

from dataclasses import replace

from schemas.outputs import Scope
from tests.unit.triage.stories import FLOW, firing, judgement, quiet, trend
from triage.case import BurstScores, Rate, ScoreSummary
from triage.checks.eval_score_trend import EvalScoreTrendCheck

CHECK = EvalScoreTrendCheck()


def test_dropping_beside_the_spike_is_critical():
    """A point lost over forty scores: judgement is degrading, with where to look."""
    finding = CHECK.check(judgement())
    assert (finding.severity, finding.evidence["reading"]) == ("critical", "dropping")
    assert "3.20 over 40 scores [2.97, 3.43] against 4.30 over 1,000 before" in finding.summary
    assert "schema validation and hand-off logic" in finding.summary


def test_stable_means_legitimate_traffic():
    """Stable scores with a material drop ruled out: a riskier cohort."""
    finding = CHECK.check(quiet())
    assert (finding.severity, finding.evidence["reading"]) == ("info", "stable")
    assert "legitimate traffic" in finding.summary


def test_a_little_lower_over_few_scores_is_neither():
    """Six scores half a point lower prove neither a drop nor stability."""
    finding = CHECK.check(quiet(scores=(trend(3.8, 4.3, count=6),)))
    assert (finding.severity, finding.evidence["reading"]) == ("none", "unclear")


def test_a_wandering_judge_is_no_drop():
    """A tenth of a point over very many scores is certain, and no news."""
    finding = CHECK.check(quiet(scores=(trend(4.2, 4.3, count=5_000),)))
    assert finding.evidence["reading"] == "stable"


def test_too_few_scores_are_no_data():
    """Four scores since the onset, or none of the deciding criterion, cannot be tested."""
    finding = CHECK.check(quiet(scores=(trend(1.0, 4.3, count=4),)))
    assert finding.status == "no_data"
    assert "4 scores" in finding.summary
    assert CHECK.check(quiet(scores=(trend(4.3, 4.3, criterion="tone"),))).status == "no_data"


def test_a_drop_in_another_flow_is_a_warning():
    """The trigger is about the refund flow; another flow's drop does not decide."""
    other = trend(3.2, 4.3, flow="claims-flow")
    finding = CHECK.check(quiet(scores=(other, trend(4.3, 4.3))))
    assert (finding.severity, finding.evidence["reading"]) == ("warning", "dropping_elsewhere")


def test_another_criterion_is_a_warning():
    """Tone falls, appropriateness does not."""
    finding = CHECK.check(quiet(scores=(trend(4.3, 4.3), trend(3.2, 4.3, criterion="tone"))))
    assert (finding.severity, finding.evidence["reading"]) == ("warning", "other_criterion")


def test_a_firing_about_scores_makes_its_own_criterion_decide():
    """When evaluation_drop fires on correctness, a drop of correctness is critical."""
    scope = Scope(environment="production", system="refunds", flow=FLOW, criterion="correctness")
    case = quiet(firing=firing("evaluation_drop", scope=scope), scores=(trend(3.2, 4.3, criterion="correctness"),))
    assert CHECK.check(case).severity == "critical"


def test_a_trigger_without_a_flow_looks_at_every_flow():
    """A denials firing knows an agent, not a flow: any flow's drop decides."""
    scope = Scope(environment="production", system="refunds", agent="refund-agent")
    case = quiet(firing=firing("authorization_denials", scope=scope), scores=(trend(3.2, 4.3, flow="claims-flow"),))
    assert CHECK.check(case).severity == "critical"


def test_without_a_source_there_is_no_data():
    """No judge, no answer."""
    assert CHECK.check(quiet(scores=None)).status == "no_data"


def test_escalations_and_appropriateness_are_read_together():
    """Rising and falling: over-escalation; rising and stable: a riskier cohort; falling alone: neither."""
    over = CHECK.check(judgement())
    assert over.evidence["joint"] == "over_escalation"
    assert "it escalates what it should not" in over.summary
    risky = CHECK.check(replace(judgement(), scores=(trend(4.3, 4.3, count=400),)))
    assert risky.evidence["joint"] == "riskier_cohort"
    assert "the cases are riskier" in risky.summary
    alone = CHECK.check(
        replace(judgement(), interactions=Rate(40, 1000, 30), interactions_before=Rate(400, 10_000, 1440))
    )
    assert alone.evidence["joint"] == "not_more_escalations"


def test_a_burst_is_told_and_does_not_decide():
    """Twenty low scores of chosen interactions beside a stable trend: said with their interval, the answer stays."""
    burst = BurstScores(FLOW, "escalation_appropriateness", ScoreSummary(20, 2.1, 0.4), 14)
    finding = CHECK.check(quiet(bursts=(burst,)))
    assert finding.evidence["reading"] == "stable"
    assert "Burst: 14 of 20 escalated interactions of refund-flow scored below 3, mean 2.1 [1.80, 2.40]" in (
        finding.summary
    )
    nothing = CHECK.check(quiet(scores=None, bursts=(burst,)))
    assert nothing.status == "no_data"
    assert "14 of 20" in nothing.summary


def test_unequal_weights_cost_certainty():
    """The same mean and count, but an effective sample of four: no drop is proven any more."""
    (sure,) = judgement().scores or ()
    vague = replace(sure, recent=replace(sure.recent, effective=4.0))
    assert CHECK.check(judgement()).evidence["reading"] == "dropping"
    finding = CHECK.check(replace(judgement(), scores=(vague,)))
    assert finding.evidence["reading"] == "unclear"
    assert finding.evidence["trends"][0]["recent"]["effective_scores"] == 4.0
