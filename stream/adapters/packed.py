"""Gzip with a bound: a few bytes may unpack to gigabytes."""

from __future__ import annotations

import zlib
from typing import Final

from stream.adapters.rejection import RejectedRecord

_MAGIC: Final = b"\x1f\x8b"
_GZIP_ONLY: Final = 16 + zlib.MAX_WBITS
_FED: Final = 65_536
"""Bytes that are handed over at once: what is left of them is copied at each member's end."""

MOST_MEMBERS: Final = 4_096
"""Most members of one value: an empty one takes 20 bytes, so that a few megabytes could hold hundreds of thousands."""


def is_gzip(value: bytes) -> bool:
    """Whether the bytes begin as gzip does; neither JSON nor OTLP in protobuf does."""
    return value.startswith(_MAGIC)


def gunzip(value: bytes, max_bytes: int) -> bytes:
    """What was packed, of one member or several, as gzip allows; never more than `max_bytes`.

    Raises:
        RejectedRecord: too_large; or malformed_json, where the bytes are not whole gzip.
    """
    parts: list[bytes] = []
    room, at, members = max_bytes, 0, 0
    while at < len(value):
        members += 1
        if members > MOST_MEMBERS:
            raise RejectedRecord("too_large", f"the value is gzip of more than {MOST_MEMBERS:,} members")
        unpacker = zlib.decompressobj(_GZIP_ONLY)
        while not unpacker.eof:
            fed = value[at : at + _FED]
            if not fed:
                raise RejectedRecord("malformed_json", "the value is gzip that ends too early")
            at += len(fed)
            try:
                part = unpacker.decompress(fed, room + 1)
            except zlib.error:
                raise RejectedRecord("malformed_json", "the value begins as gzip but cannot be unpacked") from None
            room -= len(part)
            if room < 0:
                words = f"the value unpacks to more than {max_bytes:,} bytes; no more are read"
                raise RejectedRecord("too_large", words)
            parts.append(part)
        at -= len(unpacker.unused_data)
    return b"".join(parts)
