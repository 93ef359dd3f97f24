"""Read a shard out of Redis without touching it: its last checkpoint, and the inboxes that have come since.

All ticks up to the watermark are complete: whatever still comes becomes visible later. So the inboxes up to it can be
read as they are, sealed or not. A running engine may write a checkpoint, and trim what it covers, in the middle of the
reading; the shard's ticks are therefore read before and after, and everything is read again if they moved.
"""

from __future__ import annotations

from typing import Final

from detectors.base import Counts
from schemas.series import SeriesKey
from stream.core.checkpoint import load
from stream.core.deltas import Delta, unpack
from stream.core.machine import ShardMachine
from stream.core.ticks import NEVER, tick_of
from stream.core.windows import KindWindows
from stream.settings import Settings
from stream.store import Meta, Store
from stream.watermark import watermark_ms
from triage.incidents import Incidents

ATTEMPTS: Final = 20


class OnDemandError(ValueError):
    """The question cannot be answered; the message says why, and what could be asked instead."""


async def latest_machine(store: Store, shard: int, settings: Settings, machine: ShardMachine) -> ShardMachine | None:
    """Bring a fresh `machine` (without detectors) to the latest complete tick of the shard.

    None if the shard is not in Redis or has seen no telemetry. Raises OnDemandError if the shard never held still.
    """
    for _ in range(ATTEMPTS):
        meta = await store.meta(shard)
        if meta is None:
            return None
        latest = await _latest_tick(store, shard, settings, meta)
        state, hours = await store.load(shard) if meta.checkpoint else (b"", {})
        deltas = await _inboxes(store, shard, meta.checkpoint + 1, latest)
        after = await store.meta(shard)
        if after is None or after.checkpoint != meta.checkpoint:
            continue
        if state:
            load(machine, state, hours)
            # The engine's own incidents are not what is asked about, and must not be triaged again here.
            machine.incidents = Incidents(machine.incidents.settings, machine.engine, machine.checks)
        # One step takes everything in: counts carry their own minutes, and without detectors no tick between matters.
        if latest > machine.tick and (deltas or state):
            machine.step(latest, deltas)
        return machine if machine.tick else None
    raise OnDemandError(f"shard {shard} changed under every one of {ATTEMPTS} readings: ask again")


async def _latest_tick(store: Store, shard: int, settings: Settings, meta: Meta) -> int:
    """The last tick that is complete: evaluated already, or passed by the watermark."""
    engine = settings.engine
    lateness, grace = round(engine.lateness_seconds * 1000), round(engine.idle_grace_seconds * 1000)
    watermark = watermark_ms(await store.parts(shard), lateness, grace)
    return max(meta.committed, NEVER if watermark == NEVER else tick_of(watermark))


async def _inboxes(store: Store, shard: int, first: int, last: int) -> list[Delta]:
    """What became visible from tick `first` to tick `last`."""
    return [unpack(blob) for blob in await store.inboxes(shard, first, last)]


class AsOf:
    """The windows of one kind as of a tick that may lie behind theirs: what `Gatherer` needs of them.

    Minutes that are gone from the ring are read from full hours, as ever; what came late counts in its own minute.
    """

    def __init__(self, windows: KindWindows, tick: int) -> None:
        self.tick = tick
        self.exemplars = windows.exemplars
        self._windows = windows

    def rows_of(self, environment: str, system: str) -> list[tuple[SeriesKey, int]]:
        """The series of one system that were seen before the tick, with their rows."""
        first = self._windows.first_minute
        rows = self._windows.rows_of(environment, system)
        return [(key, row) for key, row in rows if int(first[row]) < self.tick]

    def row(self, key: SeriesKey) -> int | None:
        """The row of a series."""
        return self._windows.row(key)

    def span(self, row: int, start: int, end: int) -> tuple[Counts, int]:
        """See `KindWindows.span`."""
        return self._windows.span(row, start, end)
