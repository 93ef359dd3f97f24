"""CloudEvents by the Kafka protocol binding 1.0."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.unit.adapters.events import INTERACTION, accepted, encoded, rejected

EXPECTED = accepted(encoded(INTERACTION))
BARE = {key: value for key, value in INTERACTION.items() if key not in ("type", "id", "time")}
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/fleet/claims",
    "type": "midwatch.interaction",
    "time": "2026-01-05T10:00:00Z",
}
BINARY = [(f"ce_{name}", text.encode()) for name, text in ATTRIBUTES.items()]
STRUCTURED = ("content-type", b"application/cloudevents+json; charset=UTF-8")


def envelope(data: Any = BARE, **changes: Any) -> bytes:
    """A structured event around `data`; a change to None leaves the attribute out."""
    attributes = ATTRIBUTES | {"datacontenttype": "application/json"} | changes
    return encoded({name: value for name, value in attributes.items() if value is not None} | {"data": data})


def test_binary_mode() -> None:
    """Attributes come from headers, the data is the value."""
    assert accepted(encoded(BARE), [*BINARY, ("content-type", b"application/json")]) == EXPECTED


def test_binary_mode_without_content_type() -> None:
    """Data without a stated type is taken for JSON."""
    assert accepted(encoded(BARE), BINARY) == EXPECTED


@pytest.mark.parametrize("content_type", [STRUCTURED[1], b"application/cloudevents", b"Application/CloudEvents+JSON"])
def test_structured_mode(content_type: bytes) -> None:
    """The whole event is the value; the content type says so, in upper or lower case."""
    assert accepted(envelope(), [("content-type", content_type)]) == EXPECTED
    assert accepted(envelope(), [("Content-Type", content_type)]) == EXPECTED


def test_structured_mode_with_headers_of_binary_mode() -> None:
    """The binding allows `ce_` headers beside a structured event; the value alone counts."""
    misleading = [("ce_specversion", b"1.0"), ("ce_id", b"other"), ("ce_type", b"midwatch.usage")]
    assert accepted(envelope(), [*misleading, STRUCTURED]) == EXPECTED


@pytest.mark.parametrize("headers", [[], [("content-type", b"application/json")]])
def test_structured_mode_is_known_by_its_fields(headers: list[tuple[str, bytes]]) -> None:
    """An envelope whose producer forgot the content type is still opened."""
    assert accepted(envelope(), headers) == EXPECTED


def test_structured_mode_with_base64_data() -> None:
    """Data may be encoded."""
    value = encoded(ATTRIBUTES | {"data_base64": base64.b64encode(encoded(BARE)).decode()})
    assert accepted(value, [STRUCTURED]) == EXPECTED
    assert rejected(encoded(ATTRIBUTES | {"data_base64": "%"}), [STRUCTURED]).reason == "malformed_json"


@pytest.mark.parametrize("event_type", ["midwatch.interaction", "io.midwatch.interaction", "interaction"])
def test_the_type_attribute_names_the_event_type(event_type: str) -> None:
    """With either prefix or none."""
    assert accepted(envelope(type=event_type), [STRUCTURED]) == EXPECTED
    headers = [*BINARY, ("ce_type", event_type.encode())]
    assert accepted(encoded(BARE), headers) == EXPECTED


def test_the_data_goes_before_the_attributes() -> None:
    """What the data says of type, id and time is not replaced."""
    data = BARE | {"type": "interaction", "id": "inner", "time": "2026-01-05T10:01:00Z"}
    for read in (
        accepted(envelope(data, type="com.example.finished"), [STRUCTURED]),
        accepted(encoded(data), [*BINARY, ("ce_type", b"com.example.finished")]),
        accepted(encoded(data | {"x": 1}), [*BINARY, ("ce_type", b"com.example.finished")]),
    ):
        assert (read.id, read.time) == ("inner", EXPECTED.time + 60_000)


def test_headers_of_other_kinds_do_not_make_a_cloudevent() -> None:
    """Tracing headers, a content type of JSON, or `ce_` headers without a version leave a native event native."""
    for headers in ([("traceparent", b"00-1")], [("content-type", b"application/json")], [("ce_type", b"nothing")]):
        assert accepted(encoded(INTERACTION), headers) == EXPECTED
        assert accepted(encoded(INTERACTION | {"x": 1}), headers) == EXPECTED


@pytest.mark.parametrize(
    ("value", "headers", "reason", "said"),
    [
        (envelope(specversion="0.3"), [STRUCTURED], "unsupported_format", "'0.3'"),
        (envelope(specversion=None), [STRUCTURED], "unsupported_format", "none"),
        (envelope("text", datacontenttype="text/plain"), [STRUCTURED], "unsupported_format", "text/plain"),
        (envelope("text"), [STRUCTURED], "not_an_object", "a string"),
        (encoded(ATTRIBUTES), [STRUCTURED], "not_an_object", "null"),
        (envelope(type="com.example.finished"), [STRUCTURED], "unknown_type", "com.example.finished"),
        (envelope(id=None), [STRUCTURED], "invalid_field", "`id` is required"),
        (envelope(id=5), [STRUCTURED], "invalid_field", "`id`"),
        (encoded([]), [("content-type", b"application/cloudevents-batch+json")], "unsupported_format", "batch"),
        (b"x", [("content-type", b"application/cloudevents+avro")], "unsupported_format", "avro"),
        (b"x", [("Content-Type", b"Application/CloudEvents+Avro")], "unsupported_format", "avro"),
        (b"<a/>", [*BINARY, ("content-type", b"text/xml")], "unsupported_format", "text/xml"),
        (encoded(BARE), [*BINARY, ("ce_specversion", b"2.0")], "unsupported_format", "'2.0'"),
        (encoded(BARE), [*BINARY, ("ce_type", b"\xff")], "not_utf8", "ce_type"),
        (encoded(BARE | {"flow": 5}), BINARY, "invalid_field", "`flow`"),
        (b"[]", BINARY, "not_an_object", "an array"),
    ],
)
def test_what_cannot_be_read_is_rejected(
    value: bytes, headers: list[tuple[str, bytes]], reason: str, said: str
) -> None:
    """Each with its reason."""
    rejection = rejected(value, headers)
    assert rejection.reason == reason
    assert said in rejection.detail


@pytest.mark.parametrize("media", [b"application/json; charset=utf-8", b"text/json", b"application/vnd.fleet+json"])
def test_any_json_media_type_is_json(media: bytes) -> None:
    """Parameters and suffixes do not matter."""
    assert accepted(encoded(BARE), [*BINARY, ("content-type", media)]) == EXPECTED


SDK_DATA = b'{"environment": "production", "system": "claims", "flow": "refund", "outcome": "escalated"}'


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (
            SDK_DATA,
            {
                "ce_type": b"midwatch.interaction", "ce_source": b"/fleet/claims", "ce_id": b"i-1",
                "ce_time": b"2026-01-05T10:00:00Z", "ce_specversion": b"1.0", "content-type": b"application/json",
                "ce_subject": b"refund", "ce_partitionkey": b"refund",
            },
        ),
        (
            b'{"type": "midwatch.interaction", "source": "/fleet/claims", "id": "i-1", "time": "2026-01-05T10:00:00Z", '
            b'"specversion": "1.0", "datacontenttype": "application/json", "subject": "refund", '
            b'"partitionkey": "refund", "data": ' + SDK_DATA + b"}",
            {"content-type": b"application/cloudevents+json"},
        ),
    ],
    ids=["binary", "structured"],
)  # fmt: skip
def test_what_the_sdk_writes_is_read(value: bytes, headers: dict[str, bytes]) -> None:
    """The bytes of cloudevents 2.2.0 for Python, by its to_binary_event and to_structured_event."""
    event: Any = accepted(value, list(headers.items()))
    assert (event.id, event.environment, event.system) == ("i-1", "production", "claims")
    assert (event.flow, event.outcome) == ("refund", "escalated")
