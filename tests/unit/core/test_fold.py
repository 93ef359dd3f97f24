"""The fold, held against a naive model: one event at a time, written as the rules are written."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Deployment as DeploymentModel
from schemas.series import KINDS, SeriesKey
from stream.adapters.native import (
    Authorization,
    Deployment,
    Interaction,
    NativeEvent,
    Usage,
)
from stream.core.deltas import (
    BreakerRecord,
    Delta,
    DeploymentRecord,
    ExemplarRecord,
    ScoreRecord,
    TagsRecord,
    unpack,
)
from stream.core.fold import Batch, PartitionFold
from stream.core.shards import ShardMap, shard_of
from stream.core.ticks import MINUTE_MS, NEVER
from tests.unit.core.folding import (
    BUDGETS,
    LATENESS_MS,
    SHARDS,
    START_MS,
    Counts,
    counts_of,
    each_tick,
    folded,
    gains,
    records_of,
    streams,
    usage,
)


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
