"""The case for a firing, field by field, from telemetry made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from schemas.outputs import Exemplar
from schemas.series import SeriesKey
from stream.core.deltas import Delta, Record, TagsRecord
from stream.core.exemplars import SHOWN
from stream.core.gather import AGENTS, TOP, Gatherer
from stream.core.machine import ShardMachine
from stream.core.ticks import MINUTE_MS
from tests.unit.core.builders import START, breaker, count, deployment, exemplar, firing, key, machine, score
from triage.case import AgentDenials, Case, DenialCount, Rate, ScoreSummary, VersionOutcome

TICK = START + 30
ONSET = START + 20
DAY = 1440


def case(*parts: Any, flow: str | None = "f", onset: int = ONSET) -> Case:
    """The case at `TICK` after counts and records by hand."""
    shard = machine()
    counts = tuple(part for part in parts if hasattr(part, "amounts"))
    records: tuple[Record, ...] = tuple(part for part in parts if not hasattr(part, "amounts"))
    shard.step(TICK, [Delta(counts, records)])
    return gathered(shard, flow, onset)


def gathered(shard: ShardMachine, flow: str | None, onset: int) -> Case:
    return Gatherer(shard.windows, shard.evidence).gather(firing(TICK, onset, flow))


def test_a_system_without_telemetry_has_no_source_for_anything() -> None:
    """None says that there is no such telemetry; it is not a zero."""
    empty = case()
    assert (empty.interactions, empty.interactions_before, empty.volume_before) == (None, None, None)
    assert (empty.denials, empty.dependencies, empty.scores, empty.deployments) == (None, None, None, None)
    assert (empty.reasons, empty.versions, empty.tags, empty.exemplars) == ({}, (), {}, ())
    assert (empty.tick_ms, empty.onset_ms) == (TICK * MINUTE_MS, ONSET * MINUTE_MS)


def test_interactions_are_those_of_the_flow_from_the_onset_and_of_the_day_before() -> None:
    """Minutes before the onset are `before`; other flows and systems are not counted."""
    found = case(
        count(START, 100, 5),
        count(ONSET - 1, 10, 1),
        count(ONSET, 20, 8),
        count(TICK - 1, 1, 1),
        count(ONSET, 500, 500, name="other"),
        count(ONSET, 500, 500, system="t"),
    )
    assert found.interactions == Rate(9, 21, 10)
    assert found.interactions_before == Rate(6, 110, 20)


def test_without_a_flow_the_whole_system_counts() -> None:
    """A burn rate looks at all flows of its system; the period is that of the oldest."""
    found = case(count(START, 1, 1), count(ONSET + 5, 2, 1, name="g"), count(ONSET, 9, 9, system="t"), flow=None)
    assert found.interactions == Rate(1, 2, 10)
    assert found.interactions_before == Rate(1, 1, 20)


def test_an_onset_in_the_future_is_the_last_minute() -> None:
    """An estimate cannot leave the recent period empty."""
    assert case(count(TICK - 1, 3, 1), onset=TICK + 5).interactions == Rate(1, 3, 1)


def test_usual_volume_is_that_of_the_same_hours_a_day_earlier() -> None:
    """Whole hours of the clock that the recent period touches."""
    earlier = ONSET - DAY
    some = [count(earlier - 90, 1), count(earlier - 21, 7), count(earlier, 30), count(earlier + 39, 12)]
    found = case(*some, count(ONSET, 1))
    assert found.volume_before == Rate(0, 42, 60)


def test_reasons_are_counted_before_and_after() -> None:
    """Of the flow, in order of names."""
    found = case(
        count(ONSET, 4, kind="flow_reason"),
        count(START, 2, kind="flow_reason"),
        count(ONSET, 9, kind="flow_reason", name="other"),
    )
    assert found.reasons == {"policy": (4, 2)}
    assert case(count(ONSET, 9, kind="flow_reason", name="g"), flow=None).reasons == {"policy": (9, 0)}


def test_denials_name_who_was_denied_what() -> None:
    """Rates by agent, and the action and principal that make them up."""
    agent = key("a", "agent")
    found = case(
        count(START, 50, 1, kind="agent", name="a"),
        count(ONSET, 10, 6, kind="agent", name="a"),
        count(START, 1, kind="denial", name="a"),
        count(ONSET, 6, kind="denial", name="a"),
        exemplar("x", ONSET, series=agent),
    )
    assert found.denials == (
        AgentDenials(
            "a",
            Rate(6, 10, 10),
            Rate(1, 50, 20),
            (DenialCount("a", "pay", "p", 6, 1),),
            (Exemplar(trace_id="t-x", interaction_id="x"),),
        ),
    )


def test_denials_are_the_worst_agents_and_their_top_actions() -> None:
    """Bounded by agents and by actions; agents by name, actions by recent denials."""
    agents = [count(ONSET, 50, n, kind="agent", name=f"a{n:02}") for n in range(AGENTS + 3)]
    worst = f"a{AGENTS + 2:02}"
    shard = machine()
    actions = []
    for n in range(TOP + 2):
        one = count(ONSET, n + 1, kind="denial", name=worst)
        actions.append(replace(one, dims=(worst, f"do{n}", "p")))
    shard.step(TICK, [Delta((*agents, *actions))])
    denials = gathered(shard, "f", ONSET).denials
    assert denials is not None
    assert [denial.agent for denial in denials] == [f"a{n:02}" for n in range(3, AGENTS + 3)]
    assert [top.action for top in denials[-1].top] == [f"do{n}" for n in range(TOP + 1, 1, -1)]


def test_a_dependency_has_its_failures_and_its_breakers() -> None:
    """Errors and time-outs are failures; a breaker without calls is a dependency, too."""
    dependency = key("fraud-api", "dependency")
    found = case(
        count(START, 100, 1, 1, kind="dependency", name="fraud-api"),
        count(ONSET, 20, 3, 7, kind="dependency", name="fraud-api"),
        count(ONSET, 5, kind="dependency", name="ledger"),
        exemplar("x", ONSET, series=dependency),
        breaker("b", ONSET * MINUTE_MS, "open", "pod-1"),
    ).dependencies
    assert found is not None
    fraud, ledger = found
    assert (fraud.dependency, fraud.recent, fraud.before, fraud.recent_timeouts) == (
        "fraud-api",
        Rate(10, 20, 10),
        Rate(2, 100, 20),
        7,
    )
    assert [exemplar.interaction_id for exemplar in fraud.exemplars] == ["x"]
    assert [(b.instance, b.state, b.changed_ms) for b in fraud.breakers] == [("pod-1", "open", ONSET * MINUTE_MS)]
    assert (ledger.dependency, ledger.breakers) == ("ledger", ())
    alone = case(breaker("b", ONSET * MINUTE_MS)).dependencies
    assert alone is not None
    assert [(d.dependency, d.recent) for d in alone] == [("fraud-api", Rate(0, 0, 0))]


@pytest.mark.parametrize(
    ("states", "changed", "recent_changes", "openings"),
    [
        (["closed"], 0, 0, 0),
        (["open", "open", "open"], 0, 0, 1),
        (["closed", "open", "open"], 1, 1, 1),
        (["closed", "open", "half_open", "open", "half_open", "closed"], 5, 5, 1),
        (["closed", "open", "closed", "forced_open"], 3, 3, 2),
    ],
)
def test_a_breaker_is_read_from_its_reports(
    states: list[str], changed: int, recent_changes: int, openings: int
) -> None:
    """The last state, since when, and how often it flapped; repeated reports are no changes."""
    readings = [breaker(f"{n}", (START + n) * MINUTE_MS, state) for n, state in enumerate(states)]
    [dependency] = case(*readings[::-1]).dependencies or ()
    [reading] = dependency.breakers
    assert (reading.state, reading.changed_ms) == (states[-1], (START + changed) * MINUTE_MS)
    assert reading.reported_ms == (START + len(states) - 1) * MINUTE_MS
    assert (reading.recent_changes, reading.recent_openings) == (recent_changes, openings)


def test_a_breaker_report_from_behind_the_tick_is_not_seen() -> None:
    """The case is as of the tick, however early a record came."""
    assert case(breaker("b", TICK * MINUTE_MS)).dependencies is None


def test_scores_have_a_mean_and_a_sample_variance_by_version_too() -> None:
    """In points; the versions are those with recent scores."""
    [trend] = (
        case(
            score("1", START, 4000),
            score("2", ONSET, 3000, "v1"),
            score("3", ONSET, 5000, "v2"),
            score("4", ONSET + 1, 4000, "v2"),
            score("5", START, 2000, "v0"),
        ).scores
        or ()
    )
    assert (trend.flow, trend.criterion) == ("f", "tone")
    assert trend.recent == ScoreSummary(3, 4.0, 1.0)
    assert trend.before == ScoreSummary(2, 3.0, 2.0)
    assert trend.by_version == (("v1", ScoreSummary(1, 3.0, 0.0)), ("v2", ScoreSummary(2, 4.5, 0.5)))


def test_versions_are_compared_over_the_same_periods() -> None:
    """Escalations of interactions by version of the flow."""
    found = case(
        count(START, 30, 1, kind="flow_version"),
        count(ONSET, 10, 4, kind="flow_version"),
        count(ONSET, 10, 4, kind="flow_version", name="other"),
    )
    assert found.versions == (VersionOutcome("f", "v1", Rate(4, 10, 10), Rate(1, 30, 20)),)


def test_deployments_are_rollouts_with_all_their_events() -> None:
    """By component and version, those with an event in the two days before the onset, in order of time."""
    found = case(
        deployment("late", TICK, version="v9"),
        deployment("done", ONSET - 5, version="v2"),
        deployment("begun", ONSET - 2 * DAY - 60, version="v2", phase="started", canary_percent=5.0),
        deployment("old", ONSET - 3 * DAY, version="v1"),
        deployment("else", ONSET - 1, version="v7", component="g"),
        deployment("foreign", ONSET - 1, system="t"),
    ).deployments
    assert found is not None
    assert [(h.component, h.version, [event.id for event in h.events]) for h in found] == [
        ("f", "v2", ["begun", "done"]),
        ("g", "v7", ["else"]),
    ]


def test_a_system_whose_deployments_are_old_has_a_source() -> None:
    """An empty tuple: deployments are known here, none is recent."""
    assert case(deployment("old", ONSET - 3 * DAY)).deployments == ()


def test_tags_are_the_system_s() -> None:
    """As a mapping."""
    record = TagsRecord("e", START * MINUTE_MS, "prod", "s", (("cost-center", "cc"), ("team", "x")))
    assert case(record).tags == {"cost-center": "cc", "team": "x"}


def test_exemplars_are_recent_and_few() -> None:
    """Of the flow, from the onset on, by rank, five at most."""
    flow: SeriesKey = key()
    shown = [exemplar(f"r{n}", ONSET + n, rank=9 - n, series=flow) for n in range(8)]
    early = exemplar("early", ONSET - 1, rank=0)
    found = case(*shown, early, count(ONSET, 9, 9), exemplar("g", ONSET, series=key("g")), count(ONSET, 9, 9, name="g"))
    assert [e.interaction_id for e in found.exemplars] == ["r7", "r6", "r5", "r4", "r3"][:SHOWN]
