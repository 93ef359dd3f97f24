"""What a format finds in a record, and what a format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from schemas.base import JsonObject
from stream.adapters.payload import Payload
from stream.adapters.rejection import Rejection


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A part of a record that was understood and says nothing that Midwatch keeps; it is counted, no dead letter.

    `why` names the kind of part, in the same few words for all of it: a successful call seen by a breaker, a push.
    """

    why: str


Found = JsonObject | Rejection | PassedOver
"""An event in Midwatch's own JSON shape, not yet validated; why a part is none; or that it has nothing to say."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format: whether a record is in it, and what it holds.

    Either function may raise `RejectedRecord`; then that is the answer for the whole record.
    """

    name: str
    claims: Callable[[Payload], bool]
    read: Callable[[Payload], list[Found]]
