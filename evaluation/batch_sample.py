"""A sample of bounded size from a stream of unknown length, drawn as the live plane draws. Pure.

An interaction is drawn where its draw is below its rate times a factor, so the quotient of draw and rate says from
which factor on it is in. Only the smallest quotients are kept: whatever was let go had a larger one, so below the
smallest quotient that was let go the sample is whole. The factor is then thinned until the budget allows what is
drawn, and each score carries the thinned rate, like one that was judged live.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from evaluation.pacing import Budget, Spent
from evaluation.sampling import Drawn, Kind, decide
from schemas.series import MAX_STRATUM, rate_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Size:
    """What one interaction takes: bytes of a file, requests, and what judging it is expected to cost."""

    bytes: int
    requests: int
    cost: Spent


@dataclass(frozen=True, slots=True)
class Room:
    """How many bytes and requests one batch may have."""

    bytes: int
    requests: int


@dataclass(frozen=True, slots=True)
class Chosen(Generic[T]):
    """One interaction that is in the sample, and how it was drawn."""

    identity: str
    item: T
    size: Size
    drawn: Drawn


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    draw: float
    kind: Kind
    item: T
    size: Size


class BatchSample(Generic[T]):
    """Takes interactions in any order and keeps what may be chosen. The same one, come again, counts once."""

    def __init__(self, rates: Mapping[Kind, float], room: Room) -> None:
        self._rates = rates
        self._room = room
        self._kept: dict[str, _Kept[T]] = {}
        self._largest: list[tuple[float, str]] = []
        self._whole_to = 1.0
        self._bytes = 0
        self._requests = 0

    def wants(self, draw: float, kind: Kind) -> bool:
        """Whether an interaction of this draw could be chosen: what could not need not be prepared."""
        quotient = draw / self._rates[kind]
        return quotient < self._whole_to and decide(draw, kind, self._rates) is not None

    def offer(self, identity: str, draw: float, kind: Kind, item: T, size: Size) -> None:
        """Keep one interaction that is wanted, and let go of the largest quotients if there is no room for all."""
        if identity in self._kept:
            return
        self._kept[identity] = _Kept(draw, kind, item, size)
        heapq.heappush(self._largest, (-draw / self._rates[kind], identity))
        self._bytes += size.bytes
        self._requests += size.requests
        while self._bytes > self._room.bytes or self._requests > self._room.requests:
            negative, gone = heapq.heappop(self._largest)
            size = self._kept.pop(gone).size
            self._bytes -= size.bytes
            self._requests -= size.requests
            self._whole_to = min(self._whole_to, -negative)

    def choose(self, left: Budget) -> tuple[float, list[Chosen[T]]]:
        """The largest factor of the grid at which the sample is whole and within what is left, and the sample.

        In the order of identities, so that the same interactions give the same batch in whatever order they came.
        """
        for stratum in range(MAX_STRATUM + 1):
            factor = rate_of(stratum)
            if factor > self._whole_to:
                continue
            chosen = self._at(factor)
            if not chosen or _within(chosen, left):
                return factor, chosen
        return 0.0, []

    def _at(self, factor: float) -> list[Chosen[T]]:
        drawn = (
            (identity, kept, decide(kept.draw, kept.kind, self._rates, factor))
            for identity, kept in sorted(self._kept.items(), key=lambda pair: pair[0])
        )
        return [Chosen(identity, kept.item, kept.size, one) for identity, kept, one in drawn if one is not None]


def total_cost(chosen: Iterable[Chosen[T]]) -> Spent:
    """What the judging is expected to cost."""
    costs = [one.size.cost for one in chosen]
    return Spent(sum(cost.tokens for cost in costs), sum(cost.micro_usd for cost in costs))


def _within(chosen: Iterable[Chosen[T]], left: Budget) -> bool:
    cost = total_cost(chosen)
    return (left.tokens is None or cost.tokens <= left.tokens) and (
        left.micro_usd is None or cost.micro_usd <= left.micro_usd
    )
