"""Snapshots: cut into pieces, put together again, and never taken from a torn one."""

from __future__ import annotations

import random

import msgspec
import pytest

from stream import snapshots
from stream.core.checkpoint import Checkpoint, load, save
from stream.core.layouts import LAYOUT, OLDEST
from stream.restore import last_ticks
from stream.snapshots import PIECE_BYTES, PieceRecord, newest, to_records
from stream.store import PartitionState
from tests.unit.core.builders import START, machine, traffic

SHARDS = 4
PARTS = {"agent.interactions/0": PartitionState(7, 123), "agent.usage/1": PartitionState(0, -5)}
INBOXES = [(START + 1, b"one"), (START + 1, b"two"), (START + 2, b"three")]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "PIECE_BYTES", 300)


def snapshot(tick: int, slot: int = 0, shard: int = 1, size: int = 1000, shards: int = SHARDS) -> list[PieceRecord]:
    state = random.Random(tick).randbytes(size)
    return to_records(shard, shards, slot, Checkpoint(tick, state, {(0, 5): b"hour"}), PARTS, INBOXES)


def compacted(*written: list[PieceRecord]) -> list[bytes]:
    """What a compacted topic still holds: the last record of every key."""
    return list({record.key: record.value for records in written for record in records}.values())


def ticks(values: list[bytes]) -> dict[int, int]:
    return {shard: birth.tick for shard, birth in newest(values, SHARDS).items()}


def test_a_snapshot_comes_back_whole() -> None:
    """State, hours, offsets and open inboxes, whatever order the pieces are read in."""
    shard = machine()
    shard.step(START, [traffic(START - 1, 3, 1)])
    checkpoint = save(shard, all_hours=True)
    records = to_records(1, SHARDS, 0, checkpoint, PARTS, INBOXES)
    assert len(records) > 1
    values = [record.value for record in records]
    random.Random(1).shuffle(values)
    birth = newest(values, SHARDS)[1]
    assert (birth.tick, birth.parts, birth.inboxes) == (START, PARTS, INBOXES)
    other = machine()
    assert birth.hours is not None
    load(other, birth.state, dict(birth.hours))
    assert save(other, all_hours=True) == checkpoint


def test_pieces_stay_below_the_limit_of_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte with headers, which they take by default."""
    monkeypatch.setattr(snapshots, "PIECE_BYTES", PIECE_BYTES)
    records = snapshot(START, size=3_000_000)
    assert len(records) == 5
    assert max(len(record.value) for record in records) < 900_000
    assert ticks([record.value for record in records]) == {1: START}


def test_the_newest_whole_one_wins() -> None:
    """Of two slots the later tick, for each shard by itself."""
    one = (snapshot(START, 0), snapshot(START + 9, 1), snapshot(START + 3, 0))
    values = compacted(*one, snapshot(START + 1, 0, shard=2))
    assert ticks(values) == {1: START + 9, 2: START + 1}


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_a_torn_one_is_passed_over(written: int) -> None:
    """A writer that dies amid its pieces leaves the other slot, whole."""
    torn = snapshot(START + 9, 0)
    assert len(torn) > 3
    values = compacted(snapshot(START, 0), snapshot(START + 5, 1), torn[:written])
    assert ticks(values) == {1: START + 5}
    assert ticks(compacted(snapshot(START, 0), snapshot(START + 5, 1), torn)) == {1: START + 9}


def test_a_shorter_one_over_a_longer_one_is_whole() -> None:
    """The rest of the longer one stays in the topic and belongs to nobody."""
    values = compacted(snapshot(START, 0, size=3000), snapshot(START + 9, 0, size=500))
    assert ticks(values) == {1: START + 9}


def piece(value: bytes, **change: object) -> bytes:
    names = ("shard", "tick", "index", "count", "checksum", "data", "namespace")
    fields = dict(zip(names, msgspec.msgpack.decode(value), strict=True)) | change
    return msgspec.msgpack.encode([fields[name] for name in names])


def test_damaged_pieces_are_passed_over() -> None:
    """Changed bytes, impossible numbers, other people's records: the older snapshot stands, and nothing is raised."""
    good, bad = [r.value for r in snapshot(START, 1)], [r.value for r in snapshot(START + 9, 0)]
    for damaged in (
        piece(bad[0], data=b"x" * 300),
        piece(bad[0], index=77),
        piece(bad[0], index=-1),
        piece(bad[0], count=0),
        b"",
        b"\xc1",
        b"hello",
        msgspec.msgpack.encode([1, 2]),
    ):
        assert ticks([*good, damaged, *bad[1:]]) == {1: START}


def test_another_engine_s_snapshots_are_passed_over() -> None:
    """Two engines on one Kafka: each has its own keys, and starts from its own; without a name it is the default's."""
    checkpoint = Checkpoint(START, b"state", {})
    theirs = to_records(1, SHARDS, 0, checkpoint, PARTS, INBOXES, namespace="other")
    ours = to_records(1, SHARDS, 0, checkpoint, PARTS, INBOXES)
    assert {record.key for record in theirs}.isdisjoint(record.key for record in ours)
    assert ticks([record.value for record in theirs]) == {}
    assert newest([record.value for record in theirs], SHARDS, "other").keys() == {1}
    unnamed = [msgspec.msgpack.encode(msgspec.msgpack.decode(record.value)[:-1]) for record in ours]
    assert ticks(unnamed) == {1: START}


def test_another_number_of_shards_or_a_newer_layout_is_passed_over() -> None:
    """Its series belong elsewhere, or nobody here can read it; the shard is rebuilt by time. An older one is taken."""
    assert ticks([r.value for r in snapshot(START, shards=SHARDS + 1)]) == {}
    for layout, found in ((LAYOUT + 1, {}), (LAYOUT, {1: START}), (OLDEST, {1: START}), (OLDEST - 1, {})):
        records = to_records(1, SHARDS, 0, Checkpoint(START, b"state", {}), PARTS, INBOXES, layout=layout)
        assert ticks([r.value for r in records]) == found


def test_a_state_that_cannot_be_read_gives_way_to_an_older_one() -> None:
    """Of two whole snapshots the newer one is damaged inside: the older one is taken, and without one none is."""
    values = compacted(snapshot(START, 0), snapshot(START + 9, 1))
    older = Checkpoint(START, random.Random(START).randbytes(1000), {}).state
    found = newest(values, SHARDS, readable=lambda state: state == older)
    assert {shard: birth.tick for shard, birth in found.items()} == {1: START}
    assert newest(values, SHARDS, readable=lambda _state: False) == {}


def test_the_heartbeats_of_another_engine_do_not_count() -> None:
    """What another engine on the same Kafka has evaluated silences nothing here; without a name it is the default's."""
    beat = {"shard": 1, "shards": SHARDS, "tick": "2026-03-01T02:00:00Z"}
    values = [msgspec.json.encode(beat | {"tick": "2026-03-01T03:00:00Z", "namespace": "other"})]
    assert last_ticks(values, SHARDS) == {}
    assert last_ticks([*values, msgspec.json.encode(beat)], SHARDS) == {1: 29_538_840}
    assert last_ticks(values, SHARDS, "other") == {1: 29_538_900}
