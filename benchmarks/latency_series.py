"""How long one evaluation takes over many series, and a start with all of them in Redis."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from benchmarks.memory_fleet import END, Fleet, run_quickly
from stream.assembly import machine_factory
from stream.core.checkpoint import Checkpoint, load, mark_clean, save
from stream.core.deltas import unpack
from stream.core.machine import Outcome
from stream.evaluate import EvaluateSettings, ShardEvaluator
from stream.settings import load_settings
from stream.store import Birth, PartitionState, Store


def evaluation(series: int, redis_url: str) -> dict[str, Any]:
    """Processor seconds of single ticks of a shard of `series` flows, and seconds of a start with them in Redis."""
    settings = load_settings(None, {})
    machine = machine_factory(settings)()
    inboxes = run_quickly(machine, Fleet.of(series))
    checkpoint = save(machine, all_hours=True)
    mark_clean(machine)
    seconds = []
    for tick, blob in inboxes:
        deltas = [unpack(blob)]
        begin = time.process_time()
        machine.step(tick, deltas)
        seconds.append(time.process_time() - begin)
    begin = time.process_time()
    save(machine)
    saved = time.process_time() - begin
    del machine
    started, parts = asyncio.run(_start(settings, checkpoint, inboxes, redis_url))
    return {
        "series": series,
        "tick_cpu_median": statistics.median(seconds),
        "tick_cpu_worst": max(seconds),
        "checkpoint_cpu": saved,
        "start_seconds": started,
        "start_cpu": parts,
    }


async def _start(
    settings: Any, checkpoint: Checkpoint, inboxes: Sequence[tuple[int, bytes]], redis_url: str
) -> tuple[float, dict[str, float]]:
    """Seconds from taking the lease to the end of the first evaluation, and processor seconds of the parts."""
    client = Redis.from_url(redis_url, socket_timeout=300)
    try:
        store = Store(client, f"start-{len(checkpoint.state)}", 1)
        parts = {"agent.interactions/0": PartitionState(10**9, (END + 1) * 60_000 + 5_000)}
        await store.birth(0, Birth(END, END, checkpoint.state, checkpoint.hours, parts, inboxes[:1]))

        async def publish(_: Sequence[Outcome]) -> None:
            """Nobody listens."""

        make = machine_factory(settings)
        evaluator = ShardEvaluator(store, 0, "benchmark", make, publish, EvaluateSettings(5_000, 0))
        begin, cpu = time.perf_counter(), time.process_time()
        await evaluator.acquire()
        loaded = time.process_time()
        if not await evaluator.advance():
            raise RuntimeError("the first tick was not evaluated")
        done, cpu_done = time.perf_counter(), time.process_time()
        state, hours = await store.load(0)
        fresh, before = make(), time.process_time()
        load(fresh, state, hours)
        unpacked = time.process_time() - before
        return done - begin, {"load": loaded - cpu, "of it unpacking": unpacked, "first tick": cpu_done - loaded}
    finally:
        await client.aclose()
