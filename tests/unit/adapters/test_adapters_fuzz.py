"""Every format that the decoder knows, spoilt in every way: an event or a rejection comes out, never an exception.

More with `make fuzz`. What records of Midwatch's own mean is in `tests/contract/test_adapters.py`.
"""

from __future__ import annotations

import gzip
import json
import tracemalloc
import unicodedata
from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.canonical import canonical_json
from schemas.words import DeadLetterReason
from stream.adapters import Decoder, Limits, dead_letter, formats
from stream.adapters.controls import decode_controls
from stream.adapters.decoder import Counters, Decoded
from stream.adapters.formats import FORMATS, READER_FAILED, format_of
from stream.adapters.found import MOST_FAULTS, Format, Found
from stream.adapters.otlp import OtlpReader
from stream.adapters.payload import Headers, Origin, Payload
from stream.adapters.rejection import MAX_DETAIL, Rejection
from tests.support.fuzz import effort, patience
from tests.support.fuzz_records import Seed, blown_up, seeds, spoilt
from tests.unit.adapters.events import NOW_MS, SMALLEST, encoded

SEEDS = seeds()
LIMITS = Limits()
ORIGIN = Origin("production", "claims")
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode's categories of what does not show, or turns the direction of a line."""

MEGABYTES = 1_000_000
MOST_MEMORY = 40 * MEGABYTES
"""Of one record of up to half a megabyte, at its worst."""

every_format = pytest.mark.parametrize("name", [known.name for known in FORMATS])


def decoded(value: bytes, headers: Headers = (), *, whole: bool = True) -> tuple[Decoded, Decoder]:
    """What becomes of a record in an engine that reads everything, or without traces and a configured origin."""
    decoder = Decoder(LIMITS, ORIGIN, OtlpReader()) if whole else Decoder()
    return decoder.decode_batch([(value, headers, NOW_MS)]), decoder


def check(value: bytes, headers: Headers) -> None:
    """The record is answered, in few and printable words, and its dead letters can be published."""
    for whole in (True, False):
        batch, decoder = decoded(value, headers, whole=whole)
        rejections = [why for _, why in batch.rejections]
        is_otlp = batch.events == [] and rejections == [] and not decoder.counters.passed_over
        assert not is_otlp or is_empty(value)
        assert len(batch.events) == len(batch.positions)
        assert len(rejections) <= MOST_FAULTS + 1
        check_letters(value, rejections)


def is_empty(value: bytes) -> bool:
    """Whether a record may hold nothing at all: an OTLP request without spans, or lists of a tool that are empty."""
    return value[:1] in b"\n\x00\x1f" or b"resourceSpans" in value or b"resourceLogs" in value or b"[]" in value


def check_letters(value: bytes, rejections: list[Rejection]) -> None:
    """Each has a known reason and words of a bounded length, and makes the same letter each time."""
    for why in rejections:
        assert why.reason in get_args(DeadLetterReason)
        assert 0 < len(why.detail) <= MAX_DETAIL
        assert READER_FAILED not in why.detail, why.detail
        assert not {unicodedata.category(sign) for sign in why.detail} & UNSEEN, why.detail
        letter = dead_letter(why, "t", 0, 1, NOW_MS, value, include_payload=True)
        assert len(canonical_json(letter)) < 40_000


@every_format
def test_it_has_samples(name: str) -> None:
    """A format without a valid record to spoil would not be fuzzed: add one to `tests/support/fuzz_records.py`."""
    assert SEEDS.get(name), f"no sample of {name}"
    for value, headers in SEEDS[name]:
        assert format_of(Payload(value, headers, LIMITS.max_depth, NOW_MS, ORIGIN)).name == name
        batch, decoder = decoded(value, headers)
        assert batch.events or decoder.counters.passed_over or batch.rejections
    if name != "unknown":
        whole = [decoded(*seed) for seed in SEEDS[name]]
        assert any(batch.events or decoder.counters.passed_over for batch, decoder in whole), "no sample is read"


@every_format
@patience(60)
def test_spoilt_records_are_answered(name: str) -> None:
    """Members replaced, dropped, renamed, swapped; bytes damaged; packed, cut off, prefixed; with odd headers."""

    @effort(12)
    @given(st.sampled_from(SEEDS[name]).flatmap(spoilt))
    def answered(record: Seed) -> None:
        check(*record)
        # A record of anything may also lie on the topic of controls.
        found = decode_controls([(*record, NOW_MS)], LIMITS, Counters())
        check_letters(record[0], [why for _, why in found.rejections])

    answered()


@every_format
@patience(60)  # A reader that takes more than linear time hangs here.
def test_a_bomb_in_any_place_is_answered(name: str) -> None:
    """A value of half a megabyte, nested, long or many, in the place of any member."""
    plain = [seed for seed in SEEDS[name] if seed[0][:1] in b"[{"]

    @effort(3)
    @given(st.data())
    def answered(data: st.DataObject) -> None:
        value, headers = data.draw(st.sampled_from(plain))
        bomb = data.draw(blown_up(value))
        check(bomb, headers)

    if plain:
        answered()
    else:
        assert name == "otlp_protobuf"


def peak(work: Callable[[], object]) -> int:
    """Most memory that was held at once, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@effort(100)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"{", b"[", b"\n", b"\x1f\x8b\x08", b"\x00", b"\x01", b'{"type":'])
)
def test_any_bytes_are_answered_by_every_way(value: bytes, start: bytes) -> None:
    """Random bytes, behind what each format begins with."""
    check(start + value, ())


@patience(60)
@pytest.mark.parametrize(
    "value",
    [
        gzip.compress(bytes(200 * MEGABYTES), 9, mtime=0),
        gzip.compress(gzip.compress(bytes(50 * MEGABYTES), 9, mtime=0), 9, mtime=0),
        gzip.compress(b"", mtime=0) * 100_000,
        b"\n\x00" * 100_000,
        b"\n\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00" * 1000,
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b"\x00" * 500_000,
        b"9" * 500_000,
        b'{"resourceSpans":[' + b",".join([b"{}"] * 30_000) + b"]}",
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b",".join([b"{}"] * 30_000) + b"]}]}]}",
    ],
    ids=[
        "bomb",
        "bomb in a bomb",
        "members",
        "resources",
        "varints",
        "arrays",
        "objects",
        "zeros",
        "digits",
        "otlp",
        "spans",
    ],
)
def test_what_is_huge_is_answered_in_bounded_memory(value: bytes) -> None:
    """Half a megabyte, or what unpacks to hundreds: refused or read, and never more than a bounded part of memory."""
    assert peak(lambda: decoded(value)) < MOST_MEMORY


def test_a_record_of_many_faults_makes_few_letters() -> None:
    """The twenty first are told one by one, and of the rest how many there are; what is sound is read all the same."""
    sound = json.loads(next(value for value, _ in SEEDS["opa"] if decoded(value)[0].events))
    batch, _ = decoded(encoded([{"decision_id": "a", "path": "b", "result": True}] * 2_000 + [sound]))
    details = [why.detail for _, why in batch.rejections]
    assert len(batch.events) == 1
    assert len(details) == MOST_FAULTS + 1
    assert details[0].startswith("[0]: ")
    assert details[-1].startswith(
        f"{2_000 - MOST_FAULTS:,} more parts of the record are faulty; the first of them: [20]: "
    )


@pytest.mark.parametrize(
    "record",
    [
        {"resource": {"attributes": "text"}},
        {"resource": {"attributes": None}},
        {"internal_properties": "[" * 100_000},
        {"attributes": {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": "1e999"}},
    ],
    ids=["text", "null", "nested", "infinite"],
)
def test_a_log_record_that_is_none_inside_is_refused(record: dict[str, object]) -> None:
    """Each of these once came out as an exception, which would have stopped the engine at that record for good."""
    value = encoded({"event_name": "gen_ai.evaluation.result", **record})
    batch, _ = decoded(value)
    [(_, why)] = batch.rejections
    assert why.reason == "invalid_field"
    assert READER_FAILED not in why.detail


def test_a_fault_of_a_reader_stops_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a reader raises on a record becomes its dead letter, and the records around it count."""

    def broken(_: Payload) -> list[Found]:
        raise KeyError("a value of the record")

    monkeypatch.setattr(formats, "format_of", lambda _: Format("broken", lambda _: True, broken))
    sound = encoded(SMALLEST["usage"])
    batch = Decoder().decode_batch([(value, (), NOW_MS) for value in (sound, b"{}", sound)])
    assert batch.positions == [0, 2]
    [(_, why)] = batch.rejections
    assert why.detail == f"{READER_FAILED} (KeyError)"
