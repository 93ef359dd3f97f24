"""The judge of the demonstration: right verdicts pass, and each way of being wrong is said."""

from collections.abc import Callable

import pytest

from scenarios.demo_judge import Judgement, judge
from scenarios.fleet_model import MINUTE_MS
from scenarios.incidents import Incident, incidents
from schemas.outputs import Firing, ProbableCause, RankedCause, Verdict
from tests.unit.scenarios.verdict_samples import at, firing, right, scope, story, trigger

LIVE = 1_772_611_200_000
LABELLED = incidents(LIVE)
BY_NAME = {incident.name: incident for incident in LABELLED}
LOUD = [incident for incident in LABELLED if incident.expected is not None]
BAD_DEPLOYMENT = BY_NAME["bad deployment"]


def judged(verdicts: list[Verdict], firings: list[Firing], name: str) -> Judgement:
    return next(one for one in judge(LABELLED, verdicts, firings) if one.incident and one.incident.name == name)


def problems(name: str, verdicts: list[Verdict], firings: list[Firing] | None = None) -> str:
    return "; ".join(judged(verdicts, [firing(BY_NAME[name])] if firings is None else firings, name).problems)


def test_right_answers_are_right() -> None:
    """Where every incident is told as labelled, and nothing else is said, there is no problem at all."""
    verdicts = [verdict for incident in LOUD for verdict in story(incident)]
    judgements = judge(LABELLED, verdicts, map(firing, LOUD))
    assert [one.problems for one in judgements] == [()] * len(LABELLED)
    assert [one.detected_minutes for one in judgements if one.found] == [10.0] * len(LOUD)


def test_repeats_and_order_do_not_matter() -> None:
    """A verdict that comes twice, or late, is the same verdict."""
    verdicts = [verdict for incident in LOUD for verdict in story(incident)]
    judgements = judge(LABELLED, [*reversed(verdicts), *verdicts], map(firing, LOUD))
    assert [one.problems for one in judgements] == [()] * len(LABELLED)


@pytest.mark.parametrize("incident", LOUD, ids=lambda incident: incident.name)
def test_silence_is_wrong_where_something_happened(incident: Incident) -> None:
    """An incident without a verdict is a problem of that incident."""
    assert problems(incident.name, [], []) == "no verdict"


@pytest.mark.parametrize("name", ["legitimate surge", "careful rollout"])
def test_a_verdict_is_wrong_where_nothing_may_be_said(name: str) -> None:
    """A surge or a careful rollout that fires, as a verdict or only as a firing, is a problem."""
    quiet = BY_NAME[name]
    there = scope(BAD_DEPLOYMENT, system=quiet.system)
    assert "fired" in problems(name, [right(BAD_DEPLOYMENT, scope=there)], [])
    assert "escalation_rate claimed" in problems(name, [], [firing(BAD_DEPLOYMENT, scope=there)])


def test_an_incident_elsewhere_is_unexpected() -> None:
    """A verdict about a system that has no label gets a row, and a problem, of its own."""
    stray = right(BAD_DEPLOYMENT, scope=scope(BAD_DEPLOYMENT, system="elsewhere"))
    assert judge(LABELLED, [stray], [])[-1].problems == ("nobody expected this incident",)


WRONG: list[tuple[str, Callable[[], list[Verdict]], str]] = [
    ("bad deployment", lambda: story(BAD_DEPLOYMENT)[:1], "not resolved"),
    ("bad deployment", lambda: story(BAD_DEPLOYMENT, triage_result="eval_score_trend"), "blames eval_score_trend"),
    ("bad deployment", lambda: story(BAD_DEPLOYMENT, triage_result="inconclusive"), "triage_result: inconclusive"),
    ("bad deployment", lambda: story(BAD_DEPLOYMENT, action="manual_investigation"), "action: manual_investigation"),
    ("bad deployment", lambda: story(BAD_DEPLOYMENT, target=None), "target: None"),
    ("bad deployment", lambda: story(BAD_DEPLOYMENT, severity="warning"), "pages: False"),
    ("bad deployment", lambda: story(BAD_DEPLOYMENT, scope=scope(BAD_DEPLOYMENT, flow="other")), "flow: other"),
    (
        "bad deployment",
        lambda: story(BAD_DEPLOYMENT, causes=(RankedCause(cause="judgement", probability=0.9),)),
        "first cause: judgement",
    ),
    (
        "bad deployment",
        lambda: story(BAD_DEPLOYMENT, trigger=trigger(BY_NAME["prompt injection"])),
        "detector: authorization_denials",
    ),
    (
        "bad deployment",
        lambda: story(BAD_DEPLOYMENT, decided_at=at(BAD_DEPLOYMENT.start_ms - MINUTE_MS)),
        "fired before its cause",
    ),
    (
        "bad deployment",
        lambda: story(BAD_DEPLOYMENT, onset_at=at(BAD_DEPLOYMENT.start_ms - 30 * MINUTE_MS)),
        "onset at",
    ),
    (
        "bad deployment",
        lambda: [
            right(BAD_DEPLOYMENT),
            right(BAD_DEPLOYMENT, "resolved", 1, decided_at=at(BAD_DEPLOYMENT.start_ms + 20 * MINUTE_MS)),
        ],
        "resolved before its cause ended",
    ),
    (
        "bad deployment",
        lambda: [right(BAD_DEPLOYMENT), right(BAD_DEPLOYMENT, "resolved", 2)],
        "revisions 0, 2",
    ),
    (
        "bad deployment",
        lambda: [*story(BAD_DEPLOYMENT), right(BAD_DEPLOYMENT, incident_id="inc-again")],
        "2 incidents instead of one",
    ),
    (
        "riskier cohort",
        lambda: story(
            BY_NAME["riskier cohort"],
            recommendation=right(BAD_DEPLOYMENT).recommendation,
        ),
        "recommends a rollback",
    ),
    ("riskier cohort", lambda: story(BY_NAME["riskier cohort"], severity="critical"), "is critical"),
    (
        "outage, breaker open",
        lambda: story(
            BY_NAME["outage, breaker open"],
            probable_cause=ProbableCause(check="eval_score_trend", summary="stable"),
        ),
        "probable cause: eval_score_trend",
    ),
]


@pytest.mark.parametrize(("name", "verdicts", "said"), WRONG, ids=[said for _, _, said in WRONG])
def test_each_way_of_being_wrong_is_said(name: str, verdicts: Callable[[], list[Verdict]], said: str) -> None:
    """One thing wrong in an otherwise right story makes a problem that names it."""
    assert said in problems(name, verdicts())


def test_an_early_answer_short_of_evidence_may_be_inconclusive() -> None:
    """Midwatch may be inconclusive at first, as long as the answer that stands is right."""
    early = right(BAD_DEPLOYMENT, triage_result="inconclusive", severity="warning", target=None)
    later = [right(BAD_DEPLOYMENT, "updated", 1), right(BAD_DEPLOYMENT, "resolved", 2)]
    assert problems("bad deployment", [early, *later]) == ""


def test_the_right_detector_must_have_claimed_it() -> None:
    """A denial spike that only the escalation rate notices is not what was expected, nor is a foreign detector."""
    injection = BY_NAME["prompt injection"]
    only = [firing(injection, detector="escalation_rate")]
    assert "authorization_denials claimed nothing" in problems("prompt injection", story(injection), only)
    foreign = [firing(injection), firing(injection, detector="silence")]
    assert "silence claimed something" in problems("prompt injection", story(injection), foreign)
