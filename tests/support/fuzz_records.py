"""Valid records of every format that the decoder knows, and ways to spoil them."""

import copy
import gzip
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stream.adapters.payload import Headers
from tests.support.otlp import request_json, span_json
from tests.support.samples import samples
from tests.unit.adapters.events import INTERACTION, NOW_MS, SMALLEST, encoded

Seed = tuple[bytes, Headers]

_BARE = {key: value for key, value in INTERACTION.items() if key not in ("type", "id", "time")}
_CLOUD = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/s",
    "type": "midwatch.interaction",
    "time": INTERACTION["time"],
}
_WHOSE = {"environment": "production", "system": "claims", "flow": "triage", "time": INTERACTION["time"]}
_SCORE = {
    "event_name": "gen_ai.evaluation.result",
    "timeUnixNano": str(NOW_MS * 1_000_000),
    "resource": {"attributes": {"service.name": "claims", "deployment.environment.name": "production"}},
    "attributes": {
        "gen_ai.evaluation.name": "tone",
        "gen_ai.evaluation.score.value": 4.0,
        "gen_ai.agent.name": "triage",
    },
}
_MODEL_CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 2,
    "gen_ai.agent.name": "triage",
}


def _in_protobuf() -> list[bytes]:
    traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    span = traces.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes(range(16)), bytes(range(8)), "chat m"
    span.start_time_unix_nano, span.end_time_unix_nano = (NOW_MS - 1000) * 1_000_000, NOW_MS * 1_000_000
    for key, value in _MODEL_CALL.items():
        one = span.attributes.add(key=key)
        one.value.string_value = str(value)
    record = logs.resource_logs.add().scope_logs.add().log_records.add()
    record.time_unix_nano, record.event_name = NOW_MS * 1_000_000, "gen_ai.evaluation.result"
    record.attributes.add(key="gen_ai.evaluation.name").value.string_value = "tone"
    record.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = 4.0
    return [traces.SerializeToString(), logs.SerializeToString()]


def seeds() -> dict[str, list[Seed]]:
    """By format: records that are in it."""
    found: dict[str, list[Seed]] = {
        "native": [(encoded(event), ()) for event in SMALLEST.values()],
        "cloudevents_structured": [(encoded(_CLOUD | {"data": _BARE}), ())],
        "cloudevents_binary": [(encoded(_BARE), [(f"ce_{name}", text.encode()) for name, text in _CLOUD.items()])],
        "otlp_json": [(request_json(span_json(1, 2, _MODEL_CALL, end_ms=NOW_MS)), ())],
        "otlp_protobuf": [(value, ()) for value in _in_protobuf()],
        "evaluation_log_record": [
            (encoded(_SCORE), ()),
            (encoded(_SCORE | {"internal_properties": '{"gen_ai.evaluation.min_value": 0}'}), ()),
        ],
        "evaluation_result_row": [(encoded(_WHOSE | {"coherence": 4.0, "coherence_result": "pass"}), ())],
        "unknown": [(b"{}", ()), (b'{"type": "x"}', ())],
    }
    for sample in samples():
        if sample.rejected is None or sample.events:
            found.setdefault(sample.format, []).append((sample.encoded, sample.headers))
    return found


ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["", " ", "x" * 70_000, "é" * 300, "\x00", "2026-01-05T10:00:00Z", "-1", "1e400", "NaN", "a" * 257]
    ),
    st.sampled_from(
        [[], {}, [[]], [{}], [None], {"a": {"b": {}}}, {"": ""}, [{}] * 300, {str(n): n for n in range(300)}]
    ),
    st.sampled_from([10**400, -(10**30), 2**63, 2**64, 1e308, -0.0]),
)


def places(value: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all members inside a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield (*prefix, key)
        yield from places(inner, (*prefix, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of `value` with `new` at `path`."""
    whole = copy.deepcopy(value)
    at = whole
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return whole


@st.composite
def spoilt_json(draw: st.DrawFn, value: bytes) -> bytes:
    """A JSON record with up to three members replaced, dropped, renamed or swapped for another's value."""
    plain = json.loads(value)
    for _ in range(draw(st.integers(1, 3))):
        known = list(places(plain))
        if not known:
            break
        path = draw(st.sampled_from(known))
        new = draw(ODD)
        if draw(st.integers(0, 3)) == 0:
            new = plain
            for key in draw(st.sampled_from(known)):
                new = new[key]
        plain = put(plain, path, copy.deepcopy(new))
        if draw(st.integers(0, 4)) == 0 and isinstance(path[-1], str):
            at = plain
            for key in path[:-1]:
                at = at[key]
            at.pop(path[-1], None)
    return json.dumps(plain, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@st.composite
def spoilt_bytes(draw: st.DrawFn, value: bytes) -> bytes:
    """A record with some of its bytes replaced, cut out or doubled."""
    made = bytearray(value)
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(made)))
        end = draw(st.integers(begin, min(begin + 8, len(made))))
        made[begin:end] = draw(st.binary(max_size=6) | st.just(bytes(made[begin:end]) * 2))
    return bytes(made)


@st.composite
def spoilt(draw: st.DrawFn, seed: Seed) -> tuple[bytes, Headers]:
    """A record in a way that its format's reader has hardly seen, packed or prefixed at times, with odd headers."""
    value, headers = seed
    is_json = value[:1] in b"[{"
    how = draw(st.sampled_from(["json", "json", "bytes"] if is_json else ["bytes"]))
    value = draw(spoilt_json(value) if how == "json" else spoilt_bytes(value))
    match draw(st.integers(0, 9)):
        case 0:
            value = gzip.compress(value, 1, mtime=0)
        case 1:
            value = b"\x00\x00\x00\x00\x07" + value
        case 2:
            value = value[: draw(st.integers(0, len(value)))]
        case _:
            pass
    names = st.sampled_from(
        [
            "content-type",
            "ce_specversion",
            "ce_type",
            "x-github-event",
            "midwatch_system",
            "midwatch_canary_percent",
            "é",
        ]
    )
    odd = st.tuples(names, st.binary(max_size=12) | st.sampled_from([b"1.0", b"application/cloudevents+json", b"50"]))
    return value, [*headers, *draw(st.lists(odd, max_size=2))]


BOMBS = {
    "nested arrays": b"[" * 50_000 + b"]" * 50_000,
    "nested objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "digits": b"9" * 200_000,
    "exponent": b"1e" + b"9" * 100_000,
    "long text": b'"' + b"a" * 500_000 + b'"',
    "escapes": b'"' + b"\\u0041" * 60_000 + b'"',
    "at signs": b'"' + b"@a" * 100_000 + b'"',
    "many members": b"{" + b",".join(b'"%d":0' % n for n in range(20_000)) + b"}",
    "many elements": b"[" + b",".join([b"{}"] * 50_000) + b"]",
}
"""JSON values that are far more than any field's."""

INSIDE = '"' + "[" * 60_000 + '"'
"""A bomb in a text, for readers that look for JSON inside texts."""


@st.composite
def blown_up(draw: st.DrawFn, value: bytes) -> bytes:
    """A JSON record with such a value in place of one of its members."""
    plain = json.loads(value)
    path = draw(st.sampled_from([(), *places(plain)]))
    bomb = draw(st.sampled_from([*BOMBS.values(), INSIDE.encode()]))
    if not path:
        return bomb
    mark = "@bomb@"
    return json.dumps(put(plain, path, mark)).encode().replace(f'"{mark}"'.encode(), bomb)
