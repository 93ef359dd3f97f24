"""What an OTLP record in protobuf is, told by its bytes alone: a walk over its outermost fields, nothing decoded."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, Literal

Signal = Literal["traces", "logs", "metrics"]

_FIELD_1: Final = 0x0A
_LOOKED_AT: Final = 10_001
"""Resources that are looked into for the signal; no request of more is read."""

_MAX_LENGTH_BYTES: Final = 5
_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_LOG_TIMES: Final = ((1, _FIXED64), (11, _FIXED64))
_SPAN_TIMES: Final = ((7, _FIXED64), (8, _FIXED64))


def is_request(value: bytes) -> bool:
    """Whether a value is an export request, by its outermost fields: all have number 1 and their lengths add up.

    JSON may begin with the same byte, a line break; that the lengths add up to the end tells them apart.
    """
    at = 0
    while at < len(value):
        if value[at] != _FIELD_1:
            return False
        length, at = _varint(value, at + 1, _MAX_LENGTH_BYTES)
        at += length
    return 0 < at == len(value)


def _varint(value: bytes, at: int, longest: int = 10) -> tuple[int, int]:
    """The varint at `at` and the offset behind it; beyond the end of the value if there is none."""
    length = 0
    for index, byte in enumerate(value[at : at + longest]):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return length, at + index + 1
    return 0, len(value) + 1


def signal_of(value: bytes) -> Signal:
    """Which signal an export request carries, by the fields of its first span, log record or metric.

    A request that holds none of them counts as traces: there is nothing in it, or it is too long.
    """
    for one in islice(_fields(value, 1), _LOOKED_AT):
        for scope in _fields(one, 2):
            for item in _fields(scope, 2):
                return _signal_of_item(item)
    return "traces"


def _signal_of_item(item: bytes) -> Signal:
    """By what only a span has (its id's place and a time), only a log record has (a time in that place), or neither."""
    named = timed = False
    for number, wire, _ in _walk(item):
        if (number, wire) in _LOG_TIMES:
            return "logs"
        named |= (number, wire) == (1, _BYTES)
        timed |= (number, wire) in _SPAN_TIMES
        if named and timed:
            return "traces"
    return "metrics" if named else "logs"


def _fields(message: bytes, wanted: int) -> Iterator[bytes]:
    return (content for number, wire, content in _walk(message) if number == wanted and wire == _BYTES)


def _walk(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """A message's fields: number, wire type, and the content of those with a length; ends at what is unreadable."""
    at, size = 0, len(message)
    while at < size:
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        start = end = at
        if wire == _VARINT:
            end = _varint(message, at)[1]
        elif wire == _FIXED64:
            end += 8
        elif wire == _FIXED32:
            end += 4
        elif wire == _BYTES:
            length, start = _varint(message, at)
            end = start + length
        else:
            return
        if end > size:
            return
        yield number, wire, message[start:end] if wire == _BYTES else b""
        at = end
