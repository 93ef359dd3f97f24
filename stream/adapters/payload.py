"""A record's value and headers, as the formats look at them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from schemas.base import JsonObject
from stream.adapters.reading import read_object
from stream.adapters.rejection import RejectedRecord, quote

Headers = Sequence[tuple[str, bytes]]

_REGISTRY_MAGIC: Final = 0
_REGISTRY_PREFIX_BYTES: Final = 5


class Payload:
    """One record. Its JSON is parsed at most once, and only if a format asks for it.

    Attributes:
        value: the record's value, without a schema registry's prefix.
    """

    def __init__(self, value: bytes, headers: Headers, max_depth: int) -> None:
        self.value = value
        self._max_depth = max_depth
        self._headers = {name.lower(): content for name, content in headers}

    def header(self, name: str) -> str | None:
        """The last header of this name (in lower case), or None.

        Raises:
            RejectedRecord: not_utf8.
        """
        content = self._headers.get(name)
        if content is None:
            return None
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise RejectedRecord("not_utf8", f"header {quote(name)} is not UTF-8") from None

    @cached_property
    def object(self) -> JsonObject:
        """The JSON object in the value.

        Raises:
            RejectedRecord: it holds none; see `reading.read_object`.
        """
        return read_object(self.value, self._max_depth)


def without_registry_prefix(value: bytes) -> bytes:
    """`value` without the zero byte and the 4-byte schema id of the Confluent wire format, if it has them."""
    return value[_REGISTRY_PREFIX_BYTES:] if value[:1] == bytes([_REGISTRY_MAGIC]) else value
