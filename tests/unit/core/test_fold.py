"""The fold, held against a naive model: one event at a time, written as the rules are written."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from costs.budgets import BudgetRule
from costs.prices import price_micro, usd_to_micro
from schemas.events import Deployment as DeploymentModel
from schemas.series import KINDS, SeriesKey
from stream.adapters.native import (
    Authorization,
    CircuitBreaker,
    Deployment,
    Escalation,
    Evaluation,
    Interaction,
    NativeEvent,
    Step,
    Usage,
)
from stream.core.deltas import (
    BreakerRecord,
    Delta,
    DeploymentRecord,
    ExemplarRecord,
    Record,
    ScoreRecord,
    TagsRecord,
    merge,
    pack,
    unpack,
)
from stream.core.fold import UNNAMED, Batch, PartitionFold
from stream.core.shards import ShardMap, shard_of
from stream.core.ticks import MINUTE_MS, NEVER, visible_from

LATENESS_MS = 20_000
START_MS = 29_000_000 * MINUTE_MS
SHARDS = 3
MODEL = "gpt-4.1-mini"
BUDGETS = (
    BudgetRule("all"),
    BudgetRule("claims", system="claims"),
    BudgetRule("tagged", tags=(("cost-center", "cc-1"),)),
)

Counts = dict[tuple[int, SeriesKey, int], list[int]]
"""(Tick from which it is visible, series, minute) to amounts."""


# Many events share a time, for ties; some lie a millisecond beside the edge of a minute.
coarse = st.integers(0, 12).map(lambda n: START_MS + n * 20_000)
times = st.one_of(coarse, coarse.map(lambda ms: ms - 1), st.integers(START_MS, START_MS + 4 * MINUTE_MS))
common = {
    "time": times,
    "environment": st.sampled_from(["prod", "test"]),
    "system": st.sampled_from(["claims", "refunds"]),
    "id": st.integers(0, 40).map(lambda n: f"e{n}"),
    "tags": st.sampled_from([None, {}, {"cost-center": "cc-1"}, {"cost-center": "cc-2", "app": "x"}]),
    "trace_id": st.sampled_from([None, "t1", "t2"]),
}
flows = st.sampled_from(["f", "g"])
versions = st.sampled_from([None, "v1", "v2"])
tokens = st.integers(0, 5)
step_values = st.builds(
    Step,
    agent=st.just("a"),
    operation=st.just("call"),
    start_ms=st.just(0.0),
    duration_ms=st.just(1.0),
    status=st.sampled_from(["ok", "error", "timeout", "denied"]),
    dependency=st.sampled_from([None, "bank", "post"]),
)
interactions = st.builds(
    Interaction,
    **common,
    flow=flows,
    version=versions,
    outcome=st.sampled_from(["resolved", "escalated", "escalated", "failed", "abandoned"]),
    escalation=st.sampled_from([None, Escalation(reason="high_risk"), Escalation(reason="error")]),
    steps=st.none() | st.lists(step_values, max_size=4).map(tuple),
)
authorizations = st.builds(
    Authorization,
    **common,
    agent=st.sampled_from(["a", "b"]),
    action=st.sampled_from(["pay", "read"]),
    decision=st.sampled_from(["allow", "deny"]),
    principal=st.sampled_from([None, "p"]),
    interaction_id=st.sampled_from([None, "i1", "i2"]),
)
usages = st.builds(
    Usage,
    **common,
    agent=st.sampled_from([None, "a"]),
    model=st.sampled_from([MODEL, "no-such-model"]),
    pricing=st.sampled_from([None, "payg", "ptu", "spillover"]),
    input_tokens=tokens,
    cached_input_tokens=st.none() | tokens,
    output_tokens=tokens,
    cost_usd=st.sampled_from([None, 0.0125, 0.0000005]),
)
evaluations = st.builds(
    Evaluation, **common, flow=flows, version=versions, criterion=st.just("tone"), score=st.floats(1, 5)
)
breakers = st.builds(
    CircuitBreaker, **common, dependency=st.just("bank"), breaker=st.sampled_from([None, "b"]), state=st.just("open")
)
deployments = st.builds(
    Deployment,
    **common,
    change=st.just("flow"),
    component=flows,
    version=st.just("v2"),
    phase=st.just("completed"),
    canary_percent=st.just(100.0),
)
any_event: st.SearchStrategy[Any] = st.one_of(interactions, authorizations, usages, evaluations, breakers, deployments)
streams = st.lists(any_event, max_size=30)


def folded(
    batches: Sequence[Sequence[NativeEvent]], fold: PartitionFold | None = None
) -> tuple[dict[int, dict[int, list[Delta]]], PartitionFold]:
    """Every batch folded by itself; the deltas by shard and tick, as an inbox would hold them."""
    fold = fold or PartitionFold(LATENESS_MS, BUDGETS)
    inboxes: dict[int, dict[int, list[Delta]]] = {}
    for events in batches:
        batch = Batch()
        fold.add(events, batch)
        for shard, ticks in batch.spread(ShardMap(SHARDS)).items():
            for tick, delta in ticks.items():
                inboxes.setdefault(shard, {}).setdefault(tick, []).append(unpack(pack(delta)))
    return inboxes, fold


def each_tick(events: Sequence[NativeEvent]) -> list[int]:
    """The tick from which each event is visible: by the watermark of what came before it."""
    newest, found = NEVER, []
    for event in events:
        found.append(visible_from(event.time, newest - LATENESS_MS))
        newest = max(newest, event.time)
    return found


def counts_of(inboxes: dict[int, dict[int, list[Delta]]]) -> Counts:
    return {
        (tick, count.key(), count.minute): list(count.amounts)
        for ticks in inboxes.values()
        for tick, deltas in ticks.items()
        for count in merge(deltas).counts
    }


def records_of(inboxes: dict[int, dict[int, list[Delta]]], kind: type[Record]) -> list[tuple[int, Any]]:
    return [
        (tick, record)
        for ticks in inboxes.values()
        for tick, deltas in ticks.items()
        for delta in deltas
        for record in delta.records
        if type(record) is kind
    ]


def gains(event: NativeEvent) -> list[tuple[SeriesKey, tuple[int, ...]]]:
    """What one event adds, series by series."""
    where = (event.environment, event.system)
    found: list[tuple[SeriesKey, tuple[int, ...]]] = []
    if isinstance(event, Interaction):
        escalated, failed = int(event.outcome == "escalated"), int(event.outcome == "failed")
        found.append((SeriesKey("flow", *where, (event.flow,)), (1, escalated, failed)))
        if event.version is not None:
            found.append((SeriesKey("flow_version", *where, (event.flow, event.version)), (1, escalated)))
        if escalated and event.escalation is not None:
            found.append((SeriesKey("flow_reason", *where, (event.flow, event.escalation.reason)), (1,)))
        for step in event.steps or ():
            if step.dependency is not None:
                bad = (int(step.status == "error"), int(step.status == "timeout"))
                found.append((SeriesKey("dependency", *where, (step.dependency,)), (1, *bad)))
    elif isinstance(event, Authorization):
        denied = event.decision == "deny"
        found.append((SeriesKey("agent", *where, (event.agent,)), (1, int(denied))))
        if denied:
            who = event.principal or UNNAMED
            found.append((SeriesKey("denial", *where, (event.agent, event.action, who)), (1,)))
    elif isinstance(event, Usage):
        cached, cost = event.cached_input_tokens or 0, cost_of(event)
        key = SeriesKey("usage", *where, (event.agent or UNNAMED, event.model, event.pricing or "payg"))
        found.append((key, (1, event.input_tokens, cached, event.output_tokens, cost)))
        found += [(b.key(), (1, cost)) for b in BUDGETS if b.covers(*where, event.tags)]
    return found


def cost_of(event: Usage) -> int:
    if event.pricing == "ptu":
        return 0
    if event.cost_usd is not None:
        return usd_to_micro(event.cost_usd)
    counts = (event.input_tokens, event.cached_input_tokens or 0, event.output_tokens)
    return price_micro(event.model, event.provider, *counts, event.time // 86_400_000) or 0


@given(streams)
def test_every_event_counts_once_in_its_minute_at_the_tick_that_may_see_it(events: list[NativeEvent]) -> None:
    """The sums by tick, series and minute are those of adding event by event."""
    wanted: Counts = {}
    for event, tick in zip(events, each_tick(events), strict=True):
        for key, amounts in gains(event):
            known = wanted.setdefault((tick, key, event.time // MINUTE_MS), [0] * len(amounts))
            known[:] = [a + b for a, b in zip(known, amounts, strict=True)]
    assert counts_of(folded([events])[0]) == wanted


@given(streams, st.lists(st.integers(0, 30), max_size=6))
def test_batches_may_be_cut_anywhere(events: list[NativeEvent], cuts: list[int]) -> None:
    """Sums, records, tags and exemplars that the windows keep are the same for any cut, and so is the watermark."""
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    whole, first = folded([events])
    pieces, second = folded([events[a:b] for a, b in pairwise(edges)])
    assert counts_of(pieces) == counts_of(whole)
    for kind in (ScoreRecord, BreakerRecord, DeploymentRecord):
        assert sorted(map(repr, records_of(pieces, kind))) == sorted(map(repr, records_of(whole, kind)))
    assert kept_exemplars(pieces) == kept_exemplars(whole)
    assert tags_of(pieces) == tags_of(whole)
    assert (first.newest_ms, first.tallies) == (second.newest_ms, second.tallies)


def kept_exemplars(inboxes: dict[int, dict[int, list[Delta]]]) -> dict[Any, list[Any]]:
    """The two of the smallest rank by tick, series and minute, each once."""
    found: dict[Any, set[tuple[int, str, str]]] = {}
    for tick, record in records_of(inboxes, ExemplarRecord):
        place = (tick, SeriesKey(KINDS[record.kind], record.environment, record.system, record.dims), record.minute)
        found.setdefault(place, set()).add((record.rank, record.interaction_id, record.trace_id or ""))
    return {place: sorted(known)[:2] for place, known in found.items()}


def tags_of(inboxes: dict[int, dict[int, list[Delta]]]) -> dict[Any, Any]:
    """By tick and system, what stands of all that is told."""
    found: dict[Any, TagsRecord] = {}
    for tick, record in records_of(inboxes, TagsRecord):
        where = (tick, record.environment, record.system)
        if where not in found or record.stands_before(found[where]):
            found[where] = record
    return {where: (one.ms, one.tags) for where, one in found.items()}


@given(streams)
def test_exemplars_are_those_of_the_smallest_hash(events: list[NativeEvent]) -> None:
    """For each series and minute: escalations, denials and failed calls, the two whose id has the smallest CRC-32."""
    wanted: dict[Any, set[tuple[int, str, str]]] = {}
    for event, tick in zip(events, each_tick(events), strict=True):
        for key, identity in shown(event):
            rank = zlib.crc32(identity.encode())
            place = (tick, key, event.time // MINUTE_MS)
            wanted.setdefault(place, set()).add((rank, identity, event.trace_id or ""))
    found = folded([events])[0]
    assert kept_exemplars(found) == {place: sorted(known)[:2] for place, known in wanted.items()}
    assert all(len(known) <= 2 for known in by_series(found).values())


def shown(event: NativeEvent) -> list[tuple[SeriesKey, str]]:
    where = (event.environment, event.system)
    if isinstance(event, Authorization) and event.decision == "deny":
        return [(SeriesKey("agent", *where, (event.agent,)), event.interaction_id or event.id)]
    if not isinstance(event, Interaction):
        return []
    bad = {s.dependency for s in event.steps or () if s.dependency and s.status in ("error", "timeout")}
    found = [(SeriesKey("dependency", *where, (name,)), event.id) for name in sorted(bad)]
    if event.outcome == "escalated":
        found.append((SeriesKey("flow", *where, (event.flow,)), event.id))
    return found


def by_series(inboxes: dict[int, dict[int, list[Delta]]]) -> dict[Any, list[ExemplarRecord]]:
    found: dict[Any, list[ExemplarRecord]] = {}
    for tick, r in records_of(inboxes, ExemplarRecord):
        found.setdefault((tick, r.kind, r.environment, r.system, r.dims, r.minute), []).append(r)
    return found


@given(streams)
def test_tags_are_those_of_the_first_tagged_event_of_the_newest_minute(events: list[NativeEvent]) -> None:
    """Of what becomes visible at a tick; an event without any says nothing. One batch tells each system's once."""
    seen: dict[Any, list[Any]] = {}
    for one, tick in zip(events, each_tick(events), strict=True):
        if one.tags:
            said = (-(one.time // MINUTE_MS), one.time, tuple(sorted(one.tags.items())))
            seen.setdefault((tick, one.environment, one.system), []).append(said)
    found = folded([events])[0]
    assert tags_of(found) == {where: min(those)[1:] for where, those in seen.items()}
    assert len(records_of(found, TagsRecord)) == len(seen)


@given(streams, st.lists(st.integers(0, 30), max_size=4))
def test_a_worker_that_starts_anew_tells_the_same(events: list[NativeEvent], cuts: list[int]) -> None:
    """One that goes on where another ended comes to the same at every tick, whatever the other had told before."""
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    together: dict[int, dict[int, list[Delta]]] = {}
    newest = NEVER
    for begin, end in pairwise(edges):
        inboxes, fold = folded([events[begin:end]], PartitionFold(LATENESS_MS, BUDGETS, newest))
        newest = fold.newest_ms
        for shard, ticks in inboxes.items():
            for tick, deltas in ticks.items():
                together.setdefault(shard, {}).setdefault(tick, []).extend(deltas)
    whole = folded([events])[0]
    assert tags_of(together) == tags_of(whole)
    assert counts_of(together) == counts_of(whole)


@given(streams, streams)
def test_the_order_of_partitions_in_a_batch_does_not_matter(left: list[NativeEvent], right: list[NativeEvent]) -> None:
    """Two partitions that share a batch give the same sums whichever is folded first."""

    def both(order: Sequence[list[NativeEvent]]) -> tuple[Counts, Any, Any]:
        batch = Batch()
        for events in order:
            PartitionFold(LATENESS_MS, BUDGETS).add(events, batch)
        inboxes = {
            shard: {tick: [delta] for tick, delta in ticks.items()}
            for shard, ticks in batch.spread(ShardMap(SHARDS)).items()
        }
        return counts_of(inboxes), kept_exemplars(inboxes), tags_of(inboxes)

    assert both([left, right]) == both([right, left])


@given(streams, st.lists(st.integers(0, 30), max_size=6))
def test_packing_between_pieces_changes_no_sum(events: list[NativeEvent], cuts: list[int]) -> None:
    """What is common may be packed after any piece: one batch says the same, with its exemplars and tags once."""
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    shards, batch, fold = ShardMap(SHARDS), Batch(), PartitionFold(LATENESS_MS, BUDGETS)
    for begin, end in pairwise(edges):
        fold.add(events[begin:end], batch)
        batch.pack_counts(shards)
        assert batch.cells == 0
    packed = {
        shard: {tick: [unpack(blob)] for tick, blob in ticks.items()} for shard, ticks in batch.packed(shards).items()
    }
    whole = folded([events])[0]
    assert counts_of(packed) == counts_of(whole)
    assert batch.events.total() == len(events)
    for kind in (ScoreRecord, BreakerRecord, DeploymentRecord, TagsRecord, ExemplarRecord):
        assert sorted(map(repr, records_of(packed, kind))) == sorted(map(repr, records_of(whole, kind)))


@given(streams)
def test_everything_lies_in_the_shard_of_its_system(events: list[NativeEvent]) -> None:
    """A count or record is only in the shard that the hash of its environment and system names."""
    for shard, ticks in folded([events])[0].items():
        for deltas in ticks.values():
            for delta in deltas:
                for one in (*delta.counts, *delta.records):
                    assert shard_of(one.environment, one.system, SHARDS) == shard


@given(streams)
def test_tallies_count_events_by_type_and_late_ones(events: list[NativeEvent]) -> None:
    """`Batch.events` counts every event by type; `late` those behind the watermark's minute."""
    batch, fold = Batch(), PartitionFold(LATENESS_MS)
    fold.add(events, batch)
    assert batch.events.total() == len(events)
    for kind, name in ((Interaction, "interaction"), (Usage, "usage"), (Deployment, "deployment")):
        assert batch.events[name] == sum(isinstance(event, kind) for event in events)
    late = [t > e.time // MINUTE_MS + 1 for e, t in zip(events, each_tick(events), strict=True)]
    assert fold.tallies.late.total() == sum(late)
    assert fold.newest_ms == max((event.time for event in events), default=NEVER)


def usage(**fields: Any) -> Usage:
    base = {"id": "u1", "time": START_MS, "environment": "prod", "system": "claims", "model": MODEL}
    return Usage(**{**base, "input_tokens": 1000, "output_tokens": 100, **fields})


def test_many_exemplars_in_one_batch_keep_the_smallest() -> None:
    """Thinning on the way loses none of the two smallest, and shows an interaction once."""
    ids = [f"i{number}" for number in range(200)]
    fields = {"time": START_MS, "environment": "prod", "system": "claims", "flow": "f", "outcome": "escalated"}
    events = [Interaction(id=identity, **fields) for identity in ids + ids]  # type: ignore[arg-type]
    (record,) = by_series(folded([events])[0]).values()
    assert [r.interaction_id for r in record] == sorted(ids, key=lambda i: zlib.crc32(i.encode()))[:2]


def test_a_deployment_travels_as_the_contract_reads_it() -> None:
    """The body is the event's canonical JSON, which the contract's model takes."""
    fields = {"change": "prompt", "component": "f", "version": "v2", "phase": "completed", "canary_percent": 5.0}
    event = Deployment(id="d1", time=START_MS + 7, environment="prod", system="claims", **fields)  # type: ignore[arg-type]
    ((tick, record),) = records_of(folded([[event]])[0], DeploymentRecord)
    model = DeploymentModel.model_validate_json(record.body)
    assert (tick, record.ms) == (START_MS // MINUTE_MS + 1, START_MS + 7)
    told = (model.id, model.version, model.canary_percent, round(model.time.timestamp() * 1000))
    assert told == ("d1", "v2", 5.0, event.time)


def test_events_are_left_as_they_were() -> None:
    """Folding changes no event: the same list folds to the same deltas again."""
    events = [usage(tags={"cost-center": "cc-1"}), usage(id="u2", time=START_MS + 1)]
    before = msgspec.json.encode(events)
    assert counts_of(folded([events])[0]) == counts_of(folded([events])[0])
    assert msgspec.json.encode(events) == before
