"""CloudEvents 1.0 by the Kafka protocol binding, structured (the value is the event) and binary (headers and data).

The data is an event in Midwatch's own shape, or the record of a tool that is known (a CDEvent, say). An event's `type`,
`id` and `time` may be left to the attributes of the same names; what the data says itself goes first. The type
attribute is `midwatch.<type>` or `io.midwatch.<type>`.

The binding decides by the content type alone: a structured event may carry `ce_` headers as well; they are not read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Final

from schemas.base import JsonObject
from schemas.words import EVENT_TYPES
from stream.adapters.found import Found
from stream.adapters.payload import Payload
from stream.adapters.producers import producer_of
from stream.adapters.reading import kind_of, read_object
from stream.adapters.rejection import RejectedRecord, quote

_STRUCTURED: Final = "application/cloudevents"
_STRUCTURED_JSON: Final = "application/cloudevents+json"
_JSON_MEDIA: Final = re.compile(r"[\w.+*-]+/(?:[\w.-]+\+)?json", re.ASCII)
_PREFIX: Final = re.compile(r"(?:io\.)?midwatch\.")
_FROM_ATTRIBUTES: Final = ("type", "id", "time")
_ENCODED_DEPTH: Final = 64


def is_binary(payload: Payload) -> bool:
    """Whether the headers are a binary-mode event's: they give its version and the content type is not structured."""
    return payload.header("ce_specversion") is not None and not _says_structured(payload)


def read_binary(payload: Payload) -> list[Found]:
    """The event whose attributes are headers and whose data is the value."""
    _check_version(payload.header("ce_specversion"))
    _check_json_data(payload.header("content-type"))
    return _events_of(payload, payload.object, lambda name: payload.header(f"ce_{name}"))


def is_structured(payload: Payload) -> bool:
    """Whether the content type says so or, since some producers forget it, the value has an envelope's fields."""
    return _says_structured(payload) or _looks_structured(payload.object)


def read_structured(payload: Payload) -> list[Found]:
    """The event that is wrapped in the value."""
    media = _media_type(payload.header("content-type"))
    if _says_structured(payload) and media not in (_STRUCTURED, _STRUCTURED_JSON):
        raise RejectedRecord("unsupported_format", f"CloudEvents as {quote(media)}; only {_STRUCTURED_JSON} is read")
    envelope = payload.object
    _check_version(envelope.get("specversion"))
    _check_json_data(envelope.get("datacontenttype"))
    return _events_of(payload, _data_of(envelope), envelope.get)


def _says_structured(payload: Payload) -> bool:
    return _media_type(payload.header("content-type")).startswith(_STRUCTURED)


def _looks_structured(plain: JsonObject) -> bool:
    return "specversion" in plain and ("data" in plain or "data_base64" in plain)


def _media_type(content_type: Any) -> str:
    return content_type.partition(";")[0].strip().lower() if isinstance(content_type, str) else ""


def _check_version(version: Any) -> None:
    if not isinstance(version, str) or not version.startswith("1."):
        said = quote(version) if isinstance(version, str) else "none"
        raise RejectedRecord("unsupported_format", f"CloudEvents version {said}; versions 1.x are read")


def _check_json_data(content_type: Any) -> None:
    media = _media_type(content_type)
    if media and not _JSON_MEDIA.fullmatch(media):
        raise RejectedRecord("unsupported_format", f"CloudEvents data of type {quote(media)}; only JSON is read")


def _data_of(envelope: JsonObject) -> JsonObject:
    data = envelope.get("data")
    encoded = envelope.get("data_base64")
    if data is None and isinstance(encoded, str):
        try:
            return read_object(base64.b64decode(encoded, validate=True), _ENCODED_DEPTH)
        except binascii.Error:
            raise RejectedRecord("malformed_json", "data_base64 is not base64") from None
    if not isinstance(data, dict):
        raise RejectedRecord("not_an_object", f"the CloudEvent's data is {kind_of(data)}; an event is a JSON object")
    return data


def _events_of(payload: Payload, data: JsonObject, attribute: Callable[[str], Any]) -> list[Found]:
    event = _completed(data, attribute)
    if event.get("type") not in EVENT_TYPES:
        inner = payload.holding(data)
        producer = producer_of(inner)
        if producer is not None:
            return producer.read(inner)
    return [event]


def _completed(data: JsonObject, attribute: Callable[[str], Any]) -> JsonObject:
    lacking = {name: attribute(name) for name in _FROM_ATTRIBUTES if name not in data}
    event_type = lacking.get("type")
    if isinstance(event_type, str):
        lacking["type"] = _PREFIX.sub("", event_type, count=1) if _PREFIX.match(event_type) else event_type
    return data | {name: value for name, value in lacking.items() if value is not None}
