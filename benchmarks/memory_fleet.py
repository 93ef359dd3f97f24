"""The fleet of the memory benchmark, and a shard's machine that has seen 28 days of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from detectors.base import HOURS
from schemas.series import SeriesKey
from stream.core.deltas import KIND_CODE, Count, Delta, ExemplarRecord, pack
from stream.core.machine import ShardMachine

END: Final = 29_545_920
"""The last tick: the start of an hour."""

MINUTES: Final = 120
OPEN_TICKS: Final = 10
LIVE: Final = 3
EXEMPLARS: Final = 2
MEDIAN_HOURLY: Final = 20.0
SIGMA: Final = 1.8
ESCALATED: Final = 0.04
SYSTEMS: Final = 50


@dataclass(frozen=True)
class Fleet:
    """Flows of one shard; each is its own kind of busy."""

    keys: list[SeriesKey]
    hourly: NDArray[np.float64]
    rng: np.random.Generator

    @classmethod
    def of(cls, size: int) -> Fleet:
        """A fleet of `size` flows, the same in every run."""
        rng = np.random.default_rng(size)
        keys = [SeriesKey("flow", "production", f"system-{n % SYSTEMS}", (f"flow-{n:05d}",)) for n in range(size)]
        return cls(keys, MEDIAN_HOURLY * rng.lognormal(0.0, SIGMA, size), rng)

    def amounts(self, minute: int, minutes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows [k] of the flows that had events in `minutes` minutes, and their counts [k, 3], put into `minute`."""
        hour = minute // 60
        season = (1.0 + 0.6 * np.sin(2 * np.pi * (hour % 24 - 9) / 24)) * (0.5 if hour // 24 % 7 in (2, 3) else 1.0)
        volume = self.rng.poisson(self.hourly * season * minutes / 60)
        escalated = self.rng.binomial(volume, ESCALATED)
        failed = self.rng.binomial(volume, ESCALATED / 4)
        rows = np.flatnonzero(volume)
        return rows, np.stack([volume, escalated, failed], 1)[rows]

    def delta(self, minute: int, minutes: int) -> Delta:
        """The same as a delta, with exemplars of the escalations of a single minute."""
        rows, amounts = self.amounts(minute, minutes)
        places: list[tuple[int, Any]] = list(zip(rows.tolist(), amounts.tolist(), strict=True))
        counts = [
            Count(KIND_CODE["flow"], key.environment, key.system, key.dims, minute, tuple(found))
            for key, found in ((self.keys[row], found) for row, found in places)
        ]
        # Those of past hours would be forgotten by the end.
        shown = places if minutes == 1 else []
        exemplars = [self.exemplar(row, minute) for row, found in shown for _ in range(min(found[1], EXEMPLARS))]
        return Delta(tuple(counts), tuple(exemplars))

    def exemplar(self, row: int, minute: int) -> ExemplarRecord:
        """An escalated interaction of a flow."""
        name = self.rng.bytes(16).hex()
        where = (KIND_CODE["flow"], *self.keys[row][1:])
        identity = f"int-{name}"
        return ExemplarRecord(*where, minute, crc32(identity.encode()), self.rng.bytes(16).hex(), identity)


def run(machine: ShardMachine, fleet: Fleet) -> list[tuple[int, bytes]]:
    """Bring the machine to `END`; the packed deltas of the ticks behind it."""
    start = END - HOURS * 60
    for tick in range(start + 60, END - MINUTES + 1, 60):
        machine.step(tick, [fleet.delta(tick - 1, 60)])
    for tick in range(END - MINUTES + 1, END + 1):
        machine.step(tick, [fleet.delta(tick - 1, 1)])
    return inboxes_of(fleet)


def run_quickly(machine: ShardMachine, fleet: Fleet) -> list[tuple[int, bytes]]:
    """The same windows and exemplars, with detectors on for the last `LIVE` ticks only: for fleets of many series.

    The arrays in the worker are as large as after the whole course; what the detectors have not learned packs better.
    """
    windows, start = machine.windows["flow"], END - HOURS * 60
    windows.tick = start
    windows.grow(fleet.keys, [start] * len(fleet.keys))
    hours = [(tick, 60) for tick in range(start + 60, END - MINUTES + 1, 60)]
    for tick, minutes in [*hours, *((tick, 1) for tick in range(END - MINUTES + 1, END - LIVE + 1))]:
        windows.advance(tick)
        rows, amounts = fleet.amounts(tick - 1, minutes)
        windows.add(rows, np.full(len(rows), tick - 1), amounts)
        for row, escalated in zip(rows.tolist(), amounts[:, 1].tolist(), strict=True) if minutes == 1 else ():
            for _ in range(min(escalated, EXEMPLARS)):
                machine.take(fleet.exemplar(row, tick - 1))
        windows.exemplars.cool()
    machine.tick = machine.last_seen = END - LIVE
    for tick in range(END - LIVE + 1, END + 1):
        machine.step(tick, [fleet.delta(tick - 1, 1)])
    return inboxes_of(fleet)


def inboxes_of(fleet: Fleet) -> list[tuple[int, bytes]]:
    """The packed deltas of the ticks behind `END`."""
    return [(END + ahead, pack(fleet.delta(END + ahead - 1, 1))) for ahead in range(1, OPEN_TICKS + 1)]
