"""Packed counts and records on their way to the inboxes of their shards.

What is packed at one moment is put together at once, while it is in the processor's cache: a batch of a wide fleet has
tens of thousands of counts, and each by itself would have to be fetched again at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream.core.deltas import join_packed

Where = tuple[str, str]
"""Environment and system."""

Lists = defaultdict[int, list[bytes]]
"""By shard: what is packed for it."""


class Shards(Protocol):
    """Which shard a system is in, of how many."""

    @property
    def shards(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, where: Where, /) -> int:
        """The shard of a system."""
        ...

    def within(self, environment: str) -> Mapping[str, int]:
        """The shards of an environment's systems."""
        ...


@dataclass(slots=True)
class Packed:
    """So many counts or records, packed one behind the other."""

    number: int = 0
    chunks: list[bytes] = field(default_factory=list)

    def add(self, packed: Sequence[bytes]) -> None:
        """Add more."""
        self.number += len(packed)
        self.chunks.append(b"".join(packed))


@dataclass(slots=True)
class Bin:
    """What one shard gains at one tick."""

    counts: Packed = field(default_factory=Packed)
    records: Packed = field(default_factory=Packed)


class Bins:
    """What every shard gains at every tick."""

    def __init__(self, shard: Shards) -> None:
        self.shard = shard
        self._bins: dict[tuple[int, int], Bin] = {}

    def add_counts(self, tick: int, packed: Lists) -> None:
        """Add packed counts to what their shards gain at a tick."""
        for shard, counts in packed.items():
            self._at(shard, tick).counts.add(counts)

    def add_records(self, tick: int, packed: Lists) -> None:
        """The same for records."""
        for shard, records in packed.items():
            self._at(shard, tick).records.add(records)

    def _at(self, shard: int, tick: int) -> Bin:
        found = self._bins.get((shard, tick))
        if found is None:
            found = self._bins[shard, tick] = Bin()
        return found

    def packed(self) -> dict[int, dict[int, bytes]]:
        """A packed delta for each shard and tick, in order."""
        found: dict[int, dict[int, bytes]] = {}
        for shard, tick in sorted(self._bins):
            one = self._bins[shard, tick]
            counts, records = one.counts, one.records
            found.setdefault(shard, {})[tick] = join_packed(
                counts.number, counts.chunks, records.number, records.chunks
            )
        return found
