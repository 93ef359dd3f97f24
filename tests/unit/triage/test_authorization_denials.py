"""The runbook's first question, told in cases."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.triage.stories import agent, injected, quiet
from triage.case import AgentDenials, Rate
from triage.checks.authorization_denials import AuthorizationDenialsCheck, AuthorizationDenialsSettings

CHECK = AuthorizationDenialsCheck()


def test_a_spike_is_critical_and_names_who_and_what():
    """Eighty refusals where two are usual: critical, with agent, action and principal, and the exemplars."""
    finding = CHECK.check(injected())
    assert finding.severity == "critical"
    assert finding.evidence["agent"] == "refund-agent"
    assert finding.evidence["action"] == "payments.transfer"
    assert finding.evidence["principal"] == "svc-refunds"
    assert "80 of 900 (8.9 %) against 100 of 45,000 (0.2 %)" in finding.summary
    assert finding.exemplars[0].trace_id == "t-denied"


def test_usual_denials_are_none():
    """Two refusals of nine hundred are as usual."""
    finding = CHECK.check(quiet())
    assert (finding.severity, finding.evidence["reading"]) == ("none", "usual")


def test_a_surge_with_the_usual_share_of_denials_is_no_spike():
    """Five times the traffic with five times the refusals is a surge, not an agent out of its scope."""
    surge = AgentDenials("refund-agent", Rate(10, 4_500, 20), Rate(100, 45_000, 1440), ())
    assert CHECK.check(quiet(denials=(surge,))).severity == "none"


def test_a_few_retries_are_no_spike():
    """Four refusals where there were none are below the least that counts."""
    finding = CHECK.check(quiet(denials=(agent(denied=4, before=0),)))
    assert finding.severity == "none"
    stricter = AuthorizationDenialsCheck(AuthorizationDenialsSettings(minimum_denials=1))
    assert stricter.check(quiet(denials=(agent(denied=4, before=0),))).severity == "critical"


def test_raised_is_a_warning():
    """Eight where two are usual may be chance: a warning, not a spike."""
    finding = CHECK.check(quiet(denials=(agent(denied=11, before=100),)))
    assert (finding.severity, finding.evidence["reading"]) == ("warning", "raised")


def test_where_only_denials_are_reported_time_is_the_measure():
    """If every request on record is a denial, denials per minute are compared."""
    only = AgentDenials("refund-agent", Rate(60, 60, 20), Rate(100, 100, 1440), ())
    assert CHECK.check(quiet(denials=(only,))).severity == "critical"
    level = replace(only, recent=Rate(2, 2, 20))
    assert CHECK.check(quiet(denials=(level,))).severity == "none"


def test_several_agents_are_all_counted():
    """The gravest speaks, the others are said."""
    agents = (agent("a", denied=40, before=100), agent("b", denied=80, before=100), agent("c", denied=1, before=100))
    finding = CHECK.check(quiet(denials=agents))
    assert finding.evidence["agent"] == "b"
    assert finding.evidence["agents_spiking"] == 2
    assert "1 more agent refused likewise" in finding.summary


def test_many_agents_raise_the_bar():
    """What is news for one agent is chance for the best of two hundred."""
    one = agent("a", denied=13, before=100)
    others = tuple(agent(f"z{index:03}", denied=1, before=100) for index in range(200))
    assert CHECK.check(quiet(denials=(one,))).evidence["p_value"] < 0.005
    assert CHECK.check(quiet(denials=(one, *others))).severity == "none"


def test_without_telemetry_there_is_no_data():
    """No source, and a source that is silent since the onset, are both no data."""
    assert CHECK.check(quiet(denials=None)).status == "no_data"
    silent = AgentDenials("refund-agent", Rate(0, 0, 20), Rate(100, 45_000, 1440), ())
    assert CHECK.check(quiet(denials=(silent,))).status == "no_data"
