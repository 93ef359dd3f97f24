"""Which shard a system belongs to.

A shard is a hash of environment and system, so that all the evidence for a case (the flows, agents, dependencies,
scores and deployments of one system) lies in one shard and is read as of one tick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

NAMES: Final = 65_536
"""Names of environments and systems that a memo holds."""


def shard_of(environment: str, system: str, shards: int) -> int:
    """The shard, 0 to `shards - 1`, of a system. Stable across processes, machines and versions."""
    digest = hashlib.blake2b(f"{environment}\x1f{system}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


class ShardMap:
    """`shard_of` with a bounded memo."""

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self._within: dict[str, _Within] = {}
        self._names = 0

    def __getitem__(self, where: tuple[str, str]) -> int:
        """The shard of an environment's system."""
        environment, system = where
        return self.within(environment)[system]

    def within(self, environment: str) -> Mapping[str, int]:
        """The shards of an environment's systems, of any name."""
        found = self._within.get(environment)
        if found is None:
            self.remember_one_more()
            found = self._within[environment] = _Within(environment, self)
        return found

    def remember_one_more(self) -> None:
        """Count a name that is about to be remembered; forget all others, where there are too many."""
        if self._names >= NAMES:
            self._within.clear()
            self._names = 0
        self._names += 1


class _Within(dict[str, int]):
    def __init__(self, environment: str, of: ShardMap) -> None:
        super().__init__()
        self._environment = environment
        self._of = of

    def __missing__(self, system: str) -> int:
        self._of.remember_one_more()
        shard = self[system] = shard_of(self._environment, system, self._of.shards)
        return shard
