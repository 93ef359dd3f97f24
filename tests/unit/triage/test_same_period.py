"""Versions are compared in the minutes that they shared; machines act where that, or a full switch, speaks."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.triage.stories import FLOW, TICK, bad_deployment, ms, quiet, rollout
from triage.case import Case, Rate, VersionOutcome
from triage.chain import run_chain
from triage.checks.recent_deployments import RecentDeploymentsCheck
from triage.recommendation import advise
from triage.registry import build
from triage.settings import TriageSettings

SETTINGS = TriageSettings()
CHECKS = build(SETTINGS, third_party=())
SURE = {
    "authorization_scope": 0.0, "dependency": 0.0, "judgement": 0.0,
    "deployment": 0.97, "legitimate_traffic": 0.02, "unknown": 0.01,
}  # fmt: skip
BEFORE = Rate(1_200, 30_000, 1440)


def outcomes(new: Rate, old: Rate, new_shared: Rate | None, old_shared: Rate | None) -> tuple[VersionOutcome, ...]:
    return (
        VersionOutcome(FLOW, "v1", old, BEFORE, old_shared),
        VersionOutcome(FLOW, "v2", new, Rate(0, 0, 0), new_shared),
    )


def recommended(case: Case) -> str:
    return advise("inc", case, run_chain(CHECKS, case), SURE, SETTINGS.recommendation).recommendation.kind  # type: ignore[arg-type]


def test_a_switch_at_the_minute_of_the_rise_is_no_proof():
    """The old version served before the rise and the new one behind it: in the minutes that both served they agree."""
    alone = outcomes(Rate(120, 400, 14), Rate(12, 200, 6), None, None)
    shared = outcomes(Rate(120, 400, 14), Rate(12, 200, 6), Rate(12, 40, 2), Rate(11, 40, 2))
    found = [
        RecentDeploymentsCheck().check(quiet(deployments=(rollout((3, 100)),), versions=versions)).evidence["outcome"]
        for versions in (alone, shared)
    ]
    assert found == ["worse", "unclear"]


def test_a_change_within_the_plausible_onset_is_suspected():
    """Nine minutes behind the best estimate it is cleared, unless the onset may as well have been later than that."""
    late = quiet(deployments=(rollout((-9, 100)),), versions=())
    check = RecentDeploymentsCheck()
    assert check.check(late).evidence["reading"] == "after_onset"
    assert check.check(replace(late, onset_latest_ms=late.onset_ms + 10 * 60_000)).evidence["reading"] == "short"


def test_a_full_switch_right_before_the_onset_is_rolled_back():
    """No old version is left to compare with, and the rate began right behind: that is enough with nine in ten."""
    assert recommended(bad_deployment()) == "rollback"


def test_a_canary_is_judged_by_its_outcome():
    """A canary's versions can be compared, so without that proof no machine acts, however probable the cause."""
    canary = quiet(deployments=(rollout((5, 30)),))
    few = outcomes(Rate(5, 12, 20), Rate(30, 40, 20), Rate(5, 12, 12), Rate(30, 40, 12))
    worse = outcomes(Rate(90, 150, 20), Rate(14, 350, 20), Rate(90, 150, 20), Rate(14, 350, 20))
    assert recommended(replace(canary, versions=few)) == "escalate"
    assert recommended(replace(canary, versions=worse)) == "rollback"


def test_a_change_long_before_the_onset_needs_its_outcome():
    """Half an hour of calm lies between the switch and the rise: a person decides."""
    case = replace(bad_deployment(), deployments=(rollout((30, 100)),))
    assert recommended(case) == "escalate"
    assert case.tick_ms == ms(TICK)


def test_a_ramp_that_was_completed_behind_the_onset_had_not_been_completed():
    """Its last step lies within the grace: the harm began before, so the ramp did not shield from it."""
    hasty = quiet(deployments=(rollout((14, 10), (9, 50), (-4, 100)),), versions=())
    finding = RecentDeploymentsCheck().check(hasty)
    assert finding.evidence["reading"] == "short"
    assert finding.evidence["canary_percents"] == [10.0, 50.0]
