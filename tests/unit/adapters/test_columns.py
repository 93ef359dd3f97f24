"""Decoding in columns: event for event, time for time and letter for letter what decoding one by one gives."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.adapters import Columns, Counters, Decoded, Decoder, Limits
from stream.adapters.times import INVALID, TimeReader
from tests.unit.adapters.events import INTERACTION, NOW_MS, SMALLEST, encoded

LIMITS = Limits(max_bytes=4000, max_future_ms=60_000, max_age_ms=86_400_000)


@dataclass(frozen=True)
class FakeRecord:
    value: bytes | None
    timestamp: int = NOW_MS
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def at(time: str, event_type: str = "usage") -> bytes:
    return encoded(SMALLEST[event_type] | {"time": time})


NOW = INTERACTION["time"]
TIMES = [
    NOW, "2026-01-05T02:00:07.25Z", "2026-01-05T02:00:07.250Z", "2026-01-05T02:01:59.999Z", "2026-01-05T02:00:07Z",
    "2026-01-05T02:00:07.123456Z", "2026-01-05T02:00:07.250+00:00", "2026-01-05T03:00:07.250+01:00",
    "1999-01-01T00:00:00Z",
    "2026-13-05T02:00:07.250Z", "2026-01-05T02:00:67.250Z", "2026-01-05 02:00:07.250Z", "", "\n", "yesterday",
]  # fmt: skip
odd_values: st.SearchStrategy[bytes | None] = st.one_of(
    st.sampled_from([None, b"", b"{", b"[]", b"\xff", b"x" * 5000, encoded(INTERACTION | {"x": 1}), b"null"]),
    st.sampled_from(sorted(SMALLEST)).map(lambda name: encoded(SMALLEST[name])),
    st.tuples(st.sampled_from(TIMES), st.sampled_from(sorted(SMALLEST))).map(lambda pair: at(*pair)),
)
broken = b"\x1f\x8b broken gzip"
fake_records = st.builds(
    FakeRecord,
    st.one_of(odd_values, st.just(broken)),
    st.sampled_from([NOW_MS, NOW_MS, NOW_MS, NOW_MS - 120_000, NOW_MS + 2 * 86_400_000, -1, 0, 2**63 - 1, -(2**63)]),
    st.sampled_from([[], [("ce_id", b"1"), ("ce_specversion", b"1.0"), ("ce_type", b"x")]]),
)


def one_by_one(records: list[FakeRecord], now_ms: int | None) -> tuple[Decoded, Counters]:
    decoder = Decoder(LIMITS)
    received = [r.timestamp if now_ms is None or 0 <= r.timestamp < now_ms else now_ms for r in records]
    batch = decoder.decode_batch([(r.value, r.headers, ms) for r, ms in zip(records, received, strict=True)])
    return batch, decoder.counters


def counted(counters: Counters) -> tuple[Any, ...]:
    return counters.tombstones, counters.passed_over, vars(counters.unknown_fields)


def same(columns: Columns, batch: Decoded) -> None:
    assert columns.times.tolist() == [event.time for event in batch.events]
    for event, time in zip(columns.events, columns.times.tolist(), strict=True):
        msgspec.structs.force_setattr(event, "time", time)
    assert columns.events == batch.events
    assert columns.rejections == batch.rejections


@given(st.lists(fake_records, max_size=30), st.sampled_from([None, NOW_MS, NOW_MS + 1000]))
@example([FakeRecord(encoded(INTERACTION))] * 20, None)
@example([FakeRecord(at(time)) for time in TIMES for _ in range(3)], NOW_MS)
def test_columns_are_what_one_by_one_gives(records: list[FakeRecord], now_ms: int | None) -> None:
    """Events, times, dead letters and counters, in the order of the records, whatever is among them."""
    batch, counters = one_by_one(records, now_ms)
    decoder = Decoder(LIMITS)
    same(decoder.decode_columns(records, now_ms), batch)
    assert counted(decoder.counters) == counted(counters)


def test_a_record_of_several_events_keeps_its_place() -> None:
    """What one record holds comes between what is before and behind it."""
    packed = json.dumps([{"decision_id": "d", "path": "a", "result": True, "timestamp": NOW}] * 2).encode()
    records = [FakeRecord(encoded(INTERACTION)), FakeRecord(packed), FakeRecord(at(NOW))] * 3
    batch, _ = one_by_one(records, None)
    same(Decoder(LIMITS).decode_columns(records), batch)


texts = st.one_of(
    st.sampled_from(TIMES),
    st.builds(
        "2026-01-05T02:{:02}:{:02}.{:03}{}".format,
        st.integers(0, 61), st.integers(0, 61), st.integers(0, 999), st.sampled_from(["Z", "+00:00", "z", "\n"]),
    ),
)  # fmt: skip


repeated = st.tuples(texts, st.integers(1, 40)).map(lambda pair: [pair[0]] * pair[1])


@given(st.one_of(st.lists(texts, max_size=20), repeated))
@example(["2026-01-05T02:00:07.250Z", "2026-01-05T02:00:07.2\n0Z"])
@example(["2026-01-05T02:00:07Z\n2026-01-05T02:00:07Z", ""])
@example(["2026-01-05T02:00:07.250Z"] * 30 + ["2026-01-05T02:61:07.250Z"])
@example(["2026-01-05T02:00:07.250Z"] * 30 + ["2026-01-05T02:00:60.250Z"])
def test_times_are_read_together_as_one_by_one(found: list[str]) -> None:
    """A column of times holds what reading each gives, and the mark of those that are none."""
    wanted = []
    for text in found:
        try:
            wanted.append(TimeReader().read(text))
        except ValueError:
            wanted.append(INVALID)
    assert TimeReader().read_many(found).tolist() == wanted


@pytest.mark.parametrize("ending", ["Z", ".5Z", ".25Z", ".125Z", ".123456789Z", ".125+00:00"])
def test_every_layout_is_read_as_a_column(ending: str) -> None:
    """No common layout falls back to reading text by text."""
    found = [f"2026-01-05T02:0{number // 20}:{number % 60:02}{ending}" for number in range(100)]
    reader = TimeReader()
    column = reader._column(found)
    assert column is not None
    assert column.dtype == np.int64
    assert column.tolist() == [TimeReader().read(text) for text in found]


@pytest.mark.parametrize("place", range(len("2026-01-05T02:00:07.250Z")))
def test_one_wrong_character_anywhere_is_noticed(place: int) -> None:
    """Whatever ASCII character stands at a place of one time among others, it counts as it does by itself."""
    good = "2026-01-05T02:00:07.250Z"
    reader, alone = TimeReader(), TimeReader()
    for character in map(chr, range(32, 127)):
        text = good[:place] + character + good[place + 1 :]
        try:
            wanted = alone.read(text)
        except ValueError:
            wanted = INVALID
        known = alone.read(good)
        assert reader.read_many([good] * 9 + [text] + [good] * 9).tolist() == [known] * 9 + [wanted] + [known] * 9
