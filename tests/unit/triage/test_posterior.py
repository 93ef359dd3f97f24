"""The probability of each cause: arithmetic, data, and the quality that it promises."""

from __future__ import annotations

import json
import math

import pytest

from scenarios.cases import PRIORS, labelled_cases
from scenarios.learn_likelihoods import drawn, measure
from schemas.words import CAUSES
from tests.unit.triage.stories import bad_deployment, injected, judgement, outage, quiet, rollout
from triage.case import Rate
from triage.chain import run_chain
from triage.evidence import FEATURES, observe
from triage.posterior import Likelihoods, learn, learned, posterior, rank
from triage.registry import build
from triage.settings import TriageSettings

CHECKS = build(TriageSettings(), third_party=())
HELD_OUT_SEED = 20_260_303
"""Neither learned nor tempered on."""


@pytest.fixture(scope="module")
def quality():
    return measure(learned(), drawn(3_000, HELD_OUT_SEED))


def test_the_right_cause_is_named(quality):
    """At least 90 % of held-out labelled cases get their own cause, far more than by the runbook's order alone."""
    assert quality.right >= 0.90
    assert quality.right > quality.runbook_right + 0.1


def test_when_it_is_sure_it_is_right(quality):
    """Where a cause has at least 90 %, it is right in 98 %, and that covers at least 70 % of the cases."""
    assert quality.right_when_sure >= 0.98
    assert quality.sure >= 0.70


def test_probabilities_mean_what_they_say(quality):
    """The expected calibration error is at most .03."""
    assert quality.calibration_error <= 0.03


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        (injected(), "authorization_scope"),
        (outage("open"), "dependency"),
        (outage("closed"), "dependency"),
        (judgement(), "judgement"),
        (bad_deployment(), "deployment"),
        (quiet(), "legitimate_traffic"),
    ],
    ids=["injection", "breaker open", "breaker closed", "judgement", "deployment", "riskier cohort"],
)
def test_each_story_has_its_cause(case, cause):
    """The runbook's stories are told apart with at least nine in ten."""
    probabilities = posterior(observe(case, run_chain(CHECKS, case).findings), learned())
    assert rank(probabilities)[0].cause == cause
    assert probabilities[cause] >= 0.9
    assert math.fsum(probabilities.values()) == pytest.approx(1.0)


def test_a_canary_cannot_do_more_than_its_share():
    """At 5 % of the traffic it cannot have made a third of everything escalate; at 50 % it can."""
    seen = {}
    for share in (5, 50):
        case = quiet(deployments=(rollout((3, share)),), interactions=Rate(200, 600, 20), versions=())
        seen[share] = observe(case, run_chain(CHECKS, case).findings)["changes"]
    assert seen == {5: "short_too_small", 50: "short_at_onset"}


def test_no_evidence_leaves_the_priors():
    """Without any bin, and with bins that the table does not know, the priors stand."""
    table = learned()
    priors = dict(zip(CAUSES, table.priors, strict=True))
    assert posterior({}, table) == pytest.approx(priors)
    assert posterior({"denials": "never heard of"}, table) == pytest.approx(priors)


def test_posterior_is_bayes_rule():
    """Two features, by hand."""
    uniform = 1 / len(CAUSES)
    table = Likelihoods(
        priors=(uniform,) * len(CAUSES),
        temper=1.0,
        table={
            "denials": {"spike": (0.6, 0.1, 0.1, 0.1, 0.05, 0.05)},
            "volume": {"usual": (0.5, 0.5, 0.25, 0.5, 0.5, 0.5)},
        },
    )
    found = posterior({"denials": "spike", "volume": "usual"}, table)
    products = [0.3, 0.05, 0.025, 0.05, 0.025, 0.025]
    assert list(found.values()) == pytest.approx([value / math.fsum(products) for value in products])


def test_learning_smooths_what_was_never_seen():
    """A bin that one cause never showed has a small likelihood under it, not none."""
    table = learn([({"denials": "spike"}, "authorization_scope"), ({"denials": "usual"}, "dependency")])
    assert table.table["denials"]["spike"][CAUSES.index("dependency")] == pytest.approx(1 / 3, abs=1e-6)
    assert math.fsum(table.priors) == pytest.approx(1.0, abs=1e-5)


def test_the_table_round_trips_and_refuses_other_causes():
    """Stored and read again it is the same; a table about other causes is an error that says what to do."""
    table = learned()
    stored = json.loads(json.dumps(table.to_json()))
    assert Likelihoods.from_json(stored) == table
    with pytest.raises(ValueError, match="learn them anew"):
        Likelihoods.from_json({**stored, "causes": ["gremlins"]})


def test_the_table_covers_every_feature_with_distributions():
    """Each feature's bins sum to one under every cause."""
    for feature in FEATURES:
        for index in range(len(CAUSES)):
            total = math.fsum(values[index] for values in learned().table[feature].values())
            assert total == pytest.approx(1.0, abs=1e-3)


def test_labelled_cases_follow_their_seed_and_their_shares():
    """The same seed gives the same cases, another one others; every cause comes about as often as stated."""
    first = [(item.cause, repr(item.case)) for item in labelled_cases(300, 5)]
    assert first == [(item.cause, repr(item.case)) for item in labelled_cases(300, 5)]
    assert first != [(item.cause, repr(item.case)) for item in labelled_cases(300, 6)]
    for cause, share in PRIORS.items():
        assert sum(1 for found, _ in first if found == cause) / 300 == pytest.approx(share, abs=0.08)


def test_ranking_is_by_probability_and_rounded():
    """Most probable first, four decimals, ties in the order of the causes."""
    ranked = rank(dict(zip(CAUSES, (0.1, 0.1, 0.5, 0.1, 0.1, 0.1), strict=True)))
    assert ranked[0].cause == "judgement"
    assert [item.cause for item in ranked[1:]] == [cause for cause in CAUSES if cause != "judgement"]
