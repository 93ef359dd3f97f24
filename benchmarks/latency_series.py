"""How long one evaluation takes over many series, and a start with all of them in Redis."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.memory_fleet import END, Fleet, run_quickly
from stream.assembly import machine_factory
from stream.core.checkpoint import Checkpoint, load, mark_clean, save
from stream.core.deltas import unpack
from stream.core.machine import Outcome
from stream.evaluate import EvaluateSettings, ShardEvaluator
from stream.settings import Settings, load_settings
from stream.store import Birth, PartitionState, Store

SHARDS: Final = 16
"""As by default."""


def evaluation(series: int, redis_url: str, shards: int = SHARDS) -> dict[str, Any]:
    """Processor seconds of ticks of `series` flows in so many shards, and seconds of a start with them in Redis.

    The shards are alike: one is made, and loaded as often as there are shards.
    """
    settings = load_settings(None, {})
    make = machine_factory(settings)
    machine = make()
    inboxes = run_quickly(machine, Fleet.of(series // shards))
    checkpoint = save(machine, all_hours=True)
    machines = [make() for _ in range(shards)]
    for machine in machines:
        load(machine, checkpoint.state, checkpoint.hours)
        mark_clean(machine)
    seconds = []
    for tick, blob in inboxes:
        begin = time.process_time()
        for machine in machines:
            machine.step(tick, [unpack(blob)])
        seconds.append(time.process_time() - begin)
    begin = time.process_time()
    for machine in machines:
        save(machine)
    saved = time.process_time() - begin
    machines.clear()
    started, parts = asyncio.run(_start(settings, checkpoint, inboxes, shards, redis_url))
    return {
        "series": series,
        "shards": shards,
        "tick_cpu_median": statistics.median(seconds),
        "tick_cpu_worst": max(seconds),
        "checkpoint_cpu": saved,
        "start_seconds": started,
        "start_cpu": parts,
    }


async def _start(
    settings: Settings, checkpoint: Checkpoint, inboxes: Sequence[tuple[int, bytes]], shards: int, redis_url: str
) -> tuple[float, dict[str, float]]:
    """Seconds from taking the first lease to the end of the last first evaluation, and processor seconds of the parts.

    One worker takes all the shards, one after the other.
    """
    client = Redis.from_url(redis_url, socket_timeout=settings.redis.socket_timeout_seconds)
    try:
        store = Store(client, f"start-{shards}-{len(checkpoint.state)}", shards)
        parts = {"agent.interactions/0": PartitionState(10**9, (END + 1) * 60_000 + 5_000)}
        for shard in range(shards):
            await store.birth(shard, Birth(END, END, checkpoint.state, checkpoint.hours, parts, inboxes[:1]))

        async def publish(_: Sequence[Outcome]) -> None:
            """Nobody listens."""

        make, asked = machine_factory(settings), EvaluateSettings(5_000, 0)
        evaluators = [ShardEvaluator(store, shard, "benchmark", make, publish, asked) for shard in range(shards)]
        begin, cpu = time.perf_counter(), time.process_time()
        for evaluator in evaluators:
            await evaluator.acquire()
        loaded = time.process_time()
        for evaluator in evaluators:
            if not await evaluator.advance():
                raise RuntimeError("the first tick was not evaluated")
        done, cpu_done = time.perf_counter(), time.process_time()
        return done - begin, {"load": loaded - cpu, "first tick": cpu_done - loaded}
    finally:
        await client.aclose()
