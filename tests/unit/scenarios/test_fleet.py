"""The simulated fleet: valid events, in order, the same for the same seed, and each effect where it should be."""

import collections
import itertools
import statistics
from collections.abc import Iterable

import pytest

from scenarios.fleet import Fleet, encode
from scenarios.fleet_model import (
    AT_ONCE,
    FULL_CANARY,
    HOUR_MS,
    MINUTE_MS,
    DenialSpike,
    Effect,
    MoreEscalations,
    MoreTraffic,
    Outage,
    Period,
    Rollout,
    ScoreShift,
    System,
)
from scenarios.fleet_systems import CLAIMS, FLEET, REFUNDS
from scenarios.incidents import happenings, incidents
from schemas.base import JsonObject
from schemas.canonical import canonical_json
from schemas.events import EVENT

WEDNESDAY = 1_772_582_400_000  # 2026-03-04T00:00Z
NOON = WEDNESDAY + 12 * HOUR_MS
PERIOD = Period(NOON, NOON + HOUR_MS)


def hour(system: System, *effects: Effect, seed: int = 1, hours: int = 1) -> list[JsonObject]:
    """The events of one system in the hours after noon."""
    fleet = Fleet(seed, (system,), {system.name: effects})
    return [event for _, event in fleet.events(NOON, NOON + hours * HOUR_MS)]


def interactions(events: Iterable[JsonObject]) -> list[JsonObject]:
    return [event for event in events if event["type"] == "interaction"]


def escalated_share(events: Iterable[JsonObject]) -> float:
    ended = [event["outcome"] for event in events if event["type"] == "interaction"]
    return ended.count("escalated") / len(ended)


def test_every_event_is_valid_and_canonical() -> None:
    """Each event, through all incidents, is accepted by the contract, and is encoded in its one canonical form."""
    live = WEDNESDAY + 8 * HOUR_MS
    fleet = Fleet(1, happenings=happenings(live))
    kinds: collections.Counter[str] = collections.Counter()
    for _, event in fleet.events(live + HOUR_MS, live + 2 * HOUR_MS + HOUR_MS // 2):
        data = encode(event)
        assert data == canonical_json(event)
        kinds[EVENT.validate_json(data).type] += 1
    assert set(kinds) == {"interaction", "authorization", "circuit_breaker", "evaluation", "deployment", "usage"}


def test_events_come_in_order_with_ids_of_their_own() -> None:
    """Times never go back, lie in what was asked for, and no id comes twice."""
    start, end = NOON - HOUR_MS // 2, NOON + HOUR_MS // 3
    emitted = list(Fleet(1).events(start, end))
    assert all(before.time_ms <= after.time_ms for before, after in itertools.pairwise(emitted))
    assert start <= emitted[0].time_ms
    assert emitted[-1].time_ms < end
    assert len({event["id"] for _, event in emitted}) == len(emitted)


def test_a_stretch_is_the_same_whatever_was_asked_before() -> None:
    """Two stretches put together are the whole, byte for byte, and another seed gives another fleet."""
    fleet, middle = Fleet(3, FLEET[:2]), NOON + 17 * MINUTE_MS
    whole = [encode(event) for _, event in fleet.events(NOON, NOON + HOUR_MS)]
    parts = [*fleet.events(NOON, middle), *fleet.events(middle, NOON + HOUR_MS)]
    assert [encode(event) for _, event in parts] == whole
    assert [encode(event) for _, event in Fleet(4, FLEET[:2]).events(NOON, NOON + HOUR_MS)] != whole


def test_quiet_systems_escalate_at_their_base_rate_with_all_reasons() -> None:
    """Without incidents every flow escalates two to six in a hundred over a day, for several reasons."""
    outcomes: dict[str, list[bool]] = collections.defaultdict(list)
    reasons: collections.Counter[str | None] = collections.Counter()
    for _, event in Fleet(1).events(WEDNESDAY, WEDNESDAY + 24 * HOUR_MS):
        if event["type"] == "interaction":
            outcomes[event["flow"]].append(event["outcome"] == "escalated")
            reasons[event.get("escalation", {}).get("reason")] += 1
    shares = {flow: statistics.fmean(values) for flow, values in outcomes.items()}
    assert len(shares) == 10
    assert all(0.015 < share < 0.07 for share in shares.values()), shares
    assert {"ambiguous", "high_risk", "customer_request", "policy", "error"} <= set(reasons)


def test_traffic_has_a_day_and_a_week() -> None:
    """Noon is far busier than the night, and Wednesday busier than Sunday."""

    def count(start: int) -> int:
        return sum(event["type"] == "interaction" for _, event in Fleet(1).events(start, start + HOUR_MS))

    noon = count(NOON)
    assert noon > 2 * count(WEDNESDAY)
    assert noon > 1.4 * count(NOON + 4 * 24 * HOUR_MS)


def test_a_surge_multiplies_traffic_and_leaves_the_rate() -> None:
    """More traffic is more interactions with the same share of escalations."""
    quiet, surge = hour(REFUNDS, hours=4), hour(REFUNDS, MoreTraffic(Period(NOON, NOON + 4 * HOUR_MS), 3.0), hours=4)
    assert 2.7 < len(interactions(surge)) / len(interactions(quiet)) < 3.3
    assert abs(escalated_share(surge) - escalated_share(quiet)) < 0.015


def test_more_escalations_have_their_reason_and_their_period() -> None:
    """The further escalations carry the effect's reason and begin when it begins."""
    events = hour(REFUNDS, MoreEscalations(Period(NOON + HOUR_MS, NOON + 2 * HOUR_MS), 0.3, "high_risk"), hours=2)
    reasons = collections.Counter(
        (event["time"] >= "2026-03-04T13", event["escalation"]["reason"])
        for event in events
        if event.get("outcome") == "escalated"
    )
    assert reasons[True, "high_risk"] > 10 * max(1, reasons[False, "high_risk"])


def test_a_denial_spike_names_agent_action_and_principal() -> None:
    """The refused requests are the acting agent's, outside its scope, beside its usual ones."""
    spike = DenialSpike(PERIOD, "refund-executor", ("payments:transfer",), "a/1", ("svc-x",), 0.5, "Ignore {n}.")
    events = hour(REFUNDS, spike)
    denied = [event for event in events if event.get("decision") == "deny" and event["reason"] == "outside_scope"]
    assert len(denied) > 0.3 * len(interactions(events))
    assert {(event["agent"], event["action"], event["principal"]) for event in denied} == {
        ("refund-executor", "payments:transfer", "svc-x")
    }
    known = {event["id"] for event in interactions(events)}
    assert all(event["interaction_id"] in known for event in denied)


def test_an_open_breaker_stops_the_calls_and_routes() -> None:
    """After it opens there are no calls of the dependency, and people are handed over for that reason."""
    outage = Outage(PERIOD, "fraud-check-api", 0.7, 2 * MINUTE_MS, routed_share=0.5)
    events = [event for event in hour(CLAIMS, outage) if event["time"] >= "2026-03-04T12:02"]
    assert not any(step.get("dependency") for event in interactions(events) for step in event["steps"])
    routed = [event for event in events if event.get("escalation", {}).get("reason") == "dependency_unavailable"]
    assert len(routed) > 0.35 * len(interactions(events))
    states = [event["state"] for event in events if event["type"] == "circuit_breaker"]
    assert set(states) == {"open"}


def test_a_breaker_that_fails_stays_closed_while_calls_time_out() -> None:
    """The steps time out, the interactions escalate for errors, and every report says closed, with the failure rate."""
    events = hour(CLAIMS, Outage(PERIOD, "fraud-check-api", 0.7, None))
    statuses = collections.Counter(
        step["status"]
        for event in interactions(events)
        for step in event["steps"]
        if step.get("dependency") == "fraud-check-api"
    )
    assert statuses["timeout"] > statuses["ok"]
    assert escalated_share(events) > 0.25
    reports = [event for event in events if event["type"] == "circuit_breaker"]
    assert {report["state"] for report in reports} == {"closed"}
    assert {report["failure_rate"] for report in reports} == {0.7}


def test_a_score_shift_moves_one_criterion() -> None:
    """Only the criterion named moves, by its points."""
    quiet, shifted = (
        hour(REFUNDS, hours=3),
        hour(REFUNDS, ScoreShift(Period(NOON, NOON + 3 * HOUR_MS), "tone", -1.5), hours=3),
    )

    def mean(events: Iterable[JsonObject], criterion: str) -> float:
        return statistics.fmean(event["score"] for event in events if event.get("criterion") == criterion)

    assert mean(quiet, "tone") - mean(shifted, "tone") == pytest.approx(1.5, abs=0.2)
    assert mean(quiet, "correctness") == pytest.approx(mean(shifted, "correctness"), abs=0.2)


def test_a_canary_ramps_and_a_rollback_returns() -> None:
    """Traffic follows the percentages that the deployment events report, and a rollback returns all of it."""
    ramp = Rollout("refund-request", "prompt", NOON, "next", FULL_CANARY, rolled_back_ms=NOON + 3 * HOUR_MS)
    events = hour(REFUNDS, ramp, hours=4)
    reported = [
        (event["time"][11:16], event["phase"], event["canary_percent"])
        for event in events
        if event["type"] == "deployment"
    ]
    assert reported == [
        ("12:00", "started", 5),
        ("12:30", "progressed", 25),
        ("13:00", "progressed", 50),
        ("14:08", "completed", 100),
        ("15:00", "rolled_back", 0),
    ]
    share = {
        span: statistics.fmean(
            e["version"] == "next" for e in interactions(events) if span[0] <= e["time"][11:16] < span[1]
        )
        for span in (("12:08", "12:30"), ("13:08", "14:00"), ("14:08", "15:00"), ("15:08", "16:00"))
    }
    assert 0 < share["12:08", "12:30"] < 0.15
    assert 0.4 < share["13:08", "14:00"] < 0.6
    assert share["14:08", "15:00"] == 1
    assert share["15:08", "16:00"] == 0


def test_a_bad_version_alone_escalates_more() -> None:
    """The share of escalations that a rollout adds belongs to its version, and its target says what to roll back."""
    bad = Rollout("refund-request", "flow", NOON + HOUR_MS, "bad", AT_ONCE, 0.4)
    events = hour(REFUNDS, bad, hours=2)
    by_version = {
        version: [e for e in events if e.get("version") == version] for version in ("bad", REFUNDS.flows[0].version)
    }
    assert escalated_share(by_version["bad"]) > 0.3
    assert escalated_share(by_version[REFUNDS.flows[0].version]) < 0.1
    first = next(event for event in events if event["type"] == "deployment")
    assert (first["previous_version"], first["canary_percent"]) == (REFUNDS.flows[0].version, 100)
    assert first["target"]["kind"] == "argo_rollout"


def test_an_unknown_system_is_refused() -> None:
    """Happenings of a system that is not there are an error that lists those that are."""
    with pytest.raises(ValueError, match=r"no system nowhere .* refunds"):
        Fleet(happenings={"nowhere": ()})


def test_each_incident_has_a_system_of_its_own() -> None:
    """No two incidents share a system, all are over long before the live phase ends, and each expectation fits."""
    labelled = incidents(NOON)
    assert len({incident.system for incident in labelled}) == len(labelled)
    flows = {system.name: {flow.name for flow in system.flows} for system in FLEET}
    for incident in labelled:
        assert NOON < incident.start_ms < incident.end_ms <= NOON + 150 * MINUTE_MS
        if incident.expected is not None:
            assert incident.expected.flow in flows[incident.system]
