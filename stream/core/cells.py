"""Cells that a fold counts into, where a number alone will not do.

They become series only when they are packed (`stream.core.batch`). This is the hot path: a cell holds numbers, and of
its events nothing.
"""

from __future__ import annotations

from typing import TypeVar
from zlib import crc32

from msgspec import Struct

from stream.core.deltas import CEILING, EXEMPLARS_PER_MINUTE

_K = TypeVar("_K")

Shown = tuple[int, str, str | None]
"""An exemplar: rank, identity of the interaction, trace."""


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


def show(exemplars: dict[_K, list[Shown]], whose: _K, identity: str, trace_id: str | None) -> None:
    """Offer an exemplar. Those of the smallest rank are kept, in order, each once: a call may fail in several steps."""
    rank = crc32(identity.encode())
    known = exemplars.get(whose)
    if known is None:
        exemplars[whose] = [(rank, identity, trace_id)]
        return
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
