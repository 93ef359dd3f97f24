"""History in counts: the same as what the fold makes of the same hour's events."""

from dataclasses import replace

import pytest

from costs.budgets import BudgetRule
from scenarios.fleet import Fleet, encode
from scenarios.fleet_counts import HourCounts
from scenarios.fleet_model import (
    AT_ONCE,
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
    Spending,
    System,
    Unheard,
)
from scenarios.fleet_systems import CLAIMS, ORDERS, REFUNDS
from schemas.series import SeriesKey
from stream.adapters import Decoder
from stream.assembly import record_limits
from stream.core.deltas import Count, Delta, ScoreRecord, merge
from stream.core.fold import Batch, PartitionFold
from stream.core.machine import score_counts
from stream.core.shards import ShardMap
from stream.settings import load_settings

NOON = 1_772_582_400_000 + 12 * HOUR_MS
PERIOD = Period(NOON + 10 * MINUTE_MS, NOON + 40 * MINUTE_MS, 5 * MINUTE_MS)
BUDGETS = (BudgetRule("all"), BudgetRule("claims", system="claims", tags=(("cost-center", "cc-6300"),)))
EFFECTS: tuple[Effect, ...] = (
    MoreTraffic(PERIOD, 2.0),
    MoreEscalations(PERIOD, 0.2, "high_risk"),
    DenialSpike(PERIOD, "claim-adjuster", ("a:b", "c:d"), "x", ("p", "q"), 0.8, "Ignore {n}."),
    Outage(PERIOD, "fraud-check-api", 0.5, MINUTE_MS, 0.3, flap_ms=4 * MINUTE_MS, errors=True),
    ScoreShift(PERIOD, "tone", -1.0),
    Rollout("claim-triage", "flow", NOON, "next", AT_ONCE, 0.1, denied_share=0.2, score_points=(("tone", -0.5),)),
    Spending(PERIOD, 2.0, 0.3),
)


def from_counts(system: System, effects: tuple[Effect, ...], *, by_hour: bool = False) -> Delta:
    """The hour after noon as `HourCounts` has it."""
    fleet = Fleet(3, (system,), {system.name: effects})
    hour = NOON // HOUR_MS
    counts = [
        count
        for flow in system.flows
        for count in HourCounts(
            system, flow, effects, fleet.traffic(system, flow, hour), BUDGETS, by_hour=by_hour
        ).counts()
    ]
    return merge([Delta(tuple(counts))])


def from_events(system: System, effects: tuple[Effect, ...]) -> Delta:
    """The hour after noon as the fold has it."""
    events = Fleet(3, (system,), {system.name: effects}).events(NOON, NOON + HOUR_MS)
    decoder = Decoder(record_limits(load_settings(None, {}), by_age=False))
    decoded = decoder.decode_batch([(encode(event), (), 0) for _, event in events])
    assert not decoded.rejections
    batch = Batch()
    PartitionFold(2**61, BUDGETS).add(decoded.events, batch)
    deltas = [delta for ticks in batch.spread(ShardMap(1)).values() for delta in ticks.values()]
    scores = [record for delta in deltas for record in delta.records if isinstance(record, ScoreRecord)]
    counts = [count for score in scores for count in score_counts(score)]
    return merge([Delta(tuple(count for delta in deltas for count in delta.counts)), Delta(tuple(counts))])


@pytest.mark.parametrize(
    ("system", "effects"),
    [
        (REFUNDS, ()),
        (ORDERS, (MoreTraffic(PERIOD, 3.0, flow="returns"),)),
        (CLAIMS, EFFECTS),
        (replace(CLAIMS, breaker_instances=3), (Outage(PERIOD, "fraud-check-api", 0.9, 0, 0.5, open_instances=2),)),
        (replace(CLAIMS, omits=frozenset({"steps", "version", "reason", "tags"})), ()),
        (CLAIMS, (Unheard(PERIOD, frozenset({"authorization", "usage", "evaluation"})),)),
        (replace(CLAIMS, flows=tuple(replace(flow, pricing="ptu") for flow in CLAIMS.flows)), EFFECTS),
    ],
)
def test_counts_are_those_of_the_events(system: System, effects: tuple[Effect, ...]) -> None:
    """Whatever happens in an hour, its counts equal those that the fold makes of its events, minute by minute."""
    found = from_counts(system, effects).counts
    assert found == from_events(system, effects).counts
    assert len(found) > 100


def test_by_hour_the_sums_are_the_same_and_only_flows_and_agents_keep_their_minutes() -> None:
    """A coarse history holds as much as a fine one, in far fewer counts."""

    def sums(counts: tuple[Count, ...]) -> dict[SeriesKey, list[int]]:
        found: dict[SeriesKey, list[int]] = {}
        for count in counts:
            known = found.setdefault(count.key(), [0] * len(count.amounts))
            found[count.key()] = [a + b for a, b in zip(known, count.amounts, strict=True)]
        return found

    fine, coarse = from_counts(CLAIMS, EFFECTS), from_counts(CLAIMS, EFFECTS, by_hour=True)
    assert sums(fine.counts) == sums(coarse.counts)
    assert {c.key().kind for c in coarse.counts if c.minute % 60} == {"flow", "agent"}
    assert len(coarse.counts) < len(fine.counts) / 3
