"""OTLP in protobuf: export requests of spans and of logs, which share one form (`TracesData`, `LogsData`).

Parsed by protobuf's own C code; what costs is asking the messages in Python, so only what is wanted is asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stream.adapters.otlp_logs import EVALUATION, evaluation_of
from stream.adapters.otlp_map import ERROR_CODE, Names, Resource
from stream.adapters.otlp_take import NANOS, SpanTaker, check_parts
from stream.adapters.rejection import RejectedRecord

MAX_ARRAY: Final = 16
MAX_RESOURCES: Final = 1_024


def _parse(message: Any, value: bytes) -> Any:
    try:
        message.ParseFromString(value)
    except DecodeError as error:
        raise RejectedRecord("unsupported_format", f"OTLP protobuf cannot be parsed: {error}") from None
    return message


def read_traces(value: bytes, names: Names, taker: SpanTaker) -> None:
    """Take in the spans of an export request. Raises RejectedRecord if it cannot be parsed."""
    request = _parse(ExportTraceServiceRequest(), value)
    wanted, take = taker.mapper.wanted, taker.span
    scored = EVALUATION in value
    check_parts(len(request.resource_spans))
    for part in request.resource_spans:
        resource = _resource(part.resource, names, taker)
        for scope in part.scope_spans:
            for span in scope.spans:
                said: dict[str, Any] = {}
                for one in span.attributes:
                    key = one.key
                    if key in wanted:
                        said[key] = _value(one.value)
                code = span.status.code
                trace_id, end = span.trace_id, span.end_time_unix_nano
                if code == ERROR_CODE and said and "error.type" not in said:
                    _exception_type(span.events, said)
                take(
                    resource,
                    said,
                    trace_id,
                    span.span_id,
                    span.parent_span_id,
                    span.name,
                    span.kind,
                    span.flags,
                    span.start_time_unix_nano,
                    end,
                    code,
                )
                if scored:
                    for event in span.events:
                        if event.name.encode() == EVALUATION:
                            where = (resource, trace_id.hex(), event.time_unix_nano // NANOS)
                            found = {**_attributes(span.attributes, None), **_attributes(event.attributes, None)}
                            taker.evaluation(lambda where=where, found=found: evaluation_of(found, *where))  # type: ignore[misc]


def read_logs(value: bytes, names: Names, taker: SpanTaker) -> None:
    """Take in the scores among the log records of an export request. Raises RejectedRecord if it cannot be parsed."""
    request = _parse(ExportLogsServiceRequest(), value)
    check_parts(len(request.resource_logs))
    for part in request.resource_logs:
        resource = _resource(part.resource, names, taker)
        for scope in part.scope_logs:
            for record in scope.log_records:
                ms = (record.time_unix_nano or record.observed_time_unix_nano) // NANOS
                if EVALUATION not in value or not _is_evaluation(record):
                    taker.alive(resource, ms)
                    continue
                where = (resource, record.trace_id.hex(), ms)
                found = _attributes(record.attributes, None)
                taker.evaluation(lambda where=where, found=found: evaluation_of(found, *where))  # type: ignore[misc]


def _resource(message: Any, names: Names, taker: SpanTaker) -> Resource:
    """Whose a part is. A fleet has few resources and says them in every record: they are remembered by their bytes."""
    known = taker.mapper.resources
    content = message.SerializeToString()
    resource = known.get(content)
    if resource is None:
        if len(known) >= MAX_RESOURCES:
            known.clear()
        resource = known[content] = names.resource(_attributes(message.attributes, None))
    return resource


def _is_evaluation(record: Any) -> bool:
    name = EVALUATION.decode()
    return record.event_name == name or any(
        one.key in ("event.name", "microsoft.custom_event.name") and one.value.string_value == name
        for one in record.attributes
    )


def _exception_type(events: Any, said: dict[str, Any]) -> None:
    """The type of the exception that a failed span recorded, where it has no `error.type`."""
    for event in events:
        for one in event.attributes:
            if one.key == "exception.type":
                said["exception.type"] = one.value.string_value


def _attributes(pairs: Any, wanted: Collection[str] | None) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in pairs if wanted is None or one.key in wanted}


def _value(value: Any) -> Any:
    """An attribute's value: text, number, truth, or a short list of them; None for anything deeper."""
    kind = value.WhichOneof("value")
    if kind in _PLAIN:
        return getattr(value, kind)
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values[:MAX_ARRAY] if one.WhichOneof("value") in _PLAIN]
    return None


_PLAIN: Final = frozenset({"string_value", "int_value", "double_value", "bool_value"})
