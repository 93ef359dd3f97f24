"""OTLP from an OpenTelemetry collector: recognised, and refused with a clear answer.

A protobuf export request is a run of length-delimited fields of number 1, so it begins with 0x0A. So may JSON, by a
line break: that the lengths add up to the end tells them apart.
"""

from __future__ import annotations

from typing import Final

from stream.adapters.found import Found
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord

_FIELD_1: Final = 0x0A
_ROOTS: Final = ("resourceSpans", "resourceLogs", "resourceMetrics")
_MAX_LENGTH_BYTES: Final = 5


def is_protobuf(payload: Payload) -> bool:
    """Whether the value is an export request in protobuf, by its outermost fields."""
    value = payload.value
    at = 0
    while at < len(value):
        if value[at] != _FIELD_1:
            return False
        length, at = _length_at(value, at + 1)
        at += length
    return 0 < at == len(value)


def _length_at(value: bytes, at: int) -> tuple[int, int]:
    """The varint at `at` and the offset behind it; beyond the end of the value if there is none."""
    length = 0
    for index, byte in enumerate(value[at : at + _MAX_LENGTH_BYTES]):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return length, at + index + 1
    return 0, len(value) + 1


def is_json(payload: Payload) -> bool:
    """Whether the value is an export request in JSON."""
    return any(root in payload.object for root in _ROOTS)


def read(payload: Payload) -> list[Found]:
    """Refused, with what it is and how long."""
    raise RejectedRecord(
        "unsupported_format",
        f"OTLP ({len(payload.value):,} bytes); this version reads Midwatch's own JSON and CloudEvents",
    )
