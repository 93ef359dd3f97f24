"""The fast structures and the models of `schemas.events` accept the same records and read the same values in them."""

from __future__ import annotations

import copy
import json
import math
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.base import EARLIEST, Time
from schemas.events import EVENT
from stream.adapters import Decoder, Limits, Rejection
from stream.adapters.times import TimeReader, milliseconds
from tests.unit.adapters.events import SMALLEST

_SCHEMA = EVENT.json_schema()
_TIME = TypeAdapter(Time)
_OPEN = Limits(max_future_ms=None, max_age_ms=None)
_STRICTER_JSON = {"not_finite", "too_deep"}
"""Reasons for which a record is refused although pydantic's parser, more lenient than RFC 8259, reads it."""

times = st.one_of(
    st.datetimes(min_value=(EARLIEST - timedelta(days=1)).replace(tzinfo=None)).map(
        lambda moment: moment.isoformat() + "Z"
    ),
    st.from_regex(
        r"(1999|20[0-9]{2}|2100)-(0[1-9]|1[0-3])-[0-3][0-9][T _t][0-2][0-9]:[0-6][0-9](:[0-6][0-9]([.,][0-9]{0,12})?)?"
        r"(Z|z|[+-][0-2][0-9]:?[0-6][0-9]|)",
        fullmatch=True,
    ),
    st.integers(-(10**13), 10**13).map(str),
    st.text(max_size=30),
)


def names(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    """Texts of the schema's length, with its ends preferred."""
    low, high = schema.get("minLength", 0), schema.get("maxLength", 40)
    edge = st.sampled_from("aé😀\x00").flatmap(lambda c: st.sampled_from([c * low, c * high]))
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=low, max_size=min(high, 20)) | edge


def numbers(schema: dict[str, Any]) -> st.SearchStrategy[float]:
    """Numbers in the schema's range, integers or not as it says, with its ends preferred."""
    low, high = schema["minimum"], schema["maximum"]
    integers = st.sampled_from([low, high]) | st.integers(math.ceil(low), int(high))
    if schema["type"] == "integer":
        return integers
    return integers | st.floats(low, high)


def valid(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """JSON values that fit `schema`, for the part of JSON Schema that the events use."""
    if "$ref" in schema:
        return valid(_SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema or "oneOf" in schema:
        return st.one_of([valid(part) for part in schema.get("anyOf") or schema["oneOf"]])
    if schema["type"] in ("null", "boolean"):
        return st.none() if schema["type"] == "null" else st.booleans()
    match schema["type"]:
        case "string" if schema.get("format") == "date-time":
            return st.sampled_from(
                ["2026-01-05T10:00:00Z", "2026-01-05T10:00:00.123456+02:00", "2099-12-31T23:59:59.9Z"]
            )
        case "string":
            return names(schema)
        case "integer" | "number":
            return numbers(schema)
        case "array":
            return st.lists(valid(schema["items"]), max_size=3)
        case _:
            return objects(schema)


def objects(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """JSON objects that fit `schema`: of named fields, or of any names."""
    if "properties" not in schema:
        return st.dictionaries(
            names(schema.get("propertyNames", {})), names(schema["additionalProperties"]), max_size=3
        )
    required = {name: valid(part) for name, part in schema["properties"].items() if name in schema["required"]}
    optional = {name: valid(part) for name, part in schema["properties"].items() if name not in schema["required"]}
    required |= {name: optional.pop(name) for name in ("type",) if name in optional}
    return st.fixed_dictionaries(required, optional=optional)


events = valid(_SCHEMA)

odd_values = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            False,
            0,
            -1,
            1,
            0.5,
            -0.0,
            1.0,
            1e308,
            2**53 - 1,
            2**53,
            2**63,
            2**64,
            10**30,
            -(10**30),
            100.0000001,
        ]
    ),
    st.sampled_from(["", " ", "a", "5", "open", "interaction", "usage", "x" * 256, "x" * 257, "é" * 256, "x" * 65_537]),
    st.sampled_from(
        [[], {}, [[]], [{}], {"a": 1}, {"": "x"}, {"a": "b"}, {"a": "x" * 257}, {"kind": "k", "ref": {"a": 1}}]
    ),
    st.sampled_from([{str(number): "" for number in range(count)} for count in (20, 21, 50, 51)]),
    st.sampled_from([[{"agent": "a"}], [None], [SMALLEST["usage"]] * 3, [0] * 1001]),
    st.sampled_from([{"reason": "policy"}, {"reason": "policy", "more": {}}, {"model": "m", "prompt_version": "1"}]),
    times,
).map(copy.deepcopy)


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all members inside a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, inner in members:
        found += [(*prefix, key), *paths(inner, (*prefix, key))]
    return found


@st.composite
def changed_events(draw: st.DrawFn) -> dict[str, Any]:
    """Events with some members dropped, replaced or added, at any level."""
    event: dict[str, Any] = copy.deepcopy(draw(events))
    for _ in range(draw(st.integers(0, 2))):
        *above, last = draw(st.sampled_from(paths(event)))
        parent: Any = event
        for key in above:
            parent = parent[key]
        match draw(st.sampled_from(["drop", "replace", "replace", "add"])):
            case "drop":
                del parent[last]
            case "replace":
                parent[last] = draw(odd_values)
            case _ if isinstance(parent, dict):
                parent[draw(st.sampled_from(["flow", "extra", "score", "steps", "status", "target", ""]))] = draw(
                    odd_values
                )
        if not event:
            break
    return event


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema behind a reference, and behind the choice of null."""
    for part in schema.get("anyOf", ()):
        if part.get("type") != "null":
            return resolved(part)
    return resolved(_SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]) if "$ref" in schema else schema


def smallest(schema: dict[str, Any]) -> Any:
    """The least value that fits: required fields only."""
    schema = resolved(schema)
    if "properties" in schema:
        return {
            name: smallest(schema["properties"][name])
            for name in [*schema["required"], "type"]
            if name in schema["properties"]
        }
    if "format" in schema:
        return "2026-01-05T10:00:00Z"
    fixed = schema.get("const") or schema.get("enum", [None])[0]
    return fixed or {"string": "a", "integer": 1, "number": 1, "array": [], "object": {}}[schema["type"]]


def ends(schema: dict[str, Any]) -> list[Any]:
    """Values at each limit of the schema and just beyond it."""
    schema = resolved(schema)
    found: list[Any] = [None, True, 7, 0.5, "x", [], {}]
    if "maxLength" in schema:
        found += ["é" * length for length in (0, 1, schema["maxLength"], schema["maxLength"] + 1)]
    if "maximum" in schema:
        low, high = schema["minimum"], schema["maximum"]
        found += [low, low - 1, low - 1e-9, high, high + 1, high * (1 + 1e-15), float(high)]
    if "maxItems" in schema:
        found += [[smallest(schema["items"])] * count for count in (schema["maxItems"], schema["maxItems"] + 1)]
    if "maxProperties" in schema:
        found += [
            {str(n): "" for n in range(count)} for count in (schema["maxProperties"], schema["maxProperties"] + 1)
        ]
        found += [{"é" * length: "v"} for length in (0, 256, 257)]
        found += [{"k": value} for value in ends(schema["additionalProperties"])]
    found += schema.get("enum", [])
    if "properties" in schema:
        found += variants(schema)
    if "items" in schema:
        found += [[item] for item in ends(schema["items"])]
    return found


def variants(schema: dict[str, Any]) -> list[Any]:
    """The smallest object that fits, with each field in turn at its limits or left out."""
    base = smallest(schema)
    found = [base | {name: value} for name, part in schema["properties"].items() for value in ends(part)]
    return found + [{key: value for key, value in base.items() if key != name} for name in base]


@pytest.mark.parametrize("event_type", sorted(SMALLEST))
def test_every_limit_is_the_same(event_type: str) -> None:
    """Each field of each event, inner ones too, is judged alike at its limits, beyond, absent and ill-typed."""
    reference = _SCHEMA["discriminator"]["mapping"][event_type]
    cases = variants(resolved({"$ref": reference}))
    accepted = 0
    for case in cases:
        value = json.dumps(case, ensure_ascii=False).encode()
        assert_agree(value)
        accepted += contract_reads(value) is not None
    assert len(cases) // 10 < accepted < len(cases)


def contract_reads(value: bytes) -> dict[str, Any] | None:
    """The event by the models, its time in ms; None if they refuse it."""
    try:
        event = EVENT.validate_json(value)
    except ValidationError:
        return None
    return event.model_dump() | {"time": milliseconds(event.time)}


def decoder_reads(value: bytes) -> dict[str, Any] | Rejection:
    """The event by the decoder, as JSON values, or why it refuses it."""
    outcome = Decoder(_OPEN).decode(value, (), 0)
    if isinstance(outcome, Rejection):
        return outcome
    read: dict[str, Any] = msgspec.to_builtins(outcome)
    return read


def assert_agree(value: bytes) -> None:
    """Both accept `value` and read the same in it, or both refuse it."""
    expected, read = contract_reads(value), decoder_reads(value)
    if isinstance(read, Rejection):
        assert expected is None or read.reason in _STRICTER_JSON, (read, value)
        assert read.detail
        assert len(read.detail) <= 500
    else:
        assert read == expected


@settings(max_examples=150, deadline=None)
@given(events)
def test_valid_events_are_read_alike(event: dict[str, Any]) -> None:
    """Whatever the models' own schema allows is accepted by both, with equal values."""
    value = json.dumps(event).encode()
    assert contract_reads(value) is not None
    assert_agree(value)


@settings(max_examples=400, deadline=None)
@given(changed_events(), st.booleans())
def test_changed_events_are_judged_alike(event: dict[str, Any], escaped: bool) -> None:
    """An event with fields missing, of wrong types, beyond limits or unknown is accepted by both or by neither."""
    assert_agree(json.dumps(event, ensure_ascii=escaped).encode())


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(sorted(SMALLEST)), st.booleans())
def test_damaged_bytes_are_judged_alike(data: st.DataObject, event_type: str, extra: bool) -> None:
    """A record with bytes replaced, inserted or cut out is accepted by both or by neither."""
    event = SMALLEST[event_type] | ({"extra": {"a": [1, "é"]}} if extra else {})
    value = bytearray(json.dumps(event, ensure_ascii=False).encode())
    begin = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(begin, min(begin + 4, len(value))))
    junk = st.binary(max_size=3) | st.sampled_from(
        [b'"', b"\\", b"\\ud800", b"}", b"1e5", b"-", b"null", b",", b"\xc0\x80"]
    )
    value[begin:end] = data.draw(junk)
    assert_agree(bytes(value))


@settings(max_examples=300, deadline=None)
@given(st.lists(times, min_size=1, max_size=3))
@example(["2026-01-05T10:00:00Z", "2026-01-05T10:00:60Z", "2026-01-05T10:00:00"])
@example(["2099-12-31T23:59:59.9999999Z", "2100-01-01T00:00:00Z", "1999-12-31T23:59:59.999999999+00:00"])
@example(["2026-12-31T23:59:60Z", "2026-12-31T24:00:00Z", "2026-12-31T23:59:59.1234567890Z"])
@example(["2026-01-05T10:00:00.000-00:00", "2026-01-05T10:00:00+05:30", "2026-01-05 10:00:00.5+00:00"])
def test_times_are_read_alike(texts: list[str]) -> None:
    """A time means the same to the fast reader and to the model, when first seen and when remembered."""
    reader = TimeReader()
    for text in [*texts, *texts]:
        try:
            expected = milliseconds(_TIME.validate_json(json.dumps(text)))
        except ValidationError:
            expected = None
        try:
            read = reader.read(text)
        except ValueError:
            read = None
        assert read == expected, text
