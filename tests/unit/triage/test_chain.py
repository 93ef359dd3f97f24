"""The chain: the runbook's order, the stop, the annotations behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint

import pytest

from schemas.outputs import Finding
from schemas.words import CHECK_ORDER
from tests.unit.triage.stories import bad_deployment, injected, judgement, outage, quiet
from triage.case import Case
from triage.chain import run_chain
from triage.checks.base import Check, evaluated, no_data
from triage.registry import build
from triage.settings import TriageSettings

CHECKS = build(TriageSettings(), third_party=())


@dataclass(frozen=True)
class Broken:
    """A check with a bug."""

    name: str = "eval_score_trend"

    def check(self, case: Case) -> Finding:
        raise KeyError(f"no flow in {case.onset_ms}")


@dataclass(frozen=True)
class Constant:
    """A check that always says the same."""

    name: str
    severity: str

    def check(self, case: Case) -> Finding:
        return evaluated(self.name, self.severity, "Always.", {"reading": "constant"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("case", "result"),
    [
        (injected(), "authorization_denials"),
        (outage("closed"), "circuit_breaker_state"),
        (judgement(), "eval_score_trend"),
        (bad_deployment(), "recent_deployments"),
    ],
    ids=["injection", "breaker", "judgement", "deployment"],
)
def test_the_first_critical_decides(case, result):
    """Each row of the runbook gives its own result, and asks for action at once."""
    answer = run_chain(CHECKS, case)
    assert answer.triage_result == result
    assert answer.action == "immediate_rollback_or_escalation"
    assert answer.probable_cause is not None
    assert answer.probable_cause.check == result


def test_checks_run_in_the_runbooks_order_and_all_of_them():
    """Four findings, always, in the same order; those behind the stop are marked."""
    answer = run_chain(CHECKS, outage("closed"))
    assert [finding.check for finding in answer.findings] == list(CHECK_ORDER)
    assert [finding.after_stop for finding in answer.findings] == [False, False, True, True]


def test_a_concurrent_cause_is_not_hidden():
    """An injection beside a bad deployment: the graver decides, the other is there as an annotation."""
    both = replace(bad_deployment(), denials=injected().denials)
    answer = run_chain(CHECKS, both)
    assert answer.triage_result == "authorization_denials"
    last = answer.findings[-1]
    assert (last.check, last.severity, last.after_stop) == ("recent_deployments", "critical", True)


def test_without_a_critical_finding_it_is_inconclusive_with_the_best_explanation():
    """Stable scores: a human looks, told of the riskier cohort."""
    answer = run_chain(CHECKS, quiet())
    assert (answer.triage_result, answer.action) == ("inconclusive", "manual_investigation")
    assert answer.decided is None
    assert answer.probable_cause is not None
    assert answer.probable_cause.check == "eval_score_trend"


def test_a_breaker_as_designed_explains_better_than_stable_scores():
    """The outage with its breaker open is inconclusive, and the breaker is the probable cause."""
    answer = run_chain(CHECKS, outage("open"))
    assert answer.triage_result == "inconclusive"
    assert answer.probable_cause is not None
    assert answer.probable_cause.check == "circuit_breaker_state"


def test_no_data_at_all_is_inconclusive_without_a_cause():
    """Four times no data stops nothing and explains nothing."""
    blind = quiet(denials=None, dependencies=None, scores=None, deployments=None)
    answer = run_chain(CHECKS, blind)
    assert {finding.status for finding in answer.findings} == {"no_data"}
    assert answer.triage_result == "inconclusive"
    assert answer.probable_cause is None


def test_a_check_that_fails_is_said_and_stops_nothing():
    """The exception is in the finding, bounded, and the chain goes on to the deployment."""
    checks: list[Check] = [*CHECKS[:2], Broken(), CHECKS[3]]  # type: ignore[list-item]
    answer = run_chain(checks, bad_deployment())
    assert answer.findings[2].status == "error"
    assert "KeyError" in answer.findings[2].summary
    assert answer.triage_result == "recent_deployments"


def test_the_guard_runs_every_check():
    """The edge's guard stands between the chain and each check, and may answer in its place."""
    seen: list[str] = []

    def guard(check: Check, case: Case) -> Finding:
        seen.append(check.name)
        return no_data(check.name, "Out of time.")

    answer = run_chain(CHECKS, injected(), guard)
    assert seen == list(CHECK_ORDER)
    assert answer.triage_result == "inconclusive"


def test_a_critical_no_data_does_not_decide():
    """Only what was evaluated decides, whatever a careless check says."""
    careless = no_data("authorization_denials", "?").model_copy(update={"severity": "critical"})
    answer = run_chain(CHECKS, quiet(), lambda check, case: careless)
    assert answer.triage_result == "inconclusive"


@pytest.mark.parametrize(
    ("point", "error"),
    [
        (EntryPoint("x", "builtins:dict", "midwatch.checks"), TypeError),
        (EntryPoint("x", "tests.unit.triage.test_chain:taken", "midwatch.checks"), ValueError),
    ],
    ids=["no check", "taken name"],
)
def test_a_third_partys_check_must_be_one(point, error):
    """An entry point that makes no check, or takes a name that is taken, is refused with its own name."""
    with pytest.raises(error, match=r"entry point x = "):
        build(TriageSettings(), third_party=[point])


def taken() -> Constant:
    return Constant("recent_deployments", "info")
