"""Telemetry of the real OpenTelemetry SDK: spans made by its API, bytes made by its exporter, JSON as a collector's."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from schemas.base import JsonObject
from stream.adapters import Decoder, Rejection
from stream.adapters.otlp import OtlpReader
from stream.core.spans import SpanFact, TracedSpan
from stream.core.trace_reading import Reading, Whose, read_trace

RESOURCE = {"service.name": "support", "service.version": "1.4.2", "deployment.environment.name": "production"}


class _Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(body)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its base class calls it so
        return


class Exported:
    """A tracer provider of the real SDK, whose real OTLP exporter sends each span to a server of ours on loopback."""

    def __init__(self, provider: TracerProvider, bodies: list[bytes]) -> None:
        self.provider = provider
        self.tracer = provider.get_tracer("test")
        self.bodies = bodies

    def one_record(self) -> bytes:
        """Everything as one export request: protobuf's own way to merge is to put requests one behind another."""
        return b"".join(self.bodies)


@contextmanager
def exporting(resource: Mapping[str, str] = RESOURCE) -> Iterator[Exported]:
    """The real SDK and exporter, and what they sent."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    server.bodies = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    provider = TracerProvider(resource=Resource(dict(resource)), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{server.server_address[1]}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    try:
        yield Exported(provider, server.bodies)  # type: ignore[attr-defined]
    finally:
        provider.shutdown()
        server.shutdown()
        server.server_close()
        thread.join(5)


def as_json(value: bytes) -> bytes:
    """A protobuf request as OTLP JSON: ids in hexadecimal, 64-bit numbers as strings, as a collector writes it."""
    message = ExportTraceServiceRequest()
    message.ParseFromString(value)
    plain = json_format.MessageToDict(message)
    for part, source in zip(plain["resourceSpans"], message.resource_spans, strict=True):
        for scope, one in zip(part["scopeSpans"], source.scope_spans, strict=True):
            for span, own in zip(scope["spans"], one.spans, strict=True):
                span |= {"traceId": own.trace_id.hex(), "spanId": own.span_id.hex()}
                if own.parent_span_id:
                    span["parentSpanId"] = own.parent_span_id.hex()
    return json.dumps(plain).encode()


def read(value: bytes, received_ms: int = -1, reader: OtlpReader | None = None) -> list[Any]:
    """What a record holds: events, spans and rejections."""
    batch = Decoder(otlp=reader or OtlpReader()).decode_batch([(value, (), received_ms)])
    return [*batch.events, *(rejection for _, rejection in batch.rejections)]


def facts(found: list[Any]) -> list[SpanFact]:
    """The spans among what was read."""
    assert not any(isinstance(one, Rejection) for one in found), found
    return [one.fact for one in found if isinstance(one, TracedSpan) and one.trace_id]


def reading(value: bytes, reader: OtlpReader | None = None) -> Reading:
    """What the one trace in a record turns out to have been."""
    found = read(value, reader=reader)
    spans = [one for one in found if isinstance(one, TracedSpan) and one.trace_id]
    assert len({one.trace_id for one in spans}) == 1
    whose = Whose(spans[0].environment, spans[0].system, spans[0].trace_id, spans[0].version)
    return read_trace(whose, facts(found))


def span_json(
    trace: int, span: int, attributes: Mapping[str, Any], parent: int = 0, end_ms: int = 1_767_607_200_000, **more: Any
) -> JsonObject:
    """A span as OTLP JSON has it, of a second's length."""
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{span:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": "span",
        "kind": 1,
        "startTimeUnixNano": str((end_ms - 1000) * 1_000_000),
        "endTimeUnixNano": str(end_ms * 1_000_000),
        "attributes": pairs(attributes),
        **more,
    }


def request_json(*spans: JsonObject, resource: Mapping[str, Any] = RESOURCE) -> bytes:
    """An export request of these spans."""
    part = {"resource": {"attributes": pairs(resource)}, "scopeSpans": [{"scope": {"name": "t"}, "spans": spans}]}
    return json.dumps({"resourceSpans": [part]}).encode()


def pairs(attributes: Mapping[str, Any]) -> list[JsonObject]:
    """Attributes as OTLP JSON has them."""
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> JsonObject:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": value}


def spans_of(event: JsonObject, number: int, ms: int) -> list[tuple[int, bytes]]:
    """A native interaction as an instrumented agent would show it: a root and, if it was escalated, a tool call.

    Each span is an export request of its own, with the time at which it ended; the tool call comes first.
    """
    resource = {
        "service.name": event["system"],
        "service.version": event.get("version", ""),
        "deployment.environment.name": event["environment"],
    }
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": event["flow"]}
    found = []
    if event["outcome"] == "escalated":
        human = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "escalate_to_human",
            "midwatch.escalation.reason": event["escalation"]["reason"],
        }
        tool = span_json(number, 2, human, parent=1, end_ms=ms - 200)
        found.append((ms - 200, request_json(tool, resource=resource)))
    return [*found, (ms, request_json(span_json(number, 1, agent, end_ms=ms), resource=resource))]
