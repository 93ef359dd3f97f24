"""Bytes to a JSON object, with each way to fail told apart.

This is the careful way in, taken by records that the fast decoder refuses and by formats that wrap an event. JSON is
RFC 8259's: no NaN, no infinity, no number beyond a 64-bit float. Of a name that occurs twice in an object, the last
counts.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from schemas.base import JsonObject
from stream.adapters.rejection import RejectedRecord

_STRING: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_NOT_FINITE: Final = re.compile(_STRING + rb"|(-?Infinity|NaN)", re.DOTALL)
_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_KINDS: Final[dict[type, str]] = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}

_IN_WORDS: Final = {"Input data was truncated": "JSON is malformed: it ends inside a value, or an escape is cut short"}

_decode: Final = msgspec.json.Decoder().decode


def read_object(value: bytes, max_depth: int) -> JsonObject:
    """The JSON object in `value`.

    Raises:
        RejectedRecord: not_utf8, malformed_json, too_deep, not_finite or not_an_object, with the place of the fault.
    """
    return as_object(read_json(value, max_depth))


def read_json(value: bytes, max_depth: int) -> Any:
    """The JSON value in `value`.

    Raises:
        RejectedRecord: not_utf8, malformed_json, too_deep or not_finite, with the place of the fault.
    """
    _check_encoding(value)
    if exceeds_depth(value, max_depth):
        raise RejectedRecord("too_deep", f"objects and arrays are nested more than {max_depth} deep")
    return _parse(value)


def as_object(plain: Any) -> JsonObject:
    """`plain` if it is a JSON object. Raises RejectedRecord (not_an_object)."""
    if not isinstance(plain, dict):
        raise RejectedRecord("not_an_object", f"the value is {kind_of(plain)}; an event is a JSON object")
    return plain


def kind_of(value: Any) -> str:
    """What a JSON value is, in words: `a string`."""
    return _KINDS.get(type(value), "an object")


def exceeds_depth(value: bytes, max_depth: int) -> bool:
    """Whether brackets are nested more than `max_depth` deep.

    Every pass drops the innermost level, at the speed of a search. Brackets that do not match stop it with the
    answer no: such a value is malformed, and the parser says so.
    """
    if value.count(b"[") + value.count(b"{") <= max_depth:
        return False
    brackets = _STRINGS.sub(b"", value).translate(_SQUARE, _NOT_BRACKETS)
    for _ in range(max_depth):
        fewer = brackets.replace(b"[]", b"")
        if not fewer or len(fewer) == len(brackets):
            return False
        brackets = fewer
    return True


def _check_encoding(value: bytes) -> None:
    if not value.strip():
        raise RejectedRecord("malformed_json", "the value is empty; a record to be skipped has a null value")
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise RejectedRecord(
            "not_utf8", f"byte 0x{value[error.start]:02x} at offset {error.start} is not UTF-8: {error.reason}"
        ) from None
    if value.startswith(_BYTE_ORDER_MARK):
        raise RejectedRecord("malformed_json", "the value begins with a byte order mark; send UTF-8 without one")


def _parse(value: bytes) -> Any:
    try:
        return _decode(value)
    except RecursionError:
        raise RejectedRecord("too_deep", "objects and arrays are nested too deep") from None
    except msgspec.ValidationError:
        # The one thing that a parser without a schema can find invalid is a number's size.
        raise RejectedRecord("not_finite", "a number is too large for a 64-bit float") from None
    except (msgspec.DecodeError, ValueError) as error:
        for match in _NOT_FINITE.finditer(value):
            if match[1] is not None:
                raise RejectedRecord(
                    "not_finite", f"{match[1].decode()} at offset {match.start()} is not a JSON number"
                ) from None
        raise RejectedRecord("malformed_json", _IN_WORDS.get(str(error), str(error))) from None
