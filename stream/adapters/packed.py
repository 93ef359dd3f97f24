"""Gzip with a bound: a few bytes may unpack to gigabytes."""

from __future__ import annotations

import zlib
from typing import Final

from stream.adapters.rejection import RejectedRecord

_MAGIC: Final = b"\x1f\x8b"
_GZIP_ONLY: Final = 16 + zlib.MAX_WBITS


def is_gzip(value: bytes) -> bool:
    """Whether the bytes begin as gzip does; neither JSON nor OTLP in protobuf does."""
    return value.startswith(_MAGIC)


def gunzip(value: bytes, max_bytes: int) -> bytes:
    """What was packed, of one member or several, as gzip allows; never more than `max_bytes`.

    Raises:
        RejectedRecord: too_large; or malformed_json, where the bytes are not whole gzip.
    """
    parts: list[bytes] = []
    room = max_bytes
    while value:
        unpacker = zlib.decompressobj(_GZIP_ONLY)
        try:
            part = unpacker.decompress(value, room + 1)
        except zlib.error:
            raise RejectedRecord("malformed_json", "the value begins as gzip but cannot be unpacked") from None
        room -= len(part)
        if room < 0:
            raise RejectedRecord("too_large", f"the value unpacks to more than {max_bytes:,} bytes; no more are read")
        if not unpacker.eof:
            raise RejectedRecord("malformed_json", "the value is gzip that ends too early")
        parts.append(part)
        value = unpacker.unused_data
    return b"".join(parts)
