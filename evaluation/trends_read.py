"""The scores that the engine holds, read out of Redis without touching it: 28 days by the hour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evaluation.trends import HOUR_MS, Cell, Question, cell_of
from schemas.series import SeriesKind
from stream.assembly import engine_of
from stream.core.machine import Limits, ShardMachine
from stream.core.shards import shard_of
from stream.core.windows import KindWindows
from stream.ondemand_read import latest_machine
from stream.settings import Settings
from stream.settings_clients import redis_client
from stream.store import Store
from triage.registry import build as build_checks

KIND: SeriesKind = "score_stratum"


@dataclass(frozen=True, slots=True)
class Held:
    """Cells of the systems asked for, and the minute (from 1970) up to which the engine's telemetry is complete."""

    cells: tuple[Cell, ...]
    as_of_minute: int | None

    @property
    def as_of_ms(self) -> int | None:
        """That time in milliseconds."""
        return None if self.as_of_minute is None else self.as_of_minute * HOUR_MS // 60


async def read_scores(settings: Settings, environment: str | None = None, system: str | None = None) -> Held:
    """The scores of one system, or of all; nothing is changed, and a running engine is not disturbed.

    Raises OnDemandError if a shard never held still; RedisError; LayoutMismatch or LayoutError where Redis holds what
    this version cannot read.
    """
    client = redis_client(settings.redis)
    try:
        store = Store(client, settings.redis.namespace, settings.engine.shards)
        one = environment is not None and system is not None
        shards = [shard_of(environment or "", system or "", store.shards)] if one else range(store.shards)
        cells: list[Cell] = []
        minutes: list[int] = []
        for shard in shards:
            machine = await latest_machine(store, shard, settings, _bare_machine(settings))
            if machine is not None:
                minutes.append(machine.tick)
                cells.extend(cells_of(machine.windows[KIND]))
    finally:
        await client.aclose()
    wanted = Question(0, 1 << 40, 1 << 40, environment, system)
    return Held(tuple(cell for cell in cells if wanted.asks_for(cell)), max(minutes, default=None))


def cells_of(windows: KindWindows) -> Iterator[Cell]:
    """The cells in the windows of kind `score_stratum`, hour by hour, the running one among them."""
    for hour, block in sorted(windows.hour_blocks.items()):
        for row, counts in zip(block.rows.tolist(), block.counts.tolist(), strict=True):
            key = windows.keys[row]
            if counts[0]:
                yield cell_of((key.environment, key.system, *key.dims), hour, counts)


def _bare_machine(settings: Settings) -> ShardMachine:
    """A machine without detectors: it keeps windows, and claims nothing."""
    limits = Limits(series_per_kind=settings.engine.max_series_per_kind)
    return ShardMachine((), settings.triage, engine_of(settings), limits, checks=build_checks(settings.triage))
