"""What the on-call page costs: a tick with 1,000 series and 200 incidents in history, and fifty live viewers.

    python -m benchmarks.dashboard [--series 1000] [--incidents 200] [--viewers 50] [--ticks 10]

Everything is processor time of this process, which is all that a page's process does: reading the shards from an
embedded Redis after each tick, drawing the signals, and answering fifty viewers who each fetch the first screen anew.
The viewers' own side (the client of the test) is in it, so the share is an upper bound. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable
from datetime import timedelta

import httpx

from dashboard.acts import KafkaActs
from dashboard.app import build_app
from dashboard.model import ReadModel
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
    app = build_app(model, KafkaActs(settings, model.memory), settings.dashboard, changed=model.memory.changed)
    spent: dict[str, list[float]] = {"overview": [], "windows": [], "signals_3h": [], "viewers": []}
    began = time.process_time()
    await model.views()
    first = time.process_time() - began
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        for _ in range(options.ticks):
            await world.step()
            moment[0] += 60.0
            beat(model, world.tick, settings)
            await measured(spent["overview"], model.overview())
            await measured(spent["windows"], model.views())
            await measured(spent["signals_3h"], model.signals(Filter(span="3h")))
            await measured(spent["viewers"], _all(http, options.viewers))
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
        "viewers_share_of_a_core": round(found["viewers_ms"] / 60_000, 5),
    }


async def measured(spent: list[float], work: Awaitable[object]) -> None:
    """Do some work, and note its seconds of processor time."""
    began = time.process_time()
    await work
    spent.append(time.process_time() - began)


async def _all(http: httpx.AsyncClient, viewers: int) -> None:
    for _ in range(viewers):
        answer = await http.get("/api/v1/overview")
        answer.raise_for_status()


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
