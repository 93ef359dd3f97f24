"""What a format finds in a record, and what a format is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from schemas.base import JsonObject
from stream.adapters.payload import Payload
from stream.adapters.rejection import MAX_DETAIL, Rejection, clip

MOST_FAULTS: Final = 20
"""Most faulty parts of one record that are told one by one: each becomes a dead letter with the record's payload in it,
so that without a bound a record of half a megabyte could fill the topic with fifty."""

_One = TypeVar("_One")


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


def bounded(outcomes: Sequence[_One]) -> list[_One | Rejection]:
    """The outcomes, in their order; of the rejections beyond `MOST_FAULTS` one that says how many there are."""
    faults = [one for one in outcomes if isinstance(one, Rejection)]
    more = len(faults) - MOST_FAULTS
    if more <= 0:
        return [*outcomes]
    left = MOST_FAULTS
    kept: list[_One | Rejection] = []
    for one in outcomes:
        left -= isinstance(one, Rejection)
        if left >= 0 or not isinstance(one, Rejection):
            kept.append(one)
    first = faults[MOST_FAULTS]
    detail = f"{more:,} more parts of the record are faulty; the first of them: {first.detail}"
    return [*kept, Rejection(first.reason, clip(detail, MAX_DETAIL))]
