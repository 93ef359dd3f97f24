"""A record's value and headers, as the formats look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from schemas.base import JsonObject
from stream.adapters.reading import as_object, read_json
from stream.adapters.rejection import RejectedRecord, quote

Headers = Sequence[tuple[str, bytes]]

_REGISTRY_PREFIXES: Final = {0: 5, 1: 17}
"""By the first byte: the length of a schema registry's prefix. 0 and a 4-byte id, 1 and a 16-byte GUID."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose the records are that do not say it themselves, as the configuration has it."""

    environment: str | None = None
    system: str | None = None


class Payload:
    """One record. Its JSON is parsed at most once, and only if a format asks for it.

    Attributes:
        value: the record's value, without a schema registry's prefix.
        max_depth: deepest nesting of its JSON.
        received_ms: the record's own time in milliseconds, negative if it has none.
        origin: whose it is if it does not say.
    """

    def __init__(
        self,
        value: bytes,
        headers: Headers,
        max_depth: int,
        received_ms: int = -1,
        origin: Origin = Origin(),
    ) -> None:
        self.value = value
        self.max_depth = max_depth
        self.received_ms = received_ms
        self.origin = origin
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

    def holding(self, plain: JsonObject) -> Payload:
        """The same record with another object in it: what was wrapped in it, or one of several."""
        inner = Payload(b"", (), self.max_depth, self.received_ms, self.origin)
        inner._headers = self._headers
        inner.__dict__["json"] = plain
        return inner

    @cached_property
    def json(self) -> Any:
        """The JSON value in the record.

        Raises:
            RejectedRecord: it holds none; see `reading.read_json`.
        """
        return read_json(self.value, self.max_depth)

    @property
    def object(self) -> JsonObject:
        """The JSON object in the record.

        Raises:
            RejectedRecord: it holds none; see `reading.read_object`.
        """
        return as_object(self.json)


def without_registry_prefix(value: bytes) -> bytes:
    """`value` without a schema registry's prefix (Confluent's wire format), if it has one.

    That is a zero byte and a 4-byte schema id, or a byte 1 and a 16-byte GUID. Neither byte can begin JSON or OTLP. The
    newer way, the same in the header `__value_schema_id`, leaves the value as it is.
    """
    return value[_REGISTRY_PREFIXES.get(value[0], 0) :] if value and value[0] < 2 else value
