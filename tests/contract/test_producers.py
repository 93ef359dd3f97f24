"""Every tool whose records are understood: what its samples mean, and that nothing it may send breaks the decoder."""

from __future__ import annotations

import copy
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import format_time
from stream.adapters import Decoded, Decoder, Origin, Rejection
from stream.adapters.formats import format_of
from stream.adapters.payload import Payload
from stream.adapters.producers import PRODUCERS
from tests.support.samples import Sample, samples
from tests.unit.adapters.events import NOW_MS

SAMPLES = {sample.name: sample for sample in samples()}
NOBODY = Origin()


def decoded(value: bytes, headers: Any = (), origin: Origin = NOBODY) -> tuple[Decoded, Decoder]:
    decoder = Decoder(origin=origin)
    return decoder.decode_batch([(value, headers, NOW_MS)]), decoder


def plain_events(batch: Decoded) -> list[dict[str, Any]]:
    """The events with their times as text."""
    found = []
    for event in batch.events:
        plain = msgspec.to_builtins(event)
        at = datetime.fromtimestamp(plain["time"] / 1000, UTC)
        found.append({**plain, "time": format_time(at)})
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_means_what_its_file_says(name: str) -> None:
    """Format, events, parts passed over and refusals are those of the file; the source of its shape is named."""
    sample = SAMPLES[name]
    assert sample.source
    payload = Payload(sample.encoded, sample.headers, 64, NOW_MS)
    assert format_of(payload).name == sample.format
    batch, decoder = decoded(sample.encoded, sample.headers)
    found = plain_events(batch)
    assert [{key: event.get(key) for key in wanted} for event, wanted in zip(found, sample.events, strict=True)] == (
        sample.events
    ), batch.rejections
    assert decoder.counters.passed_over.total() == sample.passed_over
    assert not decoder.counters.unknown_fields.counts
    if sample.rejected is None:
        assert not batch.rejections
    else:
        [(_, rejection)] = batch.rejections
        assert rejection.reason == sample.rejected[0]
        assert sample.rejected[1] in rejection.detail


def test_every_producer_has_samples_of_all_kinds() -> None:
    """Each is shown to be read, and each to refuse a shape that it does not know."""
    for producer in PRODUCERS:
        own = [sample for sample in SAMPLES.values() if sample.format == producer.name]
        assert any(sample.events for sample in own), producer.name
        assert any(sample.rejected for sample in own), producer.name


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.events])
def test_a_repeat_has_the_same_ids(name: str) -> None:
    """Sent twice, packed or behind a schema registry's prefix, a record gives the same events under the same ids."""
    value, headers = SAMPLES[name].encoded, SAMPLES[name].headers
    first, _ = decoded(value, headers)
    variants = [value, gzip.compress(value), b"\x00\x00\x00\x00\x07" + value, b"\x01" + bytes(16) + value]
    assert len({event.id for event in first.events}) == len(first.events)
    for variant in variants:
        again, _ = decoded(variant, headers)
        assert again.events == first.events


@pytest.mark.parametrize("name", [name for name, s in SAMPLES.items() if s.events and s.format != "batch"])
@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_each_may_come_in_a_cloudevent(name: str, mode: str) -> None:
    """As the data of a CloudEvent of any type, a tool's record is read as it is alone."""
    sample = SAMPLES[name]
    attributes = {"specversion": "1.0", "id": "ce-1", "source": "/x", "type": "com.example.thing"}
    if mode == "binary":
        headers = [*sample.headers, *((f"ce_{key}", text.encode()) for key, text in attributes.items())]
        wrapped = sample.encoded
    else:
        headers = [*sample.headers, ("content-type", b"application/cloudevents+json")]
        wrapped = json.dumps({**attributes, "data": sample.value}).encode()
    assert decoded(wrapped, headers)[0].events == decoded(sample.encoded, sample.headers)[0].events


@pytest.mark.parametrize("producer", [producer.name for producer in PRODUCERS])
def test_whose_a_record_is(producer: str) -> None:
    """Nobody's record is refused with a remedy; the configuration fills in, a header goes before all."""
    sample = next(s for s in SAMPLES.values() if s.format == producer and s.events)
    headers = [pair for pair in sample.headers if not pair[0].startswith("midwatch_")]
    plain = without_owner(sample.value)
    value = json.dumps(plain).encode()
    refused, _ = decoded(value, headers)
    assert not refused.events
    assert all("midwatch_system" in rejection.detail for _, rejection in refused.rejections)
    owned, _ = decoded(value, headers, Origin("staging", "support"))
    assert [event.system for event in owned.events] == ["support"] * len(sample.events)
    told, _ = decoded(value, [*headers, ("Midwatch_System", b"billing")], Origin("staging", "support"))
    assert [event.system for event in told.events] == ["billing"] * len(sample.events)


def without_owner(plain: Any) -> Any:
    """A sample that names neither environment nor system."""
    if isinstance(plain, dict):
        dropped = ("system", "app", "midwatch.io/system")
        return {key: without_owner(value) for key, value in plain.items() if key not in dropped}
    return [without_owner(item) for item in plain] if isinstance(plain, list) else plain


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["", "x" * 300, "2026-01-05T10:00:00Z", "EJECT", "tools/call", "CLOSED_TO_OPEN", "1e999", "nan"]),
    st.sampled_from([[], {}, [{}], {"id": "a"}, {"name": {}}, [[1]], {"midwatch": 5}, {"status": {"phase": []}}]),
).map(copy.deepcopy)


def places(plain: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all that stands inside a JSON value."""
    members = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    found = []
    for key, inner in members:
        found += [(*prefix, key), *places(inner, (*prefix, key))]
    return found


@st.composite
def broken(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A sample with some of its members dropped or replaced, and some headers."""
    sample: Sample = draw(st.sampled_from(list(SAMPLES.values())))
    value = copy.deepcopy(sample.value)
    for _ in range(draw(st.integers(1, 4))):
        open_places = places(value)
        if not open_places:
            break
        *above, last = draw(st.sampled_from(open_places))
        parent = value
        for key in above:
            parent = parent[key]
        if draw(st.booleans()):
            parent[last] = draw(odd)
        else:
            del parent[last]
    names = st.sampled_from(["midwatch_environment", "midwatch_system", "midwatch_canary_percent", "x-github-event"])
    extra = draw(st.lists(st.tuples(names, st.sampled_from([b"x", b"", b"\xff", b"25", b"deployment"])), max_size=2))
    return json.dumps(value).encode(), [*sample.headers, *extra]


@settings(max_examples=1500)
@given(broken(), st.sampled_from([NOBODY, Origin("production", "claims")]))
def test_nothing_that_a_tool_may_send_breaks_the_decoder(
    record: tuple[bytes, list[tuple[str, bytes]]], origin: Origin
) -> None:
    """A broken record gives events, dead letters with their words, or is counted; never an exception, never nothing."""
    value, headers = record
    batch, decoder = decoded(value, headers, origin)
    assert batch.events or batch.rejections or decoder.counters.passed_over
    for _, rejection in batch.rejections:
        assert isinstance(rejection, Rejection)
        assert rejection.detail.isprintable()
        assert len(rejection.detail) <= 500
    assert decoded(value, headers, origin)[0] == batch
