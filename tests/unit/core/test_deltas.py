"""Deltas: any split and any order of batches gives the same."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.series import COUNTERS, KINDS
from stream.core.deltas import (
    CEILING,
    EXEMPLARS_PER_MINUTE,
    Count,
    Delta,
    ExemplarRecord,
    TagsRecord,
    join_packed,
    merge,
    pack,
    unpack,
)
from stream.core.ticks import MINUTE_MS
from tests.unit.core.builders import START, breaker, count, deployment, exemplar, key, score

counts = st.builds(
    lambda kind, name, minute, amounts: count(minute, *amounts[: len(COUNTERS[kind])], kind=kind, name=name),
    st.sampled_from(KINDS),
    st.sampled_from("ab"),
    st.integers(START, START + 2),
    st.tuples(*[st.integers(0, 2**53)] * 5),
)
records = st.builds(
    lambda make, number: make(f"r{number}", START + number),
    st.sampled_from([score, breaker, exemplar, deployment]),
    st.integers(0, 3),
)
shown = st.builds(
    lambda name, minute, rank, number: exemplar(f"i{number}", START + minute, rank, key(name=name)),
    st.sampled_from("ab"), st.integers(0, 1), st.integers(0, 3), st.integers(0, 3),
)  # fmt: skip
tags = st.builds(
    lambda ms, number, system, team: TagsRecord(f"i{number}", ms, "production", system, (("team", team),)),
    st.integers(0, 3) | st.integers(MINUTE_MS - 1, MINUTE_MS + 1),
    st.integers(0, 3), st.sampled_from("xy"), st.sampled_from("ab"),
)  # fmt: skip
deltas = st.builds(lambda c, r: Delta(tuple(c), tuple(r)), st.lists(counts, max_size=6), st.lists(records, max_size=4))


@given(st.lists(deltas, max_size=5), st.randoms(use_true_random=False))
def test_order_does_not_matter(parts, random) -> None:
    """However the batches, and what is in them, are shuffled: the same delta, to the byte."""
    shuffled = [
        Delta(tuple(random.sample(d.counts, len(d.counts))), tuple(random.sample(d.records, len(d.records))))
        for d in random.sample(parts, len(parts))
    ]
    assert pack(merge(shuffled)) == pack(merge(parts))


@given(st.lists(deltas, max_size=5), st.integers(0, 5))
def test_splits_do_not_matter(parts, cut) -> None:
    """Merging merged pieces is merging all of them."""
    assert merge([merge(parts[:cut]), merge(parts[cut:])]) == merge(parts)


@given(st.lists(deltas, max_size=4))
def test_merge_sums_counts_and_keeps_each_record_once(parts) -> None:
    """Nothing is lost, nothing is counted twice."""
    merged = merge(parts)
    everything = [c for d in parts for c in d.counts]
    places = {(c.kind, c.dims, c.minute) for c in everything}
    assert len(merged.counts) == len(places)
    for found in merged.counts:
        same = [c.amounts for c in everything if (c.kind, c.dims, c.minute) == (found.kind, found.dims, found.minute)]
        assert found.amounts == tuple(min(sum(column), CEILING) for column in zip(*same, strict=True))
    assert len(merged.records) == len(set(merged.records))
    given = {record for d in parts for record in d.records}
    assert set(merged.records) <= given
    assert {r for r in given if not isinstance(r, ExemplarRecord | TagsRecord)} <= set(merged.records)


@given(st.lists(st.lists(st.one_of(shown, tags), max_size=8), max_size=6), st.integers(0, 6))
def test_merge_keeps_the_exemplars_and_tags_that_count(batches, cut) -> None:
    """The first two of each series and minute, and each system's tags, however it was merged before."""
    parts = [Delta((), tuple(batch)) for batch in batches]
    given = {record for batch in batches for record in batch}
    wanted: set[ExemplarRecord | TagsRecord] = set()
    for place in {r.series() for r in given if isinstance(r, ExemplarRecord)}:
        here = [r for r in given if isinstance(r, ExemplarRecord) and r.series() == place]
        for minute in {r.minute for r in here}:
            ordered = sorted((r.rank, r.interaction_id, r) for r in here if r.minute == minute)
            wanted |= {r for _, _, r in ordered[:EXEMPLARS_PER_MINUTE]}
    tagged = [r for r in given if isinstance(r, TagsRecord)]
    for system in {r.system for r in tagged}:
        told = [r for r in tagged if r.system == system]
        newest = max(r.ms // MINUTE_MS for r in told)
        wanted.add(min((r for r in told if r.ms // MINUTE_MS == newest), key=lambda r: (r.ms, r.tags, r.id)))
    assert set(merge(parts).records) == wanted
    assert set(merge([merge(parts[:cut]), *parts[cut:]]).records) == wanted


@given(deltas)
def test_packing_is_reversible(delta) -> None:
    """What goes into the inbox comes out of it."""
    assert unpack(pack(delta)) == delta


def test_amounts_beyond_64_bits_are_packed_as_the_ceiling() -> None:
    """A batch whose sums no integer of the wire can hold does not stop ingestion."""
    delta = Delta((Count(9, "prod", "s", ("a", "m", "payg"), START, (1, 2**70, 3, 4, 5)),))
    assert unpack(pack(delta)).counts[0].amounts == (1, CEILING, 3, 4, 5)


@pytest.mark.parametrize("blob", [b"", b"\xc1", b"\x92\x90", b'{"counts":[]}'])
def test_bytes_that_are_none_of_ours_are_refused(blob: bytes) -> None:
    """With an error of the decoder, not with half a delta."""
    with pytest.raises(msgspec.MsgspecError):
        unpack(blob)


def test_counts_and_exemplars_name_their_series() -> None:
    """The key is the series that they belong to."""
    assert count(START, 1, kind="denial").key() == key(kind="denial")
    assert exemplar("1", START, series=key(kind="agent")).series() == key(kind="agent")


def in_pieces(delta: Delta) -> bytes:
    """A delta put together from its counts and records, each packed by itself."""
    encode = msgspec.msgpack.encode
    counts, records = [encode(one) for one in delta.counts], [encode(one) for one in delta.records]
    return join_packed(len(counts), counts, len(records), records)


@given(deltas)
def test_packing_piece_by_piece_is_packing(delta) -> None:
    """What is packed by itself and joined is, to the byte, what packing the whole gives."""
    assert in_pieces(delta) == pack(delta)


@pytest.mark.parametrize("number", [15, 16, 65_535, 65_536])
def test_many_pieces_are_counted_as_msgpack_counts(number: int) -> None:
    """The heads of short, long and longest lists are right on both sides of each bound."""
    delta = Delta(tuple([count(START, 1)] * number))
    assert in_pieces(delta) == pack(delta)
