"""A worker keeps the leases of all its shards, also of those that wait for their turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from stream import evaluate_loop
from stream.evaluate import Fenced
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
        if self.shard in self.bench.passed_on:
            raise Fenced("it has passed to another")
        task = asyncio.current_task()
        if self.bench.broken is not None and task is not None and task.get_name() == "leases":
            raise self.bench.broken
        self.bench.renewed[self.shard] += 1
        self.bench.look()

    async def release(self) -> None:
        await self.bench.before_release()
        self.bench.released.append(self.shard)

    async def compact(self) -> None:
        """There is nothing to put together."""

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
        self._awaited: list[tuple[Callable[[], bool], asyncio.Event]] = []
        self.passed_on: set[int] = set()
        self.broken: Exception | None = None
        self.workers = 1
        self.enough, self.stop = asyncio.Event(), asyncio.Event()
        store: Any = SimpleNamespace(shards=2, namespace="midwatch", living=self.living, leave=self.living)
        say: Any = self.living
        voice = Voice(say, say, say, Staleness(1, None))
        self.loop = EvaluateLoop(store, "one", self.make, ENGINE, voice, cast("Any", None), lambda: 0)

    async def living(self, *_any: Any) -> int:
        return self.workers

    async def before_release(self) -> None:
        """Nothing, unless a test says otherwise."""

    def make(self, shard: int) -> Any:
        return Turn(self, shard)

    def look(self) -> None:
        """After each renewal: whether what somebody waits for has come."""
        for condition, event in self._awaited:
            if condition():
                event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what comes about with renewals."""
        event = asyncio.Event()
        self._awaited.append((condition, event))
        await event.wait()


async def test_leases_are_kept_while_another_shard_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first shard catches up, the second one's lease is renewed, so that it comes to its turn."""
    monkeypatch.setattr(evaluate_loop, "AT_ONCE", 1)
    monkeypatch.setattr(evaluate_loop, "LEASE_ROUND_SECONDS", 0.001)
    bench = Bench()
    running = asyncio.create_task(bench.loop.run(bench.stop))
    async with asyncio.timeout(10):
        await bench.until(lambda: bool(bench.turns) and min(bench.renewed[0], bench.renewed[1]) >= 3)
        bench.enough.set()
        await running
    assert sorted(set(bench.turns)) == [0, 1]
    assert sorted(bench.released) == [0, 1]
    assert min(bench.renewed.values()) >= 3


async def test_the_lease_of_a_shard_that_hangs_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is for another worker to try, while those that wait for their turn here are kept."""
    monkeypatch.setattr(evaluate_loop, "LEASE_ROUND_SECONDS", 0.001)
    monkeypatch.setattr(evaluate_loop, "HANGS_SECONDS", 0.0)
    monkeypatch.setattr(evaluate_loop, "AT_ONCE", 1)
    bench = Bench()
    running = asyncio.create_task(bench.loop.run(bench.stop))
    async with asyncio.timeout(10):
        await bench.until(lambda: bool(bench.turns) and bench.renewed[1 - bench.turns[0]] >= 3)
        hanging = bench.turns[0]
        other = 1 - hanging
        before = bench.renewed.copy()
        await bench.until(lambda: bench.renewed[other] >= before[other] + 5)
        assert bench.renewed[hanging] <= before[hanging] + 1
        bench.enough.set()
        await running


async def test_a_shard_that_passes_on_while_others_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second worker has come; while one shard is given back to it, the renewal finds that the other is gone too."""
    bench = Bench()
    await bench.loop._share()
    assert sorted(bench.loop.shards) == [0, 1]
    bench.workers = 3

    async def renewed_beside() -> None:
        bench.passed_on = {0, 1}
        await bench.loop._keep()

    monkeypatch.setattr(bench, "before_release", renewed_beside)
    monkeypatch.setattr(evaluate_loop, "_fair", lambda _shards, _workers: 0)
    await bench.loop._share()
    assert bench.loop.shards == {}
    assert len(bench.released) == 1


async def test_a_failure_of_the_renewal_is_not_kept_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in what runs beside the loop ends it; leases that nobody renews would run out again and again."""
    monkeypatch.setattr(evaluate_loop, "LEASE_ROUND_SECONDS", 0.001)
    bench = Bench()
    bench.enough.set()
    monkeypatch.setattr(Turn, "advance", _no_ticks)
    running = asyncio.create_task(bench.loop.run(bench.stop))
    async with asyncio.timeout(10):
        await bench.until(lambda: bench.renewed[0] > 0)
        bench.broken = ZeroDivisionError("a defect")
        with pytest.raises(ZeroDivisionError):
            await running


async def test_a_shard_that_waits_does_not_hold_up_the_next() -> None:
    """While the first one waits for a server, the second one has its turn, which ends the loop here."""
    bench = Bench()
    running = asyncio.create_task(bench.loop.run(bench.stop))
    async with asyncio.timeout(10):
        await bench.stop.wait()
        assert bench.turns == [0, 1] or bench.turns == [1, 0]
        bench.enough.set()
        await running


async def test_who_waits_for_its_turn_does_not_hang() -> None:
    """While one shard counts for long, the lease of the next is kept, and it is not taken for stuck; then it counts."""
    loop = Bench().loop
    inside, leave = [asyncio.Event(), asyncio.Event()], [asyncio.Event(), asyncio.Event()]

    async def count(shard: int) -> None:
        with loop._dues.watched(shard):
            async with loop._after_others(loop._counting, shard):
                inside[shard].set()
                await leave[shard].wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as both:
        both.create_task(count(0))
        await inside[0].wait()
        both.create_task(count(1))
        await asyncio.sleep(0)  # Up to where it waits.
        assert loop._dues.hangs(0, -1.0)
        assert not loop._dues.hangs(1, -1.0)
        leave[0].set()
        await inside[1].wait()
        assert loop._dues.hangs(1, -1.0)
        leave[1].set()


async def test_what_cannot_be_borne_goes_before_what_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two failures in one round: a Redis that is away is waited for, a defect must end the loop. All have ended."""
    bench = Bench()
    ended = []

    async def fail(turn: Turn) -> int:
        await asyncio.sleep(0)
        ended.append(turn.shard)
        raise RedisConnectionError if turn.shard == 0 else ZeroDivisionError

    monkeypatch.setattr(Turn, "advance", fail)
    async with asyncio.timeout(10):
        with pytest.raises(ZeroDivisionError):
            await bench.loop.run(bench.stop)
    assert sorted(ended) == [0, 1]


async def _no_ticks(_turn: Turn) -> int:
    return 0
