"""A body to records, and each record to its topic: what ingest would refuse is refused here, with the same words.

The bytes of a record go to Kafka as they came. What the request says beside them becomes headers of the record: the
attributes of a CloudEvent in binary mode (`ce-id` becomes `ce_id`), the event's name from GitHub, and what the query
says of whose they are (`?environment=production&system=claims`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final
from urllib.parse import unquote

import msgspec

from schemas.words import TOPIC_OF_TYPE
from stream.adapters import Decoder, Rejection
from stream.adapters.foreign import HEADER_PREFIX, WORDS
from stream.adapters.formats import format_of
from stream.adapters.payload import Payload
from stream.adapters.producers import producer_of
from stream.adapters.rejection import RejectedRecord, quote
from stream.ingest_http.answers import Trouble
from stream.ingest_http.writer import OutRecord

MOST_RECORDS: Final = 10_000
"""Most records of one request."""

QUERY_WORDS: Final = (*WORDS, "instance")
KEPT_HEADERS: Final = ("content-type", "x-github-event")
LINES: Final = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/ndjson")
CLOUD_BATCH: Final = "application/cloudevents-batch"
_CLOUD: Final = "application/cloudevents"
_JSON: Final = re.compile(r"(?:application|text)/(?:[\w.-]+\+)?json", re.ASCII)
_LONGEST_WORD: Final = 256
_MANY_COMMAS: Final = 500_000
"""An array with more commas is counted before it is taken apart, which needs some 130 bytes for each element."""

_SIGNS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)
"""Strings, which may hold any sign, and the signs that make JSON's structure. A string without an end goes to the end
of the body, so that nothing is gone through twice."""

_OTLP: Final = ("otlp_protobuf", "otlp_json")

Headers = list[tuple[str, bytes]]
_raws: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(slots=True)
class Sorted:
    """The records of a body: where each goes, or why it goes nowhere."""

    records: list[OutRecord] = field(default_factory=list)
    refused: list[tuple[int, Rejection]] = field(default_factory=list)
    faulty_parts: list[tuple[int, Rejection]] = field(default_factory=list)
    """Parts of records that are stored for their other parts; the engine makes dead letters of them."""
    passed_over: int = 0
    unknown_fields: Counter[str] = field(default_factory=Counter)


def query_headers(query: Sequence[tuple[str, str]]) -> Headers:
    """What the query says of the records, as their headers. Raises Trouble (422) for a word that is none."""
    found: Headers = []
    for word, value in query:
        if word not in QUERY_WORDS:
            raise Trouble(422, f"the query says {quote(word)}; it may say {', '.join(QUERY_WORDS)}")
        if not 0 < len(value) <= _LONGEST_WORD:
            raise Trouble(422, f"{word} in the query must have 1 to {_LONGEST_WORD} characters")
        found.append((HEADER_PREFIX + word, value.encode("utf-8", "replace")))
    return found


def split(body: bytes, headers: Mapping[str, str]) -> tuple[list[bytes], Headers]:
    """The records in a body, and the headers that each gets. Raises Trouble: 400, 413, 415."""
    media = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    kept = _kept(headers)
    if media.startswith(CLOUD_BATCH):
        return _array(body), [("content-type", b"application/cloudevents+json")]
    if media.startswith(_CLOUD):
        return [body], kept
    if "ce-specversion" in headers:
        attributes = [(f"ce_{name[3:]}", value) for name, value in headers.items() if name.startswith("ce-")]
        return [body], [*kept, *((name, unquote(value).encode("utf-8", "replace")) for name, value in attributes)]
    if media in LINES:
        return _lines(body), [pair for pair in kept if pair[0] != "content-type"]
    if not _JSON.fullmatch(media):
        raise Trouble(415, f"content-type {quote(media)} is not read; send JSON, NDJSON or CloudEvents")
    return (_array(body) if body.lstrip()[:1] == b"[" else [body]), kept


def _kept(headers: Mapping[str, str]) -> Headers:
    """What every record of the request gets along, and therefore short."""
    for name in KEPT_HEADERS:
        if len(headers.get(name, "")) > _LONGEST_WORD:
            raise Trouble(400, f"the header {name} has more than {_LONGEST_WORD} characters")
    return [(name, headers[name].encode("utf-8", "replace")) for name in KEPT_HEADERS if name in headers]


def _lines(body: bytes) -> list[bytes]:
    """The lines that hold anything; counted as they are found, for a megabyte may hold a million of them."""
    found: list[bytes] = []
    for line in BytesIO(body):
        if line.strip():
            found.append(line.removesuffix(b"\n"))
            if len(found) > MOST_RECORDS:
                raise _too_many()
    return found


def _array(body: bytes) -> list[bytes]:
    if body.count(b",") > _MANY_COMMAS and _is_long(body):
        raise _too_many()
    try:
        found = [bytes(raw) for raw in _raws.decode(body)]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Trouble(400, f"the body is no JSON array: {error}") from None
    if len(found) > MOST_RECORDS:
        raise _too_many()
    return found


def _is_long(body: bytes) -> bool:
    """Whether an array has more elements than are taken; stops there, and keeps nothing of them."""
    depth = elements = 0
    for sign in _SIGNS.finditer(body):
        match sign[0]:
            case b"[" | b"{":
                depth += 1
            case b"]" | b"}":
                depth -= 1
            case b"," if depth == 1:
                elements += 1
                if elements >= MOST_RECORDS:
                    return True
    return False


def _too_many() -> Trouble:
    return Trouble(413, f"more than {MOST_RECORDS:,} records in one body; send fewer at once")


def sort_records(
    values: Sequence[bytes], headers: Headers, decoder: Decoder, received_ms: int, producer: str | None = None
) -> Sorted:
    """Each record to its topic, by the event in it. With `producer`, all must be records of that tool."""
    found = Sorted()
    for index, value in enumerate(values):
        rejection = _misplaced(value, headers, decoder, producer)
        if rejection is not None:
            found.refused.append((index, rejection))
        else:
            _sort(index, value, headers, decoder, received_ms, found)
    return found


def _misplaced(value: bytes, headers: Headers, decoder: Decoder, producer: str | None) -> Rejection | None:
    """Why a record has no business here, before its content is looked at."""
    payload = Payload(value, headers, decoder.limits.max_depth)
    try:
        if len(value) > decoder.limits.max_bytes:
            return None
        if format_of(payload).name in _OTLP:
            return Rejection("unsupported_format", "this is OTLP: send it to /v1/traces or /v1/logs")
        known = producer_of(payload) if producer is not None else None
    except RejectedRecord as rejected:
        return rejected.rejection
    if producer is not None and (known is None or known.name != producer):
        return Rejection("unsupported_format", f"this is no record of {producer}; any tool's goes to /v1/events")
    return None


def _sort(index: int, value: bytes, headers: Headers, decoder: Decoder, received_ms: int, found: Sorted) -> None:
    unknown_before = Counter(decoder.counters.unknown_fields.counts)
    batch = decoder.decode_batch([(value, headers, received_ms)])
    faults = [(index, why) for _, why in batch.rejections]
    if not batch.events:
        found.refused += faults[:1]
        found.passed_over += not faults
        return
    found.faulty_parts += faults
    for (kind, name), number in (Counter(decoder.counters.unknown_fields.counts) - unknown_before).items():
        found.unknown_fields[f"{kind}.{name}"] += number
    event_type = type(batch.events[0]).__struct_config__.tag
    found.records.append(OutRecord(TOPIC_OF_TYPE[event_type], value, headers))  # type: ignore[index]
