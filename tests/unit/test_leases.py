"""A worker keeps the leases of all its shards, also of those that wait for their turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream import evaluate_loop
from stream.evaluate_loop import EvaluateLoop, Voice
from stream.standing import Staleness
from tests.simulation.world import ENGINE


class Turn:
    """A shard's evaluator that takes as long as it is told, and counts how often its lease is renewed."""

    def __init__(self, bench: Bench, shard: int) -> None:
        self.bench = bench
        self.shard = shard
        self.token = "1:one"
        self.committed = self.snapshot_ms = 0
        self.machine = SimpleNamespace(tick=0, windows={})

    async def acquire(self) -> bool:
        return True

    async def renew(self) -> None:
        self.bench.renewed[self.shard] += 1
        self.bench.look()

    async def release(self) -> None:
        self.bench.released.append(self.shard)

    async def advance(self) -> int:
        self.bench.turns.append(self.shard)
        if len(self.bench.turns) == 1:
            await self.bench.enough.wait()
        else:
            self.bench.stop.set()
        return 0


class Bench:
    """Two shards of one worker; the first turn lasts until both leases have been renewed a few times."""

    def __init__(self) -> None:
        self.renewed: Counter[int] = Counter()
        self.turns: list[int] = []
        self.released: list[int] = []
        self.enough, self.stop = asyncio.Event(), asyncio.Event()
        store: Any = SimpleNamespace(shards=2, namespace="midwatch", living=self.living, leave=self.living)
        say: Any = self.living
        voice = Voice(say, say, say, Staleness(1, None))
        self.loop = EvaluateLoop(store, "one", self.make, ENGINE, voice, cast("Any", None), lambda: 0)

    async def living(self, *_any: Any) -> int:
        return 1

    def make(self, shard: int) -> Any:
        return Turn(self, shard)

    def look(self) -> None:
        """During the first turn: whether it has lasted long enough."""
        if self.turns and min(self.renewed[0], self.renewed[1]) >= 3:
            self.enough.set()


async def test_leases_are_kept_while_another_shard_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first shard catches up, the second one's lease is renewed, so that it comes to its turn."""
    monkeypatch.setattr(evaluate_loop, "LEASE_ROUND_SECONDS", 0.001)
    bench = Bench()
    await asyncio.wait_for(bench.loop.run(bench.stop), 10)
    assert sorted(set(bench.turns)) == [0, 1]
    assert sorted(bench.released) == [0, 1]
    assert min(bench.renewed.values()) >= 3
