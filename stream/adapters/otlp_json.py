"""OTLP in JSON: one export request a record, or a line as the collector's file exporter writes it.

Ids are hexadecimal, 64-bit numbers are strings (numbers are taken as well), enumerations numbers or names. Decoded by
msgspec into structures that hold what is wanted; everything else is passed over unread.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from stream.adapters.otlp_logs import EVALUATION, evaluation_of
from stream.adapters.otlp_map import ERROR_CODE, Names
from stream.adapters.otlp_take import NANOS, SpanTaker, check_parts
from stream.adapters.rejection import RejectedRecord

ROOTS: Final = ("resourceSpans", "resourceLogs", "resourceMetrics")
MAX_ARRAY: Final = 16

_KINDS: Final = {
    "SPAN_KIND_UNSPECIFIED": 0,
    "SPAN_KIND_INTERNAL": 1,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
}
_CODES: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": ERROR_CODE}

_Number = int | float | str | None


class _Part(Struct, rename="camel", gc=False):
    """A part of a request. Absent and null mean the same."""


class _Array(_Part):
    values: list[dict[str, Any]] | None = None


class _Value(_Part):
    string_value: str | UnsetType | None = UNSET
    int_value: int | str | UnsetType | None = UNSET
    double_value: float | str | UnsetType | None = UNSET
    bool_value: bool | UnsetType | None = UNSET
    array_value: _Array | UnsetType | None = UNSET


class _Attribute(_Part):
    key: str = ""
    value: _Value | None = None


class _Resource(_Part):
    attributes: list[_Attribute] | None = None


class _Event(_Part):
    name: str = ""
    time_unix_nano: _Number = 0
    attributes: list[_Attribute] | None = None


class _Status(_Part):
    code: int | str | None = 0


class _Span(_Part):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = ""
    name: str = ""
    kind: int | str | None = 0
    flags: int | None = 0
    start_time_unix_nano: _Number = 0
    end_time_unix_nano: _Number = 0
    attributes: list[_Attribute] | None = None
    status: _Status | None = None
    events: list[_Event] | None = None


class _Log(_Part):
    time_unix_nano: _Number = 0
    observed_time_unix_nano: _Number = 0
    event_name: str | None = ""
    trace_id: str | None = ""
    attributes: list[_Attribute] | None = None


class _ScopeSpans(_Part):
    spans: list[_Span] | None = None


class _ScopeLogs(_Part):
    log_records: list[_Log] | None = None


class _ResourceSpans(_Part):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None
    older: list[_ScopeSpans] | None = field(default=None, name="instrumentationLibrarySpans")


class _ResourceLogs(_Part):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Request(_Part):
    resource_spans: list[_ResourceSpans] | None = None
    resource_logs: list[_ResourceLogs] | None = None
    resource_metrics: msgspec.Raw | None = None


_decode: Final = msgspec.json.Decoder(_Request).decode


def is_request(value: bytes) -> bool:
    """Whether a value looks like an export request in JSON, by the name of what it holds.

    A text inside another event cannot look like it: there the quotation marks would be escaped.
    """
    return any(f'"{root}"'.encode() in value for root in ROOTS)


def read(value: bytes, names: Names, taker: SpanTaker) -> bool:
    """Take in a request's spans and scores; whether it was one.

    Raises RejectedRecord if it is one that cannot be read, or holds metrics.
    """
    try:
        request = _decode(value)
    except RecursionError:
        raise RejectedRecord("too_deep", "objects and arrays are nested too deep") from None
    except msgspec.ValidationError as error:
        raise RejectedRecord("invalid_field", f"OTLP JSON: {error}") from None
    except (msgspec.DecodeError, ValueError):
        return False
    if request.resource_spans is None and request.resource_logs is None and request.resource_metrics is None:
        return False
    if request.resource_metrics is not None and not (request.resource_spans or request.resource_logs):
        raise RejectedRecord("unsupported_format", "OTLP metrics; spans and logs are read")
    check_parts(len(request.resource_spans or ()) + len(request.resource_logs or ()))
    for part in request.resource_spans or ():
        _spans(part, names, taker)
    for logs in request.resource_logs or ():
        _logs(logs, names, taker)
    return True


def _spans(part: _ResourceSpans, names: Names, taker: SpanTaker) -> None:
    resource = names.resource(_attributes(part.resource.attributes if part.resource else None))
    wanted, take = taker.mapper.wanted, taker.span
    for scope in part.scope_spans or part.older or ():
        for span in scope.spans or ():
            said = {
                one.key: _value(one.value)
                for one in span.attributes or ()
                if one.key in wanted and one.value is not None
            }
            code = _enum(span.status.code, _CODES) if span.status is not None else 0
            if code == ERROR_CODE and said and "error.type" not in said:
                _exception_type(span, said)
            try:
                ids = (bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id))
                parent = bytes.fromhex(span.parent_span_id or "")
                start, end = _nanos(span.start_time_unix_nano), _nanos(span.end_time_unix_nano)
            except ValueError:
                taker.refuse("invalid_field", "an id is not hexadecimal, or a time is no number")
                continue
            kind = _enum(span.kind, _KINDS)
            take(resource, said, *ids, parent, span.name, kind, span.flags or 0, start, end, code)
            for event in span.events or ():
                if event.name.encode() == EVALUATION:
                    found = {**_attributes(span.attributes), **_attributes(event.attributes)}
                    _score(taker, found, resource, span.trace_id, event.time_unix_nano)


def _logs(part: _ResourceLogs, names: Names, taker: SpanTaker) -> None:
    resource = names.resource(_attributes(part.resource.attributes if part.resource else None))
    name = EVALUATION.decode()
    for scope in part.scope_logs or ():
        for record in scope.log_records or ():
            found = _attributes(record.attributes)
            time = record.time_unix_nano if record.time_unix_nano not in (None, 0, "0", "") else None
            time = record.observed_time_unix_nano if time is None else time
            if name in (record.event_name, found.get("event.name"), found.get("microsoft.custom_event.name")):
                _score(taker, found, resource, record.trace_id or "", time)
            else:
                try:
                    taker.alive(resource, _nanos(time) // NANOS)
                except ValueError:
                    taker.refuse("invalid_field", "the time of a log record is no number")


def _score(taker: SpanTaker, found: dict[str, Any], resource: Any, trace_id: str, time: _Number) -> None:
    try:
        where = (resource, trace_id[:32], _nanos(time) // NANOS)
    except ValueError:
        taker.refuse("invalid_field", "the time of an evaluation result is no number")
        return
    taker.evaluation(lambda: evaluation_of(found, *where))


def _exception_type(span: _Span, said: dict[str, Any]) -> None:
    for event in span.events or ():
        for one in event.attributes or ():
            if one.key == "exception.type":
                said["exception.type"] = _value(one.value)


def _nanos(value: _Number) -> int:
    """A 64-bit time. Raises ValueError."""
    if isinstance(value, str):
        if not value:
            return 0
        if len(value) > 20 or not value.isdecimal() or not value.isascii():
            raise ValueError
        return int(value)
    if value is None:
        return 0
    if isinstance(value, float):
        if not 0 <= value < 2**64:
            raise ValueError
        return int(value)
    return value


def _enum(value: int | str | None, names: dict[str, int]) -> int:
    """An enumeration's number; 0 for one that is unknown."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdecimal() and len(value) < 4 else names.get(value, 0)
    return value or 0


def _attributes(pairs: list[_Attribute] | None) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in pairs or ()}


def _value(value: _Value | None) -> Any:
    """An attribute's value: text, number, truth, or a short list of them; None for anything deeper."""
    if value is None:
        return None
    if isinstance(value.string_value, str):
        return value.string_value
    if value.int_value is not UNSET:
        return _integer(value.int_value)
    if isinstance(value.bool_value, bool):
        return value.bool_value
    if isinstance(value.double_value, int | float):
        return value.double_value
    if isinstance(value.array_value, _Array):
        return [found for one in (value.array_value.values or ())[:MAX_ARRAY] if (found := _plain(one)) is not None]
    return None


def _plain(one: dict[str, Any]) -> Any:
    for name in ("stringValue", "boolValue", "doubleValue"):
        if isinstance(one.get(name), str | bool | int | float):
            return one[name]
    return _integer(one.get("intValue"))


def _integer(value: Any) -> int | None:
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdecimal() and len(digits) < 20:
            return int(value)
    return None
