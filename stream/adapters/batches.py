"""Several records of a tool in one: a JSON array, as OPA uploads its decision logs.

Only tools' records are taken in bulk. An array of Midwatch's own events is refused: one event a record is what keys,
offsets and dead letters are about.
"""

from __future__ import annotations

from typing import Final

from stream.adapters.found import Found
from stream.adapters.payload import Payload
from stream.adapters.producers import producer_of
from stream.adapters.rejection import RejectedRecord

MOST: Final = 10_000
"""Most elements of an array that are read."""


def is_batch(payload: Payload) -> bool:
    """Whether the value is an array whose first element a tool wrote."""
    if not payload.value.lstrip().startswith(b"["):
        return False
    items = payload.json
    return (
        isinstance(items, list)
        and bool(items)
        and isinstance(items[0], dict)
        and producer_of(payload.holding(items[0])) is not None
    )


def read_batch(payload: Payload) -> list[Found]:
    """What the elements hold, in their order; a faulty one does not keep the others out."""
    items = payload.json
    if len(items) > MOST:
        raise RejectedRecord("too_large", f"an array of {len(items):,} records; {MOST:,} are read")
    found: list[Found] = []
    for index, item in enumerate(items):
        try:
            found += _read(payload, item)
        except RejectedRecord as rejected:
            found.append(rejected.within(f"[{index}]"))
    return found


def _read(payload: Payload, item: object) -> list[Found]:
    if not isinstance(item, dict):
        raise RejectedRecord("not_an_object", "a record in an array is a JSON object")
    inner = payload.holding(item)
    producer = producer_of(inner)
    if producer is None:
        raise RejectedRecord("unsupported_format", "no tool that is known writes such a record")
    return producer.read(inner)
