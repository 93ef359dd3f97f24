"""Answers in the way of OTLP/HTTP: in the encoding of the request, with a Status where something is wrong.

A whole success is an empty message. Metrics are not taken: the answer is a partial success that says how many data
points were left out and why, which exporters log and do not repeat.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from stream.adapters import Limits
from stream.adapters.otlp import is_protobuf
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord
from stream.ingest_http.answers import Trouble

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
ROOTS: Final = {"traces": "resourceSpans", "logs": "resourceLogs", "metrics": "resourceMetrics"}
NO_METRICS: Final = "Midwatch keeps no metrics: send it traces and logs"
_MESSAGE_FIELD: Final = 0x12
"""Field 2 of google.rpc.Status, the message, length-delimited."""

_MORE: Final = 0x80


def media_of(headers: Mapping[str, str]) -> str:
    """The encoding of a request. Raises Trouble (415) for one that OTLP does not have."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in (PROTOBUF, JSON):
        raise Trouble(415, f"OTLP/HTTP is {PROTOBUF} or {JSON}")
    return media


def check_request(signal: str, media: str, body: bytes, limits: Limits) -> bool:
    """Whether there is anything in an export request. Raises Trouble: 400 if it is none, 413 if it is too long."""
    if len(body) > limits.max_bytes:
        raise Trouble(413, f"more than {limits.max_bytes:,} bytes; let the exporter send smaller batches")
    payload = Payload(body, (), limits.max_depth)
    if media == PROTOBUF:
        if body and not is_protobuf(payload):
            raise Trouble(400, "the body is no OTLP export request in protobuf")
        return bool(body)
    try:
        plain = payload.object
    except RejectedRecord as rejected:
        raise Trouble(400, rejected.rejection.detail) from None
    other = next((name for name, root in ROOTS.items() if root in plain and name != signal), None)
    if other is not None:
        raise Trouble(400, f"these are {other}: send them to /v1/{other}")
    return bool(plain.get(ROOTS[signal]))


def success(media: str) -> bytes:
    """The answer to a request that is stored whole."""
    return b"" if media == PROTOBUF else b"{}"


def no_metrics(media: str, body: bytes) -> bytes:
    """The answer to metrics: how many data points were left out. Raises Trouble (400) for what is no request."""
    if media == PROTOBUF:
        try:
            plain: Any = ExportMetricsServiceRequest.FromString(body)
        except DecodeError:
            raise Trouble(400, "the body is no OTLP export request in protobuf") from None
        response = ExportMetricsServiceResponse()
        response.partial_success.rejected_data_points = _points(plain)
        response.partial_success.error_message = NO_METRICS
        return bytes(response.SerializeToString())
    return json.dumps({"partialSuccess": {"errorMessage": NO_METRICS}}).encode()


def _points(request: Any) -> int:
    """Data points of a request in protobuf."""
    metrics = (
        metric for resource in request.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    )
    kinds = ((metric, metric.WhichOneof("data")) for metric in metrics)
    return sum(len(getattr(metric, kind).data_points) for metric, kind in kinds if kind is not None)


def failure(media: str, detail: str) -> bytes:
    """A google.rpc.Status with this message."""
    if media != PROTOBUF:
        return json.dumps({"message": detail}).encode()
    message = detail.encode()
    return bytes([_MESSAGE_FIELD]) + _varint(len(message)) + message


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number >= _MORE:
        parts.append(number % _MORE | _MORE)
        number //= _MORE
    parts.append(number)
    return bytes(parts)
