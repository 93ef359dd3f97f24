"""Recommendations and verdicts: what a machine may do, what a human reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenarios.cases import labelled_cases
from schemas.canonical import canonical_json
from schemas.outputs import Verdict
from tests.unit.triage.stories import (
    ENGINE,
    ONSET,
    TICK,
    agent,
    bad_deployment,
    by_version,
    firing,
    full_ramp,
    injected,
    judgement,
    ms,
    outage,
    quiet,
    rollout,
    trend,
)
from triage.case import Case
from triage.registry import build
from triage.settings import TriageSettings
from triage.verdict import Occasion, assess, build_verdict, resolved

OCCASION = Occasion("inc_1", 0, "firing", ms(TICK), ms(ONSET))
AUTOMATIC = TriageSettings.model_validate({"recommendation": {"automatic_rollback": True}})


def verdict(case: Case, settings: TriageSettings | None = None, occasion: Occasion = OCCASION) -> Verdict:
    settings = settings or TriageSettings()
    return build_verdict(occasion, assess(build(settings, third_party=()), case), settings, ENGINE)


def proven() -> Case:
    """A change short of its ramp, whose version is worse than the old one in the same period."""
    return replace(bad_deployment(), deployments=(rollout((3, 50)),), versions=by_version((75, 300), (12, 300)))


def test_a_bad_deployment_is_to_be_rolled_back():
    """The recommendation says what, from what to what, how sure, until when; a human approves by default."""
    made = verdict(bad_deployment())
    advice = made.recommendation
    assert (made.triage_result, made.severity, advice.kind) == ("recent_deployments", "critical", "rollback")
    assert advice.confidence >= 0.9
    assert advice.requires_approval
    assert (advice.not_after - TICK).total_seconds() == 15 * 60
    assert made.target is not None
    assert (made.target.from_version, made.target.to_version) == ("v2", "v1")
    assert made.causes[0].cause == "deployment"


def test_automation_needs_the_settings_and_the_outcome_by_version():
    """Allowed and proven: no approval. Allowed without proof, or proven without leave: approval."""
    assert verdict(proven(), AUTOMATIC).recommendation.requires_approval is False
    assert verdict(proven()).recommendation.requires_approval is True
    assert verdict(bad_deployment(), AUTOMATIC).recommendation.requires_approval is True


def test_judge_scores_alone_move_no_machine():
    """Scores fall and a change is near, but nothing measured stands behind it: a human decides."""
    case = replace(
        bad_deployment(),
        firing=firing("evaluation_drop"),
        scores=(trend(4.3, 4.3),),
        interactions=bad_deployment().interactions,
    )
    made = verdict(case, AUTOMATIC)
    assert made.triage_result == "recent_deployments"
    assert made.recommendation.kind == "escalate"
    assert "no measured signal" in made.recommendation.reason


def test_a_forged_event_that_contradicts_the_outcome_moves_nothing():
    """One deployment event in an incident of another cause: the outcome by version clears it."""
    forged = replace(quiet(), deployments=(rollout((3, 50)),), versions=by_version((41, 300), (41, 300)))
    made = verdict(forged, AUTOMATIC)
    assert made.recommendation.kind != "rollback"
    assert made.target is None


def test_a_change_after_the_onset_is_no_target_of_a_machine():
    """Beyond the error of the onset estimate it is suspected at most, and only a human acts."""
    made = verdict(replace(bad_deployment(), deployments=(rollout((-4, 100)),)), AUTOMATIC)
    assert made.triage_result == "recent_deployments"
    assert made.recommendation.kind == "escalate"


def test_a_change_within_the_error_of_the_onset_may_be_rolled_back():
    """The onset is an estimate: a change three minutes behind it may still have come first, if its outcome says so."""
    late = replace(bad_deployment(), deployments=(rollout((-3, 100)),))
    proven = verdict(replace(late, versions=by_version((90, 300), (10, 300))), AUTOMATIC)
    assert proven.triage_result == verdict(late).triage_result == "recent_deployments"
    assert proven.recommendation.kind == "rollback"
    assert verdict(late).recommendation.kind == "escalate"


def test_a_change_without_a_target_is_rolled_back_by_hand():
    """No event names a target: the verdict has none and says so."""
    made = verdict(replace(bad_deployment(), deployments=(rollout((3, 100), target=None),)))
    assert made.target is None
    assert made.recommendation.kind == "escalate"
    assert "names no target" in made.recommendation.reason


@pytest.mark.parametrize(
    ("case", "kind", "severity"),
    [
        (injected(), "escalate_security", "critical"),
        (outage("closed"), "escalate", "critical"),
        (judgement(), "escalate", "critical"),
        (outage("open"), "investigate", "warning"),
        (quiet(), "none", "warning"),
        (quiet(scores=None, reasons={}), "investigate", "critical"),
    ],
    ids=["injection", "breaker not open", "judgement", "as designed", "legitimate", "unexplained page"],
)
def test_what_is_recommended_and_how_grave_it_is(case, kind, severity):
    """Each story's recommendation and severity; only the deployment asks for a rollback."""
    made = verdict(case)
    assert (made.recommendation.kind, made.severity) == (kind, severity)


def test_a_warning_tier_is_never_critical_without_a_critical_finding():
    """Unexplained it stays a warning, explained it is information."""
    warning = firing(tier="warning")
    assert verdict(quiet(firing=warning, scores=None)).severity == "warning"
    assert verdict(quiet(firing=warning)).severity == "info"
    assert verdict(replace(injected(), firing=warning)).severity == "critical"


def test_stable_scores_do_not_excuse_a_likely_harm():
    """Scores are stable, but denials are raised so far that authorization is likeliest: the page stays critical."""
    case = quiet(denials=(agent(denied=11, before=100),), reasons={"policy": (80, 200), "ambiguous": (2, 1_000)})
    made = verdict(case)
    assert made.triage_result == "inconclusive"
    assert made.causes[0].cause == "authorization_scope"
    assert made.severity == "critical"


def test_the_id_is_the_content():
    """The same case gives the same bytes; one number more gives another id."""
    first, again = verdict(quiet()), verdict(quiet())
    assert canonical_json(first) == canonical_json(again)
    other = verdict(quiet(reasons={"high_risk": (59, 300), "ambiguous": (23, 900)}, denials=None))
    assert other.verdict_id != first.verdict_id
    assert first.verdict_id.startswith("vrd_")


def test_suspicion_below_nine_in_ten_moves_no_machine():
    """A change at once, five hours before, beside a riskier cohort: critical, named, and left to a human."""
    made = verdict(quiet(deployments=(rollout((290, 100)),)), AUTOMATIC)
    probability = {item.cause: item.probability for item in made.causes}["deployment"]
    assert made.triage_result == "recent_deployments"
    assert made.target is not None
    assert probability < 0.9
    assert made.recommendation.kind == "escalate"
    assert "not enough for a machine" in made.recommendation.reason
    bold = TriageSettings.model_validate({"recommendation": {"rollback_probability": 0.5}})
    assert (verdict(quiet(deployments=(rollout((290, 100)),)), bold).recommendation.kind == "rollback") == (
        probability >= 0.5
    )


def test_an_action_has_one_key_per_incident_and_target():
    """Another revision asks for the same thing with the same key; another incident or target with another."""
    key = verdict(bad_deployment()).recommendation.idempotency_key
    later = Occasion("inc_1", 3, "updated", ms(TICK), ms(ONSET))
    assert verdict(bad_deployment(), occasion=later).recommendation.idempotency_key == key
    elsewhere = Occasion("inc_2", 0, "firing", ms(TICK), ms(ONSET))
    assert verdict(bad_deployment(), occasion=elsewhere).recommendation.idempotency_key != key
    other = replace(bad_deployment(), deployments=(rollout((3, 100), version="v3"),))
    assert verdict(other).recommendation.idempotency_key != key


def test_a_resolved_verdict_leaves_nothing_to_act_on():
    """The answer stays for the record; the recommendation is none and its time is over."""
    made = verdict(bad_deployment())
    over = resolved(made, Occasion("inc_1", 1, "resolved", ms(TICK), ms(ONSET)))
    assert (over.status, over.triage_result, over.severity) == ("resolved", "recent_deployments", "critical")
    assert over.recommendation.kind == "none"
    assert over.recommendation.not_after == over.decided_at
    assert over.verdict_id != made.verdict_id


def test_links_are_filled_in_and_quoted():
    """Names from telemetry cannot break out of a URL, and braces of the template's own survive."""
    settings = TriageSettings.model_validate(
        {
            "links": {
                "dashboard": "https://watch.example/i/{incident_id}?q={unknown}",
                "runbook": "https://runbooks.example/{check}",
                "trace": "https://traces.example/{trace_id}",
            }
        }
    )
    case = injected()
    evil = agent(denied=80, before=100)
    evil = replace(evil, exemplars=(evil.exemplars[0].model_copy(update={"trace_id": "a/b?c=d"}),))
    made = verdict(replace(case, denials=(evil,)), settings)
    assert [link.href for link in made.links] == [
        "https://watch.example/i/inc_1?q={unknown}",
        "https://runbooks.example/authorization_denials",
        "https://traces.example/a%2Fb%3Fc%3Dd",
        "https://traces.example/t1",
    ]
    assert verdict(case).links == ()


def test_tags_and_trigger_are_passed_on():
    """The verdict carries the case's tags and the firing's numbers."""
    made = verdict(quiet())
    assert made.tags == {"cost-center": "cc-7"}
    assert made.trigger.ratio_30m == 3.34
    assert made.trigger.firing_id == quiet().firing.firing_id


def test_a_full_ramp_proven_worse_is_rolled_back_too():
    """Proof beats procedure, also for a machine."""
    case = replace(bad_deployment(), deployments=(full_ramp(10),), versions=by_version((75, 300), (12, 300)))
    assert verdict(case).recommendation.kind == "rollback"


def test_likely_legitimate_traffic_lowers_the_severity():
    """Without scores, a probability that the settings accept is explanation enough; one below it is not."""
    case = quiet(scores=None)
    probability = {item.cause: item.probability for item in verdict(case).causes}["legitimate_traffic"]
    assert 0.5 < probability < 0.95

    def severity(threshold: float) -> str:
        settings = TriageSettings.model_validate({"recommendation": {"benign_probability": threshold}})
        return verdict(case, settings).severity

    assert (severity(probability - 0.01), severity(probability + 0.01)) == ("warning", "critical")


def test_rollbacks_are_recommended_for_bad_deployments_and_hardly_ever_otherwise():
    """On labelled cases: 98 % of the rollbacks are right; a third of the bad deployments is clear enough."""
    settings = TriageSettings()
    checks = build(settings, third_party=())
    rolled, bad = [], 0
    for item in labelled_cases(1_200, 99):
        made = build_verdict(OCCASION, assess(checks, item.case), settings, ENGINE)
        bad += item.cause == "deployment"
        if made.recommendation.kind == "rollback":
            rolled.append(item.cause == "deployment")
            assert made.target is not None
    assert sum(rolled) >= 0.98 * len(rolled)
    assert len(rolled) >= bad / 3
