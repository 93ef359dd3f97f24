"""What the on-call page costs: a tick with 1,000 series and 200 incidents in history, and fifty live viewers.

    python -m benchmarks.dashboard [--series 1000] [--incidents 200] [--viewers 50] [--ticks 10]

Everything is processor time of this process, which does all that a page's process does but Kafka: it reads the shards
from an embedded Redis after each tick, draws the signals, and serves the page on loopback. The viewers are another
process (`benchmarks.viewers`), each with a stream of server-sent events and a connection of its own, and fetch the
first screen anew at every tick. What fifty open streams cost in a minute in which nothing happens is added. Prints
one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta

import uvicorn

from dashboard.acts import KafkaActs
from dashboard.app import build_app
from dashboard.model import ReadModel
from dashboard.pages import build_router
from dashboard.views import Filter
from schemas.base import JsonObject
from schemas.outputs import Heartbeat, Verdict
from stream.assembly import engine_of, machine_factory
from stream.core.checkpoint import save
from stream.core.deltas import KIND_CODE, Count, Delta
from stream.core.machine import ShardMachine
from stream.core.shards import shard_of
from stream.core.ticks import time_of
from stream.embedded import EmbeddedRedis
from stream.settings import Settings, load_settings
from stream.store import Birth, Store
from tests.support.dashboard_verdicts import resolved, verdict

START = 29_540_160
HOURS = 26
SHARDS = 4
FLOWS_PER_SYSTEM = 10
LEASE_MS = 600_000
LEAST_SECONDS = 1.1


def delta(shard: int, series: int, tick: int, minutes: int) -> Delta:
    """What the flows of one shard did in the minutes before a tick."""
    counts = []
    for number in range(series):
        system = f"system-{number // FLOWS_PER_SYSTEM}"
        if shard_of("production", system, SHARDS) == shard:
            dims = (f"flow-{number}",)
            amounts = (5 * minutes, number % 2 * minutes // 4, 0)
            counts.append(Count(KIND_CODE["flow"], "production", system, dims, tick - 1, amounts))
    return Delta(tuple(counts))


class World:
    """Shards in Redis that move on by a tick."""

    def __init__(self, settings: Settings, store: Store, series: int) -> None:
        make = machine_factory(settings)
        self.machines: list[ShardMachine] = [make() for _ in range(SHARDS)]
        self.tick = START + HOURS * 60
        self._store = store
        self._series = series
        self._tokens: dict[int, str] = {}

    async def begin(self) -> None:
        """Bring the shards into being with a day of history."""
        for shard, machine in enumerate(self.machines):
            for hour in range(HOURS):
                tick = START + (hour + 1) * 60
                machine.step(tick, [delta(shard, self._series, tick, 60)])
            made = save(machine, all_hours=True)
            await self._store.birth(shard, Birth(machine.tick, machine.tick, made.state, made.hours))
            self._tokens[shard] = await self._store.acquire(shard, "bench", LEASE_MS) or ""

    async def step(self) -> None:
        """One tick in every shard, with its checkpoint."""
        for shard, machine in enumerate(self.machines):
            machine.step(self.tick + 1, [delta(shard, self._series, self.tick + 1, 1)])
            await self._store.seal(shard, self._tokens[shard], self.tick + 1, self.tick + 1)
            done = await self._store.commit(shard, self._tokens[shard], self.tick, self.tick + 1, save(machine))
            if not done:
                raise RuntimeError(f"shard {shard} is fenced")
        self.tick += 1


def history(incidents: int) -> list[Verdict]:
    """So many incidents, most of them over."""
    found: list[Verdict] = []
    for number in range(incidents):
        ago = timedelta(hours=number)
        first = verdict(incident_id=f"inc_{number}")
        found.append(first.model_copy(update={"decided_at": first.decided_at - ago, "onset_at": first.onset_at - ago}))
        if number >= 5:
            found.append(resolved(incident_id=f"inc_{number}"))
    return found


def beat(model: ReadModel, tick: int, settings: Settings) -> None:
    """A sign of life of every shard."""
    for shard in range(SHARDS):
        model.memory.heartbeat(
            Heartbeat(
                shard=shard, shards=SHARDS, tick=time_of(tick), worker="w", epoch=1, series=10,
                engine=engine_of(settings),
            ),
            time.monotonic(),
        )  # fmt: skip
    model.memory.version += 1


async def run(options: argparse.Namespace, url: str) -> JsonObject:
    """The measurement."""
    environ = {"MIDWATCH_REDIS__URL": url, "MIDWATCH_ENGINE__SHARDS": str(SHARDS), "MIDWATCH_ENGINE__CLOCK": "stream"}
    settings = load_settings(None, environ)
    moment = [0.0]
    model = ReadModel(settings, clock=lambda: moment[0])
    world = World(settings, model.shards.store, options.series)
    await world.begin()
    for one in history(options.incidents):
        model.memory.verdict(one)
    spent: dict[str, list[float]] = {"overview": [], "windows": [], "signals_3h": [], "viewers": []}
    began = time.process_time()
    await model.views()
    first = time.process_time() - began
    async with served(model) as address, watching(address, options.viewers) as fetched:
        looking = asyncio.create_task(model._look())  # noqa: SLF001  # what the page's own process does all the time
        sizes = await everybody(fetched, options.viewers, 0)
        idle = await idle_seconds()
        for _ in range(options.ticks):
            await world.step()
            moment[0] += 60.0
            await asyncio.sleep(LEAST_SECONDS)  # a stream tells a viewer at most once in that time
            await measured(spent["windows"], model.views())
            await measured(spent["signals_3h"], model.signals(Filter(span="3h")))
            began = time.process_time()
            beat(model, world.tick, settings)
            await measured(spent["overview"], model.overview())
            await model.memory.wake()
            sizes = await everybody(fetched, options.viewers, model.memory.version)
            spent["viewers"].append(time.process_time() - began)
        looking.cancel()
    await model.aclose()
    found = {f"{name}_ms": round(1000 * statistics.median(values), 2) for name, values in spent.items()}
    tick_ms = found["overview_ms"] + found["windows_ms"]
    return {
        "series": options.series,
        "incidents": options.incidents,
        "viewers": options.viewers,
        "first_reading_ms": round(1000 * first, 1),
        **found,
        "tick_ms": round(tick_ms, 2),
        "idle_ms_a_minute": round(1000 * idle, 1),
        "first_screen_bytes": max(sizes),
        "viewers_share_of_a_core": round((found["viewers_ms"] + 1000 * idle) / 60_000, 5),
    }


async def measured(spent: list[float], work: Awaitable[object]) -> None:
    """Do some work, and note its seconds of processor time."""
    began = time.process_time()
    await work
    spent.append(time.process_time() - began)


@asynccontextmanager
async def served(model: ReadModel) -> AsyncIterator[str]:
    """The page on a free port of loopback; its address."""
    settings = model.settings
    acts = KafkaActs(settings, model.memory)
    app = build_app(model, acts, settings.dashboard, changed=model.memory.changed, router=build_router(model, acts))
    made = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve(sockets=[made]))
    try:
        yield f"http://127.0.0.1:{made.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def watching(address: str, viewers: int) -> AsyncIterator[asyncio.Queue[tuple[int, int]]]:
    """So many viewers in a process of their own; the sizes of what they have fetched, as it comes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.viewers", address, str(viewers)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    fetched: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    async def read() -> None:
        async for line in process.stdout or ():  # type: ignore[union-attr]
            version, size = line.split()
            fetched.put_nowait((int(version), int(size)))

    reading = asyncio.create_task(read())
    try:
        yield fetched
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        await reading


async def everybody(fetched: asyncio.Queue[tuple[int, int]], viewers: int, version: int) -> list[int]:
    """Wait until so many first screens of this version or a later one have come; their sizes."""
    sizes: list[int] = []
    while len(sizes) < viewers:
        found, size = await fetched.get()
        if found >= version:
            sizes.append(size)
    return sizes


async def idle_seconds(watched: float = 5.0) -> float:
    """Processor seconds that open streams cost in a minute in which nothing happens."""
    began = time.process_time()
    await asyncio.sleep(watched)
    return (time.process_time() - began) * 60.0 / watched


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("series", 1000), ("incidents", 200), ("viewers", 50), ("ticks", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with EmbeddedRedis() as redis:
        print(json.dumps(asyncio.run(run(options, redis.url)), sort_keys=True))


if __name__ == "__main__":
    main()
