"""What every check must be, whoever wrote it: the registered ones are found and held to it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.canonical import canonical_json
from schemas.events import Deployment, Target
from schemas.outputs import Exemplar, Finding
from schemas.words import CHECK_ORDER, DETECTORS
from tests.unit.triage.stories import EPOCH, ONSET, TICK, firing, ms, quiet
from triage.case import (
    AgentDenials,
    BreakerReading,
    Case,
    DenialCount,
    DependencyHealth,
    DeploymentHistory,
    Rate,
    ScoreSummary,
    ScoreTrend,
    VersionOutcome,
)
from triage.checks.base import Check
from triage.registry import build
from triage.settings import TriageSettings
from triage.words import MAX_SUMMARY

CHECKS = build(TriageSettings())
SOURCES = {
    "authorization_denials": "denials",
    "circuit_breaker_state": "dependencies",
    "eval_score_trend": "scores",
    "recent_deployments": "deployments",
}
"""The field of the case that each check cannot do without."""

every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)

names = st.sampled_from(["refund-flow", "claims-flow", "a", "ünïcødé \u0000\n", "x" * 256, "v1", "v2"])
counts = st.one_of(st.integers(0, 60), st.integers(0, 2**53 - 1))
moments = st.integers(ms(ONSET) - 10 * 86_400_000, ms(TICK))


@st.composite
def rates(draw: Any) -> Rate:
    total = draw(counts)
    return Rate(draw(st.integers(0, total)), total, draw(st.integers(0, 3000)))


exemplars = st.lists(st.builds(Exemplar, trace_id=names, interaction_id=names), max_size=8).map(tuple)
denials = st.builds(
    AgentDenials,
    names,
    rates(),
    rates(),
    st.lists(st.builds(DenialCount, names, names, names, counts, counts), max_size=7).map(tuple),
    exemplars,
)
breakers = st.builds(
    BreakerReading,
    names,
    names,
    st.sampled_from(["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"]),
    moments,
    moments,
    st.none() | st.floats(0, 1),
    st.integers(0, 50),
    st.none() | st.integers(0, 50),
)
dependencies = st.builds(
    DependencyHealth, names, rates(), rates(), counts, st.lists(breakers, max_size=7).map(tuple), exemplars
)
summaries = st.builds(ScoreSummary, counts, st.floats(1, 5), st.floats(0, 4)) | st.just(ScoreSummary(0, 0.0, 0.0))
trends = st.builds(
    ScoreTrend,
    names,
    st.sampled_from(["escalation_appropriateness", "correctness", "tone"]),
    summaries,
    summaries,
    st.lists(st.tuples(names, summaries), max_size=3).map(tuple),
)


@st.composite
def histories(draw: Any) -> DeploymentHistory:
    component, version = draw(names), draw(names)
    events = [
        Deployment(
            id=f"d{index}",
            time=EPOCH + timedelta(milliseconds=draw(moments)),
            environment="production",
            system="refunds",
            change=draw(st.sampled_from(["flow", "model", "prompt", "schema", "config"])),
            component=component,
            version=version,
            previous_version=draw(st.none() | names),
            phase=draw(st.sampled_from(["started", "progressed", "completed", "rolled_back"])),
            canary_percent=draw(st.sampled_from([0.0, 0.5, 10.0, 50.0, 100.0])),
            target=draw(st.none() | st.just(Target(kind="argo_rollout", ref={"name": "x"}))),
        )
        for index in range(draw(st.integers(1, 5)))
    ]
    events.sort(key=lambda event: (event.time, event.id))
    made = DeploymentHistory.of(events)
    return made or DeploymentHistory(
        component=component,
        version=version,
        events=tuple(events),
        canary_percents=tuple(event.canary_percent for event in events),
        first_ms=ms(events[0].time),
        full_ms=None,
        rolled_back=False,
    )


def source(values: Any) -> Any:
    return st.none() | st.lists(values, max_size=4).map(tuple)


cases = st.builds(
    Case,
    firing=st.sampled_from([firing(detector) for detector in DETECTORS]),
    tick_ms=st.just(ms(TICK)),
    onset_ms=st.sampled_from([ms(ONSET), ms(TICK), ms(ONSET) - 86_400_000]),
    reference_minutes=st.sampled_from([0, 60, 1440]),
    interactions=st.none() | rates(),
    interactions_before=st.none() | rates(),
    reasons=st.dictionaries(
        st.sampled_from(["ambiguous", "dependency_unavailable"]), st.tuples(counts, counts), max_size=2
    ),
    denials=source(denials),
    dependencies=source(dependencies),
    scores=source(trends),
    versions=st.lists(st.builds(VersionOutcome, names, names, rates(), rates()), max_size=4).map(tuple),
    deployments=source(histories()),
    exemplars=exemplars,
)
EMPTY = Case(
    firing=firing(),
    tick_ms=ms(TICK),
    onset_ms=ms(ONSET),
    reference_minutes=0,
    interactions=None,
    interactions_before=None,
)


def test_the_runbook_is_registered_in_its_order():
    """The four checks come first, in the order of the runbook."""
    assert [check.name for check in CHECKS][: len(CHECK_ORDER)] == list(CHECK_ORDER)


@every_check
def test_an_empty_case_is_no_data(check: Check):
    """Without any telemetry a check says that it has none."""
    finding = check.check(EMPTY)
    assert (finding.check, finding.status, finding.severity) == (check.name, "no_data", "none")


@every_check
def test_its_missing_source_is_no_data(check: Check):
    """A quiet case whose own source is None is no data, whatever else is there."""
    assert check.check(quiet()).status == "evaluated"
    missing: dict[str, Any] = {SOURCES[check.name]: None}
    assert check.check(replace(quiet(), **missing)).status == "no_data"


@every_check
@settings(max_examples=150)
@given(case=cases)
def test_any_case_gets_a_finding_that_can_be_published(check: Check, case: Case):
    """No case raises; the finding is bounded, is JSON, survives a round trip, and says something."""
    finding = check.check(case)
    assert finding.check == check.name
    assert finding.after_stop is False
    assert 0 < len(finding.summary) <= MAX_SUMMARY
    assert finding.summary.isprintable()
    data = canonical_json(finding)
    assert len(data) < 40_000
    assert canonical_json(Finding.model_validate_json(data)) == data
    assert json.loads(json.dumps(finding.evidence)) == finding.evidence
    assert "reading" in finding.evidence
    if finding.status != "evaluated":
        assert finding.severity == "none"


@every_check
@settings(max_examples=60)
@given(case=cases)
def test_a_check_is_pure(check: Check, case: Case):
    """The same case twice gives the same bytes and is left as it was."""
    before = repr(case)
    assert canonical_json(check.check(case)) == canonical_json(check.check(case))
    assert repr(case) == before


@every_check
@settings(max_examples=60)
@given(case=cases, data=st.data())
def test_the_order_of_the_evidence_does_not_matter(check: Check, case: Case, data: Any):
    """Sequences in another order give the same severity and the same answer."""
    fields = ("denials", "dependencies", "scores", "deployments", "versions")
    shuffled: dict[str, Any] = {
        name: tuple(data.draw(st.permutations(value))) for name in fields if (value := getattr(case, name)) is not None
    }
    there, here = check.check(case), check.check(replace(case, **shuffled))
    assert (there.severity, there.status, there.evidence["reading"]) == (
        here.severity,
        here.status,
        here.evidence["reading"],
    )
