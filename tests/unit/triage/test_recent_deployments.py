"""The runbook's fourth question, told in cases."""

from __future__ import annotations

import pytest

from tests.unit.triage.stories import (
    FLOW,
    at,
    bad_deployment,
    by_version,
    firing,
    full_ramp,
    ms,
    quiet,
    rollout,
)
from triage.case import DeploymentHistory, Rate, VersionOutcome
from triage.checks.recent_deployments import RecentDeploymentsCheck, RecentDeploymentsSettings

CHECK = RecentDeploymentsCheck()


def reading(*histories: DeploymentHistory, **changes):
    finding = CHECK.check(quiet(deployments=histories, **changes))
    return finding.evidence["reading"], finding.severity


def test_all_traffic_at_once_before_the_onset_is_critical_and_names_the_target():
    """The most likely single cause, with exactly what to roll back."""
    finding = CHECK.check(bad_deployment())
    assert finding.severity == "critical"
    assert "(v1 -> v2) at 2026-03-03T02:07Z, 3 min before the onset, went to 100 % of the traffic at once" in (
        finding.summary
    )
    assert finding.evidence["target"] == {
        "kind": "argo_rollout",
        "ref": {"namespace": "agents", "name": "refund-flow"},
        "component": FLOW,
        "change": "flow",
        "from_version": "v2",
        "to_version": "v1",
        "canary_percent": 100.0,
        "deployed_at": "2026-03-03T02:07:00.000Z",
        "deployment_event_id": "dep-v2-0",
    }


@pytest.mark.parametrize(
    ("steps", "lacks"),
    [
        (((40, 10), (30, 25)), "part of the way through its canary ramp, at 25 %"),
        (((40, 100),), "at once"),
        (((60, 10), (20, 100)), "skipped steps of its canary ramp (10 % -> 100 %"),
        (((30, 10), (28, 50), (26, 100)), "took all traffic within 4 min"),
    ],
)
def test_every_way_to_fall_short_of_the_ramp_is_said(steps, lacks):
    """Stopped on the way, at once, steps skipped, in a hurry."""
    finding = CHECK.check(quiet(deployments=(rollout(*steps),)))
    assert finding.severity == "critical"
    assert lacks in finding.summary


def test_declared_complete_short_of_all_traffic_is_short():
    """`completed` at 25 % is no full ramp."""
    events = rollout((40, 10), (30, 25)).events
    declared = DeploymentHistory.of([events[0], events[1].model_copy(update={"phase": "completed"})])
    assert declared is not None
    finding = CHECK.check(quiet(deployments=(declared,)))
    assert "declared complete at 25 %" in finding.summary


def test_a_full_ramp_is_not_blamed():
    """5, 25, 50, 100 over three quarters of an hour is how it should be done."""
    assert reading(full_ramp(10)) == ("ramped", "info")


def test_a_house_may_prescribe_the_steps():
    """With prescribed shares, a ramp that misses one is short."""
    strict = RecentDeploymentsCheck(RecentDeploymentsSettings(ramp_percents=[1, 5, 25, 50]))
    finding = strict.check(quiet(deployments=(full_ramp(10),)))
    assert "skipped the step of 1 %" in finding.summary


def test_a_full_ramp_that_is_proven_worse_is_critical():
    """The canary went well, the outcome by version says otherwise: proof beats procedure."""
    finding = CHECK.check(quiet(deployments=(full_ramp(10),), versions=by_version((75, 300), (12, 300))))
    assert (finding.evidence["reading"], finding.severity) == ("worse", "critical")
    assert "25.0 % of 300 interactions of the new version escalate against 4.0 % of 300" in finding.summary
    assert finding.evidence["target"]["from_version"] == "v2"


def test_short_of_its_ramp_but_innocent_by_outcome():
    """The new version escalates no more than the old in the same period: cleared."""
    outcome = by_version((41, 300), (41, 300))
    finding = CHECK.check(quiet(deployments=(rollout((20, 50)),), versions=outcome))
    assert (finding.evidence["reading"], finding.severity) == ("cleared", "info")
    assert "innocent by outcome" in finding.summary


def test_the_new_version_is_held_against_the_one_that_it_replaces():
    """A third version that has always escalated more does not hide that the new one is worse than its predecessor."""
    noisy = VersionOutcome(FLOW, "v0", Rate(900, 1_000, 20), Rate(9_000, 10_000, 1440))
    outcome = (*by_version((75, 300), (12, 300)), noisy)
    assert reading(full_ramp(10), versions=outcome) == ("worse", "critical")


def test_a_little_worse_over_very_many_is_no_proof():
    """Cohorts differ by a fifth without news, however many there are."""
    outcome = by_version((4_800, 100_000), (4_000, 100_000))
    assert reading(full_ramp(10), versions=outcome) == ("ramped", "info")


def test_few_interactions_do_not_clear_a_suspect():
    """Ten interactions of either version prove nothing, so the suspicion stands."""
    assert reading(rollout((20, 50)), versions=by_version((1, 10), (1, 10))) == ("short", "critical")


def test_escalations_do_not_clear_a_change_of_what_they_do_not_measure():
    """A version that escalates no more may still burn the budget."""
    case = {"firing": firing("burn_rate"), "versions": by_version((41, 300), (41, 300))}
    assert reading(rollout((20, 50)), **case) == ("short", "critical")


def test_a_change_after_the_onset_is_not_blamed():
    """It cannot have caused what had begun before it."""
    assert reading(rollout((-12, 100))) == ("after_onset", "none")


def test_the_onset_estimate_may_be_a_little_early():
    """Three minutes after the estimated onset is within its error; the evidence says that it came after."""
    finding = CHECK.check(quiet(deployments=(rollout((-3, 100)),)))
    assert finding.severity == "critical"
    assert finding.evidence["precedes_onset"] is False


def test_an_old_change_is_not_blamed():
    """Seven hours before the onset lies outside the look-back of six."""
    assert reading(rollout((420, 100))) == ("none", "none")
    longer = RecentDeploymentsCheck(RecentDeploymentsSettings(lookback_hours=8))
    assert longer.check(quiet(deployments=(rollout((420, 100)),))).severity == "critical"


def test_a_long_canary_whose_last_step_is_recent_is_looked_at():
    """It began a day ago; half of the traffic came ten minutes before the onset."""
    assert reading(rollout((1500, 5), (10, 50))) == ("short", "critical")


def test_rolled_back_before_the_onset_is_not_blamed():
    """It had no traffic left."""
    assert reading(rollout((60, 100), (30, -1))) == ("not_blamed", "none")


def test_rolled_back_after_the_onset_is_blamed_but_is_no_target():
    """It did it, and there is nothing left to roll back."""
    finding = CHECK.check(quiet(deployments=(rollout((3, 100), (-10, -1)),)))
    assert finding.severity == "critical"
    assert finding.evidence["target"] is None
    assert "was rolled back 10 min ago" in finding.summary


def test_a_rollback_that_is_undone_is_blamed_again():
    """Rolled back, and back in traffic before the onset: the new ramp counts."""
    finding = CHECK.check(quiet(deployments=(rollout((90, 100), (60, -1), (5, 100)),)))
    assert finding.severity == "critical"
    assert finding.evidence["minutes_before_onset"] == 5


def test_a_return_to_the_earlier_version_is_not_blamed():
    """v1 at once on top of v2 is a rollback in other words; v2 is gone."""
    back = rollout((20, 100), version="v1", previous="v2")
    assert reading(rollout((200, 100)), back) == ("not_blamed", "none")


def test_a_version_that_was_replaced_is_not_blamed():
    """v3 went through its ramp and took over from v2 before the onset."""
    later = full_ramp(10, version="v3", previous="v2")
    assert reading(rollout((200, 100)), later) == ("ramped", "info")


def test_a_change_of_another_flow_does_not_decide():
    """The claims flow has traffic of its own; the trigger is about refunds."""
    other = VersionOutcome("claims-flow", "v2", Rate(10, 300, 20), Rate(0, 0, 0))
    assert reading(rollout((20, 100), component="claims-flow"), versions=(other,)) == ("other_flow", "info")


def test_the_worst_of_several_changes_speaks():
    """A proven one before a suspected one, and all are listed."""
    histories = (rollout((5, 100), version="v9", component="triage-agent", change="prompt"), full_ramp(10))
    finding = CHECK.check(quiet(deployments=histories, versions=by_version((75, 300), (12, 300))))
    assert finding.evidence["version"] == "v2"
    assert [item["judged"] for item in finding.evidence["changes"]] == ["worse", "short"]


def test_no_changes_and_no_source():
    """Nothing changed is an answer; no deployment telemetry is not."""
    assert reading() == ("none", "none")
    assert CHECK.check(quiet(deployments=None)).status == "no_data"


def test_history_is_derived_from_its_events():
    """First traffic, full traffic and a rollback follow from the events in any order."""
    events = list(rollout((40, 10), (20, 100), (-5, -1)).events)
    history = DeploymentHistory.of(reversed(events))
    assert history is not None
    assert (history.first_ms, history.full_ms) == (ms(at(40)), ms(at(20)))
    assert history.rolled_back
    assert history.canary_percents == (10.0, 100.0, 0.0)
    idle = events[0].model_copy(update={"canary_percent": 0.0})
    assert DeploymentHistory.of([idle]) is None
