"""The evaluation loop's own account of what is due, for the watchdog."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from aiokafka.errors import KafkaTimeoutError

from schemas.outputs import Engine
from stream.evaluate_loop import EvaluateLoop, Voice
from stream.standing import Staleness

TICK = 29_540_160


class Shards:
    """Shards of which one cannot publish; the machine of a slow one gets on all the same."""

    shards = 2
    namespace = "t"

    def __init__(self) -> None:
        self.rounds = 0
        self.enough = asyncio.Event()
        self.foreign: set[int] = set()
        self.lost = asyncio.Event()

    async def living(self, *_args: object) -> int:
        return 1

    async def leave(self, _owner: str) -> None:
        return

    def evaluator(self, shard: int) -> Any:
        machine = SimpleNamespace(tick=TICK, windows={})
        one = SimpleNamespace(shard=shard, committed=TICK, token="1:w", machine=machine)

        async def acquire() -> bool:
            if shard in self.foreign:
                asyncio.get_running_loop().call_soon(self.lost.set)
            return shard not in self.foreign

        async def advance() -> int:
            if shard == 1:
                self.rounds += 1
                if self.rounds == 3:
                    self.enough.set()
                raise KafkaTimeoutError
            one.committed += 1
            one.machine.tick += 1
            return 1

        async def nothing() -> None:
            return

        one.acquire, one.advance, one.renew, one.release, one.compact = acquire, advance, nothing, nothing, nothing
        return one


async def test_a_shard_that_does_not_get_on_shows_though_others_do(monkeypatch: Any) -> None:
    """It stays due from its first failure on, through every new try; its failure is kept."""
    monkeypatch.setattr("stream.evaluate_loop.BACK_OFF_SECONDS", 0.001)
    monkeypatch.setattr("stream.evaluate_loop.LEASE_ROUND_SECONDS", 0.0)
    shards = Shards()

    async def send(_what: object) -> None:
        return

    loop = EvaluateLoop(
        cast("Any", shards), "x", shards.evaluator, Engine(version="1", config_hash="h"),
        Voice(send, send, send, Staleness(1, None)), cast("Any", None), lambda: 0,
    )  # fmt: skip
    monkeypatch.setattr(loop, "_beat", lambda *_: send(None))
    monkeypatch.setattr(loop, "_arrive", lambda *_: send(None))
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(stop))
    await asyncio.wait_for(shards.enough.wait(), 30)
    since = loop.stuck_since()
    assert since is not None, "three failures are enough"
    assert loop.tallies.moves > 0
    shards.enough.clear()
    shards.rounds = 0
    await asyncio.wait_for(shards.enough.wait(), 30)
    assert loop.stuck_since() == since
    assert loop.trouble.about == "kafka"
    shards.foreign.add(1)
    await asyncio.wait_for(shards.lost.wait(), 30)
    assert loop.stuck_since() is None, "one that another worker has is for that one to get on"
    stop.set()
    await running
