"""What the engine's windows hold, read from Redis beside it for the page: only what is looked at, once a tick at most.

A reading takes no lease and changes nothing. Hours are kept unpacked from one reading to the next, so that a reading
costs the last checkpoint and the inboxes behind it; unpacking happens in a thread, off the loop that answers viewers.
Detectors are not asked again: their memory is that of the last checkpoint, some ticks old at most. Minutes are kept on
as `dashboard.fine` says, for which `keep_minutes` reads a shard that nobody has looked at for most of two hours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dashboard.fine import Fine
from detectors.arrays import append_rows
from detectors.base import Detector, State
from schemas.series import KINDS, SeriesKey, SeriesKind
from stream.assembly import machine_factory
from stream.core.checkpoint import hours_in, layout_of, load_blocks, unpack_hour
from stream.core.deltas import Delta, unpack
from stream.core.hours import HourBlock
from stream.core.layouts import LAYOUT
from stream.core.machine import ShardMachine
from stream.core.ticks import NEVER, tick_of
from stream.settings import Settings
from stream.store import Store
from stream.watermark import watermark_ms
from triage.incidents import Incidents

SHOWN_KINDS: Final[frozenset[SeriesKind]] = frozenset(
    {"flow", "agent", "score", "score_version", "score_stratum", "budget", "usage"}
)
"""Kinds whose hours are read; of the others the page shows nothing older than the minutes."""

CODES: Final = frozenset(code for code, kind in enumerate(KINDS) if kind in SHOWN_KINDS)
SETTLING_HOURS: Final = 3
"""Hours that are read again every time: what is late counts in its own hour."""

LEAST_SECONDS: Final = 2.0
"""Between two readings of one shard, where telemetry moves time faster than the clock."""

CHUNK: Final = 1000
UNREAD_MINUTES: Final = 55
"""Ticks that a shard may move on unread: well within the two hours of its minutes."""


class _Renumbered(Exception):
    """Kept hours count other rows than the checkpoint does."""


@dataclass
class _Kept:
    """One shard as it was read the last time."""

    tick: int = -1
    checkpoint: int = -1
    read_at: float = float("-inf")
    machine: ShardMachine | None = None
    detectors: tuple[Detector, ...] = ()
    blocks: dict[tuple[int, int], HourBlock] = field(default_factory=dict)
    keys: dict[SeriesKind, Sequence[SeriesKey]] = field(default_factory=dict)
    fine: Fine = field(default_factory=Fine)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class ShardView:
    """The windows and the evidence of one shard as of `machine.tick`, and its detectors by name and kind.

    `fine` holds the minutes that the windows have no longer.
    """

    machine: ShardMachine
    detectors: Mapping[tuple[str, SeriesKind], Detector]
    fine: Fine = field(default_factory=Fine)

    def state(self, name: str, kind: SeriesKind) -> State:
        """A detector's memory, with a row for every series."""
        detector, state = self.detectors[name, kind], self.machine.states[name, kind]
        have = min((len(array) for array in state.values()), default=0)
        more = len(self.machine.windows[kind]) - have
        return append_rows(state, detector.fresh(more)) if more > 0 else state


class Shards:
    """All shards, each read when it is looked at."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._settings = settings
        self._clock = clock
        self._make = machine_factory(settings)
        self._kept = [_Kept() for _ in range(store.shards)]
        self.readings = 0
        """Readings so far: what the page costs Redis."""

    async def all(self) -> list[ShardView]:
        """Every shard that has telemetry. Raises RedisError, LayoutMismatch, LayoutError."""
        found = [await self.one(shard) for shard in range(self.store.shards)]
        return [view for view in found if view is not None]

    async def one(self, shard: int) -> ShardView | None:
        """One shard as of its latest tick; None where nothing is known of it. Raises as `all` does."""
        kept = self._kept[shard]
        async with kept.lock:
            if self._clock() - kept.read_at >= LEAST_SECONDS:
                await self._read(shard, kept)
                kept.read_at = self._clock()
        if kept.machine is None or not kept.machine.tick:
            return None
        return ShardView(kept.machine, {(one.name, one.kind): one for one in kept.detectors}, kept.fine)

    async def keep_minutes(self, ticks: Mapping[int, int]) -> None:
        """Read the shards that have moved on far since they were read, by the ticks that they are said to be at.

        Raises as `all` does.
        """
        for shard, tick in ticks.items():
            if shard < len(self._kept) and tick - self._kept[shard].tick >= UNREAD_MINUTES:
                await self.one(shard)

    async def _read(self, shard: int, kept: _Kept) -> None:
        meta = await self.store.meta(shard)
        if meta is None:
            kept.machine = None
            return
        latest = await self._latest(shard, meta.committed)
        if latest <= kept.tick and meta.checkpoint == kept.checkpoint:
            return
        self.readings += 1
        state: Any = await self.store.redis.get(self.store.key(shard, "state")) or b""
        fresh = await self._hours(shard, state, kept)
        first = meta.checkpoint + 1
        blobs = await self.store.inboxes(shard, first, latest)
        after = await self.store.meta(shard)
        if after is None or after.checkpoint != meta.checkpoint:
            return  # a checkpoint was written meanwhile: the last reading stands until the next look
        try:
            loaded = await asyncio.to_thread(self._load, state, {**kept.blocks, **fresh}, blobs, latest, kept.keys)
        except _Renumbered:
            kept.blocks, kept.keys, kept.fine = {}, {}, Fine()  # the next look reads every hour again
            return
        kept.blocks, machine, kept.detectors = loaded
        kept.machine, kept.keys = machine, {kind: windows.keys for kind, windows in machine.windows.items()}
        kept.tick, kept.checkpoint = latest, meta.checkpoint
        await asyncio.to_thread(kept.fine.keep, machine)

    async def _latest(self, shard: int, committed: int) -> int:
        engine = self._settings.engine
        lateness, grace = round(engine.lateness_seconds * 1000), round(engine.idle_grace_seconds * 1000)
        watermark = watermark_ms(await self.store.parts(shard), lateness, grace)
        return max(committed, NEVER if watermark == NEVER else tick_of(watermark))

    async def _hours(self, shard: int, state: bytes, kept: _Kept) -> dict[tuple[int, int], bytes]:
        """The hours that are not kept, or may have changed, as they are stored."""
        if not state:
            return {}
        places = [(code, hour) for code, hour in await asyncio.to_thread(hours_in, state) if code in CODES]
        newest = max((hour for _, hour in places), default=0)
        wanted = [place for place in places if place not in kept.blocks or place[1] > newest - SETTLING_HOURS]
        found: dict[tuple[int, int], bytes] = {}
        for start in range(0, len(wanted), CHUNK):
            part = wanted[start : start + CHUNK]
            names = [self.store.key(shard, f"hour:{code}:{hour}") for code, hour in part]
            blobs: list[Any] = await self.store.redis.mget(names)
            found |= {place: blob for place, blob in zip(part, blobs, strict=True) if blob is not None}
        return found

    def _load(
        self,
        state: bytes,
        hours: Mapping[tuple[int, int], bytes | HourBlock],
        blobs: Sequence[bytes],
        latest: int,
        keys: Mapping[SeriesKind, Sequence[SeriesKey]],
    ) -> tuple[dict[tuple[int, int], HourBlock], ShardMachine, tuple[Detector, ...]]:
        machine = self._make()
        layout = layout_of(state) if state else LAYOUT
        blocks = {place: unpack_hour(one, layout) if isinstance(one, bytes) else one for place, one in hours.items()}
        if state:
            load_blocks(machine, state, blocks)
            _check_rows(machine, keys)
            held = {kind: windows.hour_blocks for kind, windows in machine.windows.items()}
            blocks = {(code, hour): block for (code, hour), block in blocks.items() if hour in held[KINDS[code]]}
        detectors, machine.detectors = machine.detectors, ()
        machine.incidents = Incidents(machine.incidents.settings, machine.engine, machine.checks)
        deltas: list[Delta] = [unpack(blob) for blob in blobs]
        if latest > machine.tick and (deltas or state):
            machine.step(latest, deltas)
        return blocks, machine, detectors


def _check_rows(machine: ShardMachine, keys: Mapping[SeriesKind, Sequence[SeriesKey]]) -> None:
    """Refuse kept hours where the engine has dropped series since, so that rows bear other numbers."""
    for kind, before in keys.items():
        if kind in SHOWN_KINDS and machine.windows[kind].keys[: len(before)] != before:
            raise _Renumbered
