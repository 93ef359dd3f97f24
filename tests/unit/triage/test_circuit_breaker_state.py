"""The runbook's second question, told in cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.triage.stories import at, dependency, outage, quiet
from triage.case import Rate
from triage.checks.circuit_breaker_state import CircuitBreakerStateCheck

CHECK = CircuitBreakerStateCheck()


@pytest.mark.parametrize("state", ["open", "forced_open", "half_open"])
def test_open_and_routing_works_as_designed(state):
    """A degraded dependency with its breaker engaged explains the escalations."""
    finding = CHECK.check(outage(state))
    assert (finding.severity, finding.evidence["reading"]) == ("info", "engaged")
    assert "Working as designed" in finding.summary
    assert "70 of 82 escalations name an unavailable dependency" in finding.summary


@pytest.mark.parametrize("state", ["closed", "disabled", "metrics_only"])
def test_degraded_and_not_open_is_critical(state):
    """Time-outs and errors with a breaker that is not open: it failed to engage, and the state is said."""
    finding = CHECK.check(outage(state))
    assert finding.severity == "critical"
    assert f"no breaker is open ({state})" in finding.summary
    assert "250 of 500 (50.0 %) calls fail" in finding.summary
    assert finding.evidence["dependency"] == "fraud-check-api"


def test_degraded_without_any_breaker_is_critical_and_says_so():
    """Where no breaker is known the finding says that, rather than that it is closed."""
    finding = CHECK.check(outage(None))
    assert finding.severity == "critical"
    assert "no breaker is known" in finding.summary


def test_healthy_is_none():
    """A dependency that fails as it always does is no finding."""
    assert CHECK.check(quiet()).evidence["reading"] == "healthy"


def test_a_breaker_that_did_its_work_and_closed_again_is_not_blamed():
    """After the recovery the breaker is closed, while the failures since the onset still show: it did engage."""
    healed = dependency(failed=250, before=200, state="closed", changed=at(-15), changes=2)
    finding = CHECK.check(quiet(dependencies=(healed,)))
    assert (finding.severity, finding.evidence["reading"]) == ("info", "engaged")
    assert "has closed again" in finding.summary


def test_a_breaker_that_spared_its_dependency_and_closed_again_still_explains():
    """It opened so soon that few calls failed; the routed escalations show what it did, also after it closed."""
    spared = dependency(failed=3, before=200, state="closed", changed=at(-15), changes=2)
    assert CHECK.check(replace(outage(), dependencies=(spared,))).evidence["reading"] == "engaged"
    assert CHECK.check(quiet(dependencies=(spared,))).evidence["reading"] == "healthy"


def test_a_flapping_breaker_is_a_warning():
    """Openings again and again are a warning, whichever way they were counted."""
    counted = dependency(failed=6, before=500, state="closed", changed=at(5), changes=8, openings=4)
    assert CHECK.check(quiet(dependencies=(counted,))).evidence["reading"] == "flapping"
    uncounted = dependency(failed=6, before=500, state="closed", changed=at(5), changes=12)
    assert CHECK.check(quiet(dependencies=(uncounted,))).severity == "warning"


def test_probing_a_long_outage_is_no_flapping():
    """open, half_open, open, half_open is how a breaker waits: one opening, many changes."""
    probing = dependency(failed=250, before=200, state="open", changed=at(-19), changes=30, openings=1)
    assert CHECK.check(replace(outage(), dependencies=(probing,))).evidence["reading"] == "engaged"


def test_a_breaker_that_has_been_open_for_days_explains_nothing_new():
    """Open since yesterday, and no more escalations routed than before: not the explanation."""
    old = dependency(failed=6, before=500, state="open", changed=at(2000))
    finding = CHECK.check(quiet(dependencies=(old,)))
    assert (finding.severity, finding.evidence["reading"]) == ("info", "open_before")


def test_open_but_nothing_routed_is_a_warning():
    """The breaker opened at the onset, yet the escalations give other reasons."""
    fresh = dependency(failed=6, before=500, state="open", changed=at(-1))
    finding = CHECK.check(quiet(dependencies=(fresh,)))
    assert (finding.severity, finding.evidence["reading"]) == ("warning", "open_not_routing")


def test_engaged_on_one_instance_of_four_is_a_warning():
    """Most instances still call what is down."""
    broken = dependency(failed=250, before=200, state="closed")
    opened = dependency(failed=250, before=200, state="open", changed=at(-2))
    instances = (*opened.breakers, *broken.breakers * 3)
    finding = CHECK.check(quiet(dependencies=(replace(broken, breakers=instances),)))
    assert (finding.severity, finding.evidence["reading"]) == ("warning", "partly_engaged")
    assert "3 closed, 1 open" in finding.summary


def test_the_gravest_of_several_dependencies_speaks():
    """One as designed, one not engaged: the second decides."""
    fine, broken = outage("open").dependencies, outage("closed").dependencies
    assert fine is not None
    assert broken is not None
    finding = CHECK.check(quiet(dependencies=(*fine, replace(broken[0], dependency="ledger-api"))))
    assert finding.severity == "critical"
    assert finding.evidence["dependency"] == "ledger-api"
    assert len(finding.evidence["dependencies"]) == 2


def test_without_telemetry_there_is_no_data():
    """No dependency source, or nothing called and no breaker known."""
    assert CHECK.check(quiet(dependencies=None)).status == "no_data"
    idle = replace(dependency(failed=0, before=0, state=None), recent=Rate(0, 0, 20))
    assert CHECK.check(quiet(dependencies=(idle,))).status == "no_data"
