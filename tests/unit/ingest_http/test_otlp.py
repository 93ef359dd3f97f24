"""OTLP/HTTP: what is stored, and answers in OTLP's own way."""

from __future__ import annotations

import gzip
import json

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stream.ingest_http.otlp_answers import failure
from tests.support.ingest import ingest

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def spans() -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.name = "chat gpt-5"
    return bytes(request.SerializeToString())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("media", "body", "whole"),
    [(PROTOBUF, spans(), b""), (JSON, b'{"resourceSpans": [{"scopeSpans": []}]}', b"{}")],
)
async def test_spans_are_stored_as_they_came(media: str, body: bytes, whole: bytes, packed: bool) -> None:
    """Byte for byte, unpacked; the answer is an empty message in the encoding of the request."""
    more = {"content_encoding": "gzip"} if packed else {}
    async with ingest() as here:
        answer = await here.post("/v1/traces", gzip.compress(body) if packed else body, content_type=media, **more)
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, whole, media)
        assert [(topic, value) for topic, value, _ in here.kafka.sent] == [("otlp_spans", body)]


async def test_logs_go_to_their_topic() -> None:
    """As the configuration names it."""
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().event_name = "gen_ai.evaluation.result"
    body = request.SerializeToString()
    async with ingest(logs_topic="agent.interactions") as here:
        answer = await here.post("/v1/logs", body, content_type=PROTOBUF)
        assert answer.status_code == 200
        assert [(topic, value) for topic, value, _ in here.kafka.sent] == [("agent.interactions", body)]


@pytest.mark.parametrize(("media", "body"), [(PROTOBUF, b""), (JSON, b"{}"), (JSON, b'{"resourceSpans":[]}')])
async def test_an_empty_request_is_a_success(media: str, body: bytes) -> None:
    """The specification wants it so; there is nothing to store."""
    async with ingest() as here:
        assert (await here.post("/v1/traces", body, content_type=media)).status_code == 200
        assert not here.kafka.sent


@pytest.mark.parametrize(
    ("media", "body", "status", "said"),
    [
        (PROTOBUF, b"\x0a\x05abc", 400, "protobuf"),
        (PROTOBUF, b'{"resourceSpans":[]}', 400, "protobuf"),
        (JSON, b"{", 400, "malformed"),
        (JSON, b"[]", 400, "array"),
        (JSON, b'{"resourceLogs":[{}]}', 400, "/v1/logs"),
        (JSON, b'{"resourceSpans":[' + b" " * 2000 + b"]}", 413, "smaller batches"),
        ("text/plain", b"x", 415, "OTLP/HTTP"),
    ],
)
async def test_what_is_no_request(media: str, body: bytes, status: int, said: str) -> None:
    """Refused with a Status that says why, and not worth a repeat."""
    async with ingest(limits__max_record_bytes="1024") as here:
        answer = await here.post("/v1/traces", body, content_type=media)
        assert answer.status_code == status
        assert said.encode() in answer.content
        assert "retry-after" not in answer.headers
        if media == JSON:
            assert said in json.loads(answer.content)["message"]
        assert not here.kafka.sent


async def test_kafka_gone_is_worth_a_repeat() -> None:
    """503 with Retry-After, which exporters obey."""
    async with ingest() as here:
        here.kafka.topics.clear()
        answer = await here.post("/v1/traces", spans(), content_type=PROTOBUF)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_metrics_are_answered_and_not_kept() -> None:
    """A partial success says how many data points were left out and why."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for _ in range(3):
        metrics.add().sum.data_points.add().as_int = 1
    metrics.add().name = "without data"
    async with ingest() as here:
        answer = await here.post("/v1/metrics", request.SerializeToString(), content_type=PROTOBUF)
        assert answer.status_code == 200
        found = ExportMetricsServiceResponse.FromString(answer.content).partial_success
        assert found.rejected_data_points == 3
        assert "no metrics" in found.error_message
        as_json = await here.post("/v1/metrics", b"{}", content_type=JSON)
        assert "no metrics" in as_json.json()["partialSuccess"]["errorMessage"]
        broken = await here.post("/v1/metrics", b"\xff", content_type=PROTOBUF)
        assert broken.status_code == 400


@pytest.mark.parametrize("length", [0, 5, 127, 128, 300, 20_000])
def test_the_status_is_protobuf(length: int) -> None:
    """google.rpc.Status has its message in field 2; a message of any length is framed right."""
    body = failure(PROTOBUF, "x" * length)
    assert body[0] == 0x12
    size, shift, at = 0, 0, 1
    while True:
        size |= (body[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if body[at - 1] < 0x80:
            break
    assert (size, body[at:]) == (length, b"x" * length)
