"""Cells that a fold counts into: what one system gained in one place, by its own names for flows, agents and models.

They become series only when a batch is packed (`stream.core.batch`). This is the hot path: a cell holds numbers, and of
its events nothing but the newest tags and a few exemplars.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

from msgspec import Struct

from stream.core.deltas import CEILING, EXEMPLARS_PER_MINUTE
from stream.core.ticks import NEVER

Shown = tuple[int, str, str | None]
"""An exemplar: rank, identity of the interaction, trace."""


class Tagged(Struct, gc=False):
    """The tags of the newest tagged event of something, with that event's time and identity.

    The event itself is not kept: it is let go while it is in the processor's cache.
    """

    tagged_ms: int = NEVER
    tagged_id: str = ""
    tags: Mapping[str, str] | None = None

    def note_tags(self, ms: int, identity: str, tags: Mapping[str, str]) -> None:
        """Keep the tags that are the newest; of two at the same time, those of the greater id."""
        if self.tags is None or (ms, identity, sorted_tags(tags)) > self.order:
            self.tagged_ms, self.tagged_id, self.tags = ms, identity, tags

    @property
    def order(self) -> tuple[int, str, tuple[tuple[str, str], ...]]:
        """The greater, the newer."""
        return self.tagged_ms, self.tagged_id, sorted_tags(self.tags)


class Odd(Struct, gc=False):
    """Interactions of a version of a flow that escalated or failed, and for which reasons; or an agent's denials.

    Attributes:
        number: escalations, or denials.
        details: of the reason of an escalation, or the action and principal of a denial, how often.
    """

    number: int = 0
    failures: int = 0
    details: dict[tuple[str, ...], int] = {}

    def note(self, detail: tuple[str, ...]) -> None:
        """Count one more."""
        self.details[detail] = self.details.get(detail, 0) + 1


class UsageCell(Struct, gc=False):
    """What one agent's use of one model gained; `cost` in micro-dollars."""

    requests: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0

    def amounts(self) -> tuple[int, ...]:
        """All of them, cut off at what any reader takes: events may claim more than fits 64 bits."""
        amounts = (self.requests, self.input_tokens, self.cached_input_tokens, self.output_tokens, self.cost)
        return amounts if max(amounts) <= CEILING else tuple([min(amount, CEILING) for amount in amounts])


class SystemCells(Tagged, gc=False):
    """What one system gained in one place, and its newest tags there.

    Most systems have few events in a batch: what not all of them need is made when it is needed.

    Attributes:
        numbers: interactions by (flow, version), and authorizations by agent.
        odd: more of the interactions that escalated or failed, and of the authorizations that were denied.
        shown: exemplars by flow, as a tuple of one, and by agent.
        usage: by agent, model and pricing.
    """

    numbers: dict[str | tuple[str, str | None], int] = {}
    odd: dict[str | tuple[str, str | None], Odd] | None = None
    shown: dict[str | tuple[str], list[Shown]] | None = None
    usage: dict[tuple[str | None, str, str | None], UsageCell] | None = None

    def odd_of(self, key: str | tuple[str, str | None]) -> Odd:
        """What is odd about an agent's authorizations, or a flow's interactions."""
        if self.odd is None:
            self.odd = {}
        found = self.odd.get(key)
        if found is None:
            found = self.odd[key] = Odd()
        return found

    def show(self, whose: str | tuple[str], identity: str, trace_id: str | None) -> None:
        """Offer an exemplar."""
        if self.shown is None:
            self.shown = {}
        known = self.shown.get(whose)
        if known is None:
            known = self.shown[whose] = []
        show(known, identity, trace_id)


def sorted_tags(tags: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Tags in their order."""
    if not tags:
        return ()
    return tuple(tags.items() if len(tags) == 1 else sorted(tags.items()))


def show(known: list[Shown], identity: str, trace_id: str | None) -> None:
    """Offer an exemplar. Those of the smallest rank are kept, in order, each once: a call may fail in several steps."""
    rank = crc32(identity.encode())
    if len(known) == EXEMPLARS_PER_MINUTE and rank > known[-1][0]:
        return
    shown = (rank, identity, trace_id)
    if shown not in known:
        known.append(shown)
        known.sort(key=_by_rank)
        del known[EXEMPLARS_PER_MINUTE:]


def _by_rank(shown: Shown) -> tuple[int, str, str]:
    rank, identity, trace_id = shown
    return rank, identity, trace_id or ""
