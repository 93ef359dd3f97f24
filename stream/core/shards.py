"""Which shard a system belongs to.

A shard is a hash of environment and system, so that all the evidence for a case (the flows, agents, dependencies,
scores and deployments of one system) lies in one shard and is read as of one tick.
"""

from __future__ import annotations

import hashlib


def shard_of(environment: str, system: str, shards: int) -> int:
    """The shard, 0 to `shards - 1`, of a system. Stable across processes, machines and versions."""
    digest = hashlib.blake2b(f"{environment}\x1f{system}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards
