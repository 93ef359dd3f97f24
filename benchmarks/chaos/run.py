"""A fault run from beginning to end: start everything, do harm for a while, let it come to rest, see what is left."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.chaos.faults import FAULTS, WORKER_DEATHS, Done
from benchmarks.chaos.load import Load
from benchmarks.chaos.pulse import Pulse, takeover_seconds, zombie_beats
from benchmarks.chaos.recount import golden, recount
from benchmarks.chaos.report import Happened
from benchmarks.chaos.schedule import Planned, rounds
from benchmarks.chaos.stored import kept, said
from benchmarks.chaos.traffic import CALM_MINUTES, SLICE_MS, START_MS, Fleet
from benchmarks.chaos.verify import Check, Evidence, at_least, checks, none_of
from benchmarks.chaos.workers import IDLE_GRACE_SECONDS, LATENESS_SECONDS, SHARDS
from benchmarks.chaos.world import World, world
from stream.core.ticks import MINUTE_MS

CLOSING_MINUTES: Final = 150
"""Longer than any detector holds on, so that every incident comes to its end."""

RECOVERY_SECONDS: Final = 90.0
TAKEOVER_SECONDS: Final = 15.0
REST_SECONDS: Final = 240.0
LAG_MS: Final = round((LATENESS_SECONDS + IDLE_GRACE_SECONDS) * 1000)
WATCHED_SECONDS: Final = 20.0
"""How long after its return a zombie is watched."""

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How much of what. The run ends when it has lasted `minutes` and made `faults` and sent `events`."""

    kinds: Sequence[str]
    seed: int
    minutes: float
    events: int
    faults: int
    rate: int
    speed: float
    brokers: int = 1
    keep: Path | None = None


@dataclass(slots=True)
class Result:
    """What a run found."""

    checks: list[Check]
    happened: list[Happened]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Run:
    """What is known while it goes on; `deaths` are (died at, victims, holders then, end of the fault, zombie)."""

    options: Options
    world: World
    load: Load
    pulse: Pulse
    note: Note
    started: float = field(default_factory=time.time)
    happened: list[Happened] = field(default_factory=list)
    deaths: list[tuple[int, float, float, Done, dict[int, Any]]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether it lasted, harmed and sent enough."""
        enough = len(self.happened) >= self.options.faults and self.load.records >= self.options.events
        return enough and time.time() - self.started >= self.options.minutes * 60

    async def play(self) -> None:
        """Do harm until it is enough."""
        chance = random.Random(f"faults/{self.options.seed}")
        for planned in rounds(self.options.kinds, self.options.seed):
            if self.over:
                return
            if planned.recovered:
                await self.recover()
            await asyncio.sleep(planned.after_seconds)
            await self.harm(planned, random.Random(chance.random()))

    async def harm(self, planned: Planned, chance: random.Random) -> None:
        """One fault."""
        holders, began = self.pulse.holders(), time.time()
        done = await FAULTS[planned.kind](self.world, chance)
        ended = time.time()
        number = len(self.happened)
        self.happened.append(
            Happened(number, planned.kind, planned.phase, began - self.started, ended - began, done.detail)
        )
        if planned.kind in WORKER_DEATHS:
            self.deaths.append((number, began, ended, done, holders))
        self.note(f"{began - self.started:7.1f} s  {planned.kind} ({planned.phase}): {done.detail}")

    async def recover(self, lag_ms: int = 0) -> None:
        """Wait until every shard has evaluated a tick that was still ahead when this began; note how long it took.

        While the load goes on: with `lag_ms`, as when it has yet to begin, a tick further back is enough.
        """
        tick = (START_MS + self.load.slice * SLICE_MS - lag_ms) // MINUTE_MS
        took = await self.pulse.reached(tick, RECOVERY_SECONDS)
        if not self.happened:
            return
        last = self.happened[-1]
        self.happened[-1] = replace(last, recovered=took if took is not None else RECOVERY_SECONDS)
        self.note(f"           recovered in {took:.1f} s" if took is not None else "           NOT RECOVERED")


async def run(options: Options, folder: Path, note: Note) -> Result:
    """The whole of it. `folder` takes configurations and logs; `note` is told what happens."""
    note(f"starting {options.brokers} broker(s) and Redis")
    async with world(folder, options.brokers) as everything:
        per_slice = max(round(options.rate * SLICE_MS / 1000 / options.speed), 1)
        load = Load(Fleet(options.seed, per_slice), everything.kafka.bootstrap, options.speed)
        pulse = Pulse(everything.kafka.bootstrap, SHARDS)
        watching = asyncio.create_task(pulse.run())
        note(f"sending {CALM_MINUTES} minutes of history, then {options.rate} events a second")
        await load.prefill(CALM_MINUTES * MINUTE_MS // SLICE_MS)
        for worker in everything.workers:
            await worker.start()
        this = _Run(options, everything, load, pulse, note)
        await this.recover(LAG_MS)
        this.started = time.time()
        stop = asyncio.Event()
        sending = asyncio.create_task(load.run(stop))
        try:
            await _with_load(this.play(), sending)
            await this.recover()
        finally:
            stop.set()
            await sending
        await load.close(CLOSING_MINUTES)
        rested = await _rest(this)
        for worker in [*everything.workers]:
            await worker.stop()
        watching.cancel()
        note("everything rests; recounting")
        return await _verify(this, rested)


async def _with_load(playing: Any, sending: asyncio.Task[None]) -> None:
    """Play, but not on without a load."""
    task = asyncio.ensure_future(playing)
    await asyncio.wait({task, sending}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        await sending
        raise RuntimeError("the load ended by itself")
    await task


async def _rest(this: _Run) -> bool:
    """Wait until every shard has evaluated all that there is."""
    tick = (START_MS + this.load.slice * SLICE_MS - LAG_MS) // MINUTE_MS
    this.note("the faults are over; waiting for the engine to come to rest")
    return await this.pulse.reached(tick, REST_SECONDS) is not None


async def _verify(this: _Run, rested: bool) -> Result:
    settings = this.world.settings
    found, left, counted = await said(settings), await kept(settings), await recount(settings)
    wanted = await asyncio.to_thread(golden, settings, counted.inboxes, left.committed)
    evidence = Evidence(
        wanted.said, wanted.windows, counted.poison, counted.rejected, found.bodies, left.windows, found.letters
    )
    happened, zombies, never = _takeovers(this)
    slowest = max((one.taken_over for one in happened if one.taken_over is not None), default=0.0)
    stuck = [f"{one.kind} at {one.began:.0f} s" for one in happened if (one.recovered or 0) >= RECOVERY_SECONDS]
    exits = [one for worker in this.world.workers for one in worker.exits]
    results = [
        at_least("records sent", counted.records, this.options.events),
        at_least("faults", len(happened), this.options.faults),
        at_least("verdicts in the golden run", sum("/" not in identity for identity in wanted.said), 1),
        *checks(evidence),
        none_of("effects of zombies", zombies),
        none_of("faults without recovery", stuck + ([] if rested else ["the end"])),
        none_of("shards that nobody took over", never),
        none_of("workers that ended by themselves", [f"worker {one.worker}: code {one.code}" for one in exits]),
        Check("slowest takeover, s", round(slowest, 1), f"<= {TAKEOVER_SECONDS:.0f}", slowest <= TAKEOVER_SECONDS),
    ]
    facts = {
        "seed": this.options.seed,
        "brokers": this.options.brokers,
        "events_a_second": this.options.rate,
        "speed": this.options.speed,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[1], 1),
        "minutes": round((time.time() - this.started) / 60, 1),
        "records": counted.records,
        "events": counted.events,
        "poison": len(counted.poison),
        "verdicts": sum("/" not in identity for identity in wanted.said),
        "verdicts_repeated": found.verdicts - sum("/" not in identity for identity in found.bodies),
        "dead_letters_repeated": found.letters.total() - len(found.letters),
        "records_sent_again": this.load.resent,
        "windows_compared": len(wanted.windows),
        "commits_refused": _refused(this.world),
        "worker_exits": [
            {"worker": e.worker, "at": round(e.at - this.started, 1), "code": e.code, "words": e.words} for e in exits
        ],
    }
    return Result(results, happened, facts)


def _takeovers(this: _Run) -> tuple[list[Happened], list[str], list[str]]:
    """Faults with their takeovers; what zombies did; shards that nobody took over."""
    happened, zombies, never = list(this.happened), [], []
    for number, began, ended, done, holders in this.deaths:
        one = happened[number]
        try:
            # In a burst the next one to take over dies as well; what counts there is the recovery after it.
            taken = None if one.phase == "burst" else takeover_seconds(this.pulse.beats, holders, done.victims, began)
        except ValueError as error:
            never.append(f"{one.kind} at {one.began:.0f} s: {error}")
            taken = None
        happened[number] = replace(one, taken_over=taken)
        if one.kind == "zombie":
            for beat in zombie_beats(this.pulse.beats, done.victims, began, ended + WATCHED_SECONDS):
                zombies.append(f"at {one.began:.0f} s: shard {beat.shard}, tick {beat.tick}")
    return happened, zombies, never


def _refused(this: World) -> int:
    """How many commits the workers' logs say were refused: offsets that had moved on, leases that had passed."""
    refused = 0
    for worker in this.workers:
        for line in worker.log.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            event, detail = entry.get("event"), str(entry.get("detail", ""))
            refused += event == "fenced" or (event == "resync" and detail.startswith("OffsetMismatch"))
    return refused


