"""Poison records: each gives exactly one rejection with its reason and place, and the records around it count."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.canonical import canonical_json
from schemas.words import DeadLetterReason
from stream.adapters import Decoder, Limits, Rejection, dead_letter
from tests.unit.adapters.events import INTERACTION, NOW_MS, SMALLEST, decode, encoded, rejected


def adding(member: str) -> bytes:
    """A valid interaction with one more member, given as JSON text."""
    return encoded(INTERACTION)[:-1] + f",{member}}}".encode()


def without(name: str) -> bytes:
    """An interaction that lacks a field."""
    return encoded({key: value for key, value in INTERACTION.items() if key != name})


POISON: dict[str, tuple[bytes, DeadLetterReason, str]] = {
    # name: value, reason, what the detail has to say
    "empty": (b"", "malformed_json", "empty"),
    "white space": (b" \n", "malformed_json", "empty"),
    "cut off": (encoded(INTERACTION)[:-5], "malformed_json", "ends inside a value"),
    "two values": (encoded(INTERACTION) * 2, "malformed_json", "trailing characters"),
    "trailing comma": (adding(""), "malformed_json", "trailing comma"),
    "single quotes": (b"{'type': 'usage'}", "malformed_json", "byte 1"),
    "byte order mark": (b"\xef\xbb\xbf" + encoded(INTERACTION), "malformed_json", "byte order mark"),
    "text": (b"hello", "malformed_json", "byte 0"),
    "raw control character": (adding('"model":"a\x01b"'), "malformed_json", "invalid character"),
    "lone surrogate": (adding('"model":"\\ud800 and more"'), "malformed_json", "surrogate"),
    "lone surrogate at the end": (adding('"model":"\\ud800"'), "malformed_json", "escape"),
    "lone surrogate in an unknown field": (adding('"x":"\\udc00 "'), "malformed_json", "surrogate"),
    "not UTF-8": (adding('"model":"a"').replace(b'"a"', b'"\xff"'), "not_utf8", "0xff at offset 167"),
    "not UTF-8 in an unknown field": (adding('"x":"a"').replace(b'"a"', b'"\xe9"'), "not_utf8", "0xe9"),
    "UTF-16": (encoded(INTERACTION).decode().encode("utf-16"), "not_utf8", "0xff at offset 0"),
    "encoded surrogate": (adding('"x":"a"').replace(b'"a"', b'"\xed\xa0\x80"'), "not_utf8", "0xed"),
    "array": (b"[1,2]", "not_an_object", "an array"),
    "number": (b"17", "not_an_object", "a number"),
    "null inside": (b"null", "not_an_object", "null"),
    "batch of events": (encoded([INTERACTION]), "not_an_object", "an array"),
    "no type": (without("type"), "missing_type", "interaction, authorization"),
    "no type behind a line break": (b"\n{}", "missing_type", "no `type`"),
    "misspelt type": (encoded(INTERACTION | {"type": "interacton"}), "unknown_type", "did you mean 'interaction'"),
    "type in another spelling": (
        encoded(INTERACTION | {"type": "Circuit-Breaker"}),
        "unknown_type",
        "'circuit_breaker'",
    ),
    "unknown type": (encoded(INTERACTION | {"type": "xyz"}), "unknown_type", "'xyz'"),
    "number as type": (encoded(INTERACTION | {"type": 5}), "unknown_type", "a number"),
    "endless type": (encoded(INTERACTION | {"type": "t" * 10_000}), "unknown_type", "..."),
    "missing field": (without("flow"), "invalid_field", "`flow` is required"),
    "wrong type": (encoded(INTERACTION | {"flow": 5}), "invalid_field", "`flow`: should be a valid string"),
    "number as text": (encoded(INTERACTION | {"duration_ms": "5"}), "invalid_field", "a string of 1 characters"),
    "boolean as number": (encoded(INTERACTION | {"duration_ms": True}), "invalid_field", "a boolean"),
    "unknown word": (encoded(INTERACTION | {"outcome": "fine"}), "invalid_field", "'resolved', 'escalated'"),
    "negative count": (encoded(SMALLEST["usage"] | {"input_tokens": -1}), "invalid_field", "`input_tokens`"),
    "fraction as count": (encoded(SMALLEST["usage"] | {"input_tokens": 1.5}), "invalid_field", "valid integer"),
    "score too high": (encoded(SMALLEST["evaluation"] | {"score": 5.01}), "invalid_field", "less than or equal to 5"),
    "empty name": (encoded(INTERACTION | {"system": ""}), "invalid_field", "`system`"),
    "long name": (encoded(INTERACTION | {"system": "s" * 257}), "invalid_field", "a string of 257 characters"),
    "fault inside a step": (
        encoded(INTERACTION | {"steps": [{"agent": "a"}]}),
        "invalid_field",
        "`steps[0].operation`",
    ),
    "too many steps": (encoded(INTERACTION | {"steps": [None] * 1001}), "invalid_field", "`steps"),
    "many faults": (encoded({"type": "usage"}), "invalid_field", "and 4 more"),
    "duplicate type": (adding('"type":"nothing"'), "unknown_type", "'nothing'"),
    "NaN": (adding('"duration_ms":NaN'), "not_finite", "NaN at offset 172"),
    "minus infinity": (adding('"duration_ms":-Infinity'), "not_finite", "-Infinity"),
    "NaN in an unknown field": (adding('"x":[NaN]'), "not_finite", "NaN"),
    "NaN behind a text with NaN": (adding('"x":"NaN \\" NaN","y":NaN'), "not_finite", "offset 179"),
    "1e999": (adding('"duration_ms":1e999'), "not_finite", "too large"),
    "1e999 in an unknown field": (adding('"x":1e999'), "not_finite", "too large"),
    "10^400 as number": (adding('"duration_ms":1' + "0" * 400), "not_finite", "`duration_ms`"),
    "10^400 as count": (
        encoded(SMALLEST["usage"] | {"output_tokens": 10**400}),
        "invalid_field",
        "`output_tokens`: should be less",
    ),
    "10^5000": (adding('"x":1' + "0" * 5000), "not_finite", "too large"),
    "10 MB": (b'{"type":"' + b"x" * 10_000_000 + b'"}', "too_large", "10,000,011 bytes"),
    "100,000 arrays": (adding('"x":' + "[" * 100_000 + "]" * 100_000), "too_deep", "more than 64 deep"),
    "100,000 objects": (b'{"type":' * 100_000 + b"1" + b"}" * 100_000, "too_deep", "more than 64 deep"),
    "100,000 objects before the type": (b'{"x":' * 100_000 + b"1" + b"}" * 100_000, "too_deep", "deep"),
    "100,000 open brackets": (b"[" * 100_000, "too_deep", "deep"),
    "not a time": (encoded(INTERACTION | {"time": "yesterday"}), "invalid_field", "`time`: is no RFC 3339"),
    "time without zone": (encoded(INTERACTION | {"time": "2026-01-05T10:00:00"}), "invalid_field", "with a zone"),
    "leap second": (encoded(INTERACTION | {"time": "2026-01-05T10:00:60Z"}), "invalid_field", "`time`"),
    "time as number": (encoded(INTERACTION | {"time": NOW_MS}), "invalid_field", "`time`"),
    "future": (encoded(INTERACTION | {"time": "2026-01-05T10:05:00.001Z"}), "future_timestamp", "300 s are allowed"),
    "far future": (encoded(INTERACTION | {"time": "2100-01-01T00:00:00Z"}), "future_timestamp", "2100-01-01"),
    "ancient": (encoded(INTERACTION | {"time": "2025-12-08T09:59:59.999Z"}), "ancient_timestamp", "are allowed"),
    "before 2000": (encoded(INTERACTION | {"time": "1970-01-01T00:00:00Z"}), "ancient_timestamp", "2000-01-01"),
    "registry prefix alone": (b"\x00\x00\x00\x00\x07", "malformed_json", "empty"),
    "Avro": (b"\x00\x00\x00\x00\x07\x06abc\x02", "malformed_json", "byte 0"),
    "OTLP protobuf": (b"\x0a\x05\x12\x03abc", "unsupported_format", "OTLP"),
    "OTLP JSON": (b'{"resourceSpans":[]}', "unsupported_format", "OTLP"),
}


@pytest.mark.parametrize(("value", "reason", "said"), POISON.values(), ids=POISON.keys())
def test_each_poison_is_rejected_with_its_reason(value: bytes, reason: DeadLetterReason, said: str) -> None:
    """A record that is no event is refused for the right reason, in words that name the place or the remedy."""
    rejection = rejected(value)
    assert rejection.reason == reason, rejection
    assert said in rejection.detail
    assert len(rejection.detail) <= 500
    assert rejection.detail.isprintable()


def test_poison_disturbs_nothing_around_it() -> None:
    """In a batch with every poison, each gives one rejection in its place, and every event between them is read."""
    good = [encoded(event) for event in SMALLEST.values()]
    values = [
        value for index, (poison, _, _) in enumerate(POISON.values()) for value in (poison, good[index % len(good)])
    ]
    batch = Decoder().decode_batch([(value, (), NOW_MS) for value in values])
    assert [position for position, _ in batch.rejections] == list(range(0, len(values), 2))
    assert [rejection.reason for _, rejection in batch.rejections] == [reason for _, reason, _ in POISON.values()]
    assert batch.positions == list(range(1, len(values), 2))
    assert [type(event).__struct_config__.tag for event in batch.events] == [
        json.loads(values[position])["type"] for position in batch.positions
    ]


@pytest.mark.parametrize(("value", "reason", "said"), POISON.values(), ids=POISON.keys())
def test_each_poison_becomes_a_dead_letter(value: bytes, reason: DeadLetterReason, said: str) -> None:
    """The dead letter says reason, place and size, keeps within its caps, and always has the same bytes."""
    letters = [
        dead_letter(rejected(value), "agent.usage", 3, 42, NOW_MS, value, include_payload=True) for _ in range(2)
    ]
    assert canonical_json(letters[0]) == canonical_json(letters[1])
    body = json.loads(canonical_json(letters[0]))
    assert body["reason"] == reason
    assert said in body["detail"]
    assert (body["topic"], body["partition"], body["offset"], body["size"]) == ("agent.usage", 3, 42, len(value))
    assert len(body["payload"]) <= 4096


def test_a_detail_never_repeats_a_value() -> None:
    """What a producer sent as a value appears in no detail, nor does a secret-like name in full."""
    secret = "4111 1111 1111 1111"
    events: list[dict[str, Any]] = [
        INTERACTION | {"outcome": secret},
        INTERACTION | {"flow": [secret]},
        INTERACTION | {"time": secret},
        INTERACTION | {"type": secret},
        INTERACTION | {"tags": {secret: 5}},
        INTERACTION | {"tags": {"a@example.com": 5}},
    ]
    for event in events:
        detail = rejected(encoded(event)).detail
        assert "1111" not in detail
        assert "example" not in detail


def test_ages_at_the_limits_are_accepted() -> None:
    """An event exactly as far in the future or the past as allowed is read; one millisecond more is refused."""
    decoder = Decoder(Limits(max_future_ms=1000, max_age_ms=2000))
    value = encoded(INTERACTION)
    for received, fits in ((-1000, True), (-1001, False), (2000, True), (2001, False)):
        for _ in range(2):
            outcome = decoder.decode(value, (), NOW_MS + received)
            assert isinstance(outcome, Rejection) is not fits


def test_ages_do_not_matter_without_limits() -> None:
    """Replay switches the ages off, and a record without a timestamp has none to be compared with."""
    value = encoded(INTERACTION)
    for decoder, received in ((Decoder(Limits(max_future_ms=None, max_age_ms=None)), 0), (Decoder(), -1)):
        for _ in range(2):
            assert not isinstance(decoder.decode(value, (), received), Rejection)


def test_the_size_limit_is_exact() -> None:
    """A value of the largest size is read, one byte more is refused, and never parsed."""
    value = encoded(INTERACTION)
    assert not isinstance(decode(Decoder(Limits(max_bytes=len(value))), value), Rejection)
    refused = decode(Decoder(Limits(max_bytes=len(value) - 1)), value)
    assert isinstance(refused, Rejection)
    assert refused.reason == "too_large"


@pytest.mark.parametrize("bracket", ["[]", "{}"])
def test_the_depth_limit_is_exact(bracket: str) -> None:
    """Unknown fields may nest to the limit and no deeper, and brackets inside texts do not count."""
    opening = "[" if bracket == "[]" else '{"a":'
    closing = bracket[1]
    for depth, fits in ((63, True), (64, False)):
        value = adding(f'"t":"{"[" * 200}\\"{"{" * 200}","x":{opening * depth}1{closing * depth}')
        assert isinstance(decode(Decoder(), value), Rejection) is not fits


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.binary(max_size=200), st.binary(max_size=30).map(lambda tail: b"\x00\x00\x00\x00\x01{" + tail)),
    st.lists(
        st.tuples(
            st.sampled_from(["content-type", "ce_specversion", "ce_type", "ce_id", "ce_time", "x"]),
            st.binary(max_size=20) | st.sampled_from([b"application/cloudevents", b"1.0", b"application/json"]),
        ),
        max_size=4,
    ),
)
def test_any_bytes_are_answered(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    """Whatever value and headers hold, the decoder answers, and its answer fits a dead letter."""
    outcome = decode(Decoder(), value, headers)
    if isinstance(outcome, Rejection):
        assert outcome.detail
        assert dead_letter(outcome, "t", 0, 0, -1, value, include_payload=True).timestamp is None
