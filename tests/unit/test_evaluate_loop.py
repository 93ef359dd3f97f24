"""The evaluation loop's own account of what is due, for the watchdog."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaTimeoutError

from schemas.outputs import Engine, Heartbeat
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


class Quick:
    """Shards that publish at each step and come on by a tick; those of `bad` cannot. `said` has what came, in order."""

    namespace = "t"

    def __init__(self, shards: int = 3, *, moves: bool = True) -> None:
        self.shards = shards
        self.said: list[tuple[str, int]] = []
        self.bad: set[int] = set()
        self.mute: set[int] = set()
        self.moves = moves
        self.came = asyncio.Event()

    async def living(self, *_args: object) -> int:
        return 1

    async def leave(self, _owner: str) -> None:
        return

    async def heartbeat(self, heartbeat: Heartbeat) -> None:
        if heartbeat.shard in self.mute:
            raise KafkaTimeoutError
        self.said.append(("heartbeat", heartbeat.shard))
        self.came.set()

    def evaluator(self, shard: int) -> Any:
        machine = SimpleNamespace(tick=0, windows={}, incidents=None)
        one = SimpleNamespace(shard=shard, committed=TICK, token="1:w", machine=machine, snapshot_ms=0)

        async def acquire() -> bool:
            return True

        async def advance() -> int:
            if shard in self.bad:
                raise KafkaTimeoutError
            await asyncio.sleep(0)  # others come in between
            self.said.append(("verdict", shard))
            self.came.set()
            one.committed += self.moves
            return int(self.moves)

        async def nothing() -> None:
            return

        one.acquire, one.advance, one.renew, one.release, one.compact = acquire, advance, nothing, nothing, nothing
        return one

    def loop(self) -> EvaluateLoop:
        async def nothing(_what: object) -> None:
            return

        voice = Voice(self.heartbeat, nothing, nothing, Staleness(1, None))
        engine = Engine(version="1", config_hash="h")
        loop = EvaluateLoop(cast("Any", self), "x", self.evaluator, engine, voice, cast("Any", None), lambda: 0)
        loop._arrive = lambda *_: nothing(None)  # type: ignore[method-assign]
        return loop

    async def until(self, loop: EvaluateLoop, enough: Callable[[], bool]) -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(loop.run(stop))
        running.add_done_callback(lambda _: self.came.set())
        async with asyncio.timeout(30):
            while not enough() and not running.done():
                self.came.clear()
                await self.came.wait()
        stop.set()
        await running


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.evaluate_loop.BACK_OFF_SECONDS", 0.001)
    monkeypatch.setattr("stream.evaluate_loop.LEASE_ROUND_SECONDS", 0.0)
    monkeypatch.setattr("stream.evaluate_loop.HEARTBEAT_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_verdicts_come_before_heartbeats() -> None:
    """Somebody waits for the verdicts of the last shard while the first could already beat."""
    shards = Quick(shards=6)
    await shards.until(shards.loop(), lambda: ("heartbeat", 5) in shards.said)
    kinds = [kind for kind, _ in shards.said]
    assert kinds[:6] == ["verdict"] * 6
    assert kinds.index("heartbeat") == 6


@pytest.mark.usefixtures("at_once")
async def test_a_shard_that_fails_does_not_silence_the_others() -> None:
    """They come on, and say so: else the dead man's switch would blame them all."""
    shards = Quick()
    shards.bad = {1}
    await shards.until(shards.loop(), lambda: shards.said.count(("heartbeat", 0)) >= 3)
    assert ("heartbeat", 2) in shards.said
    assert ("heartbeat", 1) not in shards.said


@pytest.mark.usefixtures("at_once")
async def test_a_heartbeat_that_always_fails_is_stuck() -> None:
    """The ticks get on, and what should be said of them does not: that must not go on for ever."""
    shards = Quick()
    shards.mute = {1}
    loop = shards.loop()
    stuck: list[float] = []

    def seen() -> bool:
        since = loop.stuck_since()
        if since is not None:
            stuck.append(since)
        return len(stuck) >= 3

    await shards.until(loop, seen)
    assert len(set(stuck)) == 1, "since its first failure"
    assert loop.trouble.about == "kafka"


async def test_whoever_notes_that_a_tick_may_pass_wakes_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks again at once, and not when it is time to."""
    monkeypatch.setattr("stream.evaluate_loop.POLL_SECONDS", 3600.0)
    shards = Quick(shards=1, moves=False)
    loop = shards.loop()
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(stop))
    async with asyncio.timeout(30):
        for looks in range(1, 4):
            while shards.said.count(("verdict", 0)) < looks:
                shards.came.clear()
                await shards.came.wait()
            loop.wake()
        stop.set()
        loop.wake()
        await running
