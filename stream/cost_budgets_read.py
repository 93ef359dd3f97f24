"""The budgets' counters: counted again from a log of usage, or as the engine holds them in Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from costs.months import Month
from detectors.base import HOURS
from detectors.burn_rate import BurnRate, BurnRateSettings
from schemas.series import KINDS, MICRO_USD, SeriesKey
from stream.assembly import engine_of
from stream.core.fold import Batch, FoldTallies, PartitionFold
from stream.core.machine import Limits, ShardMachine
from stream.core.shards import ShardMap, shard_of
from stream.core.ticks import MINUTE_MS
from stream.cost_budgets import Spend
from stream.ondemand_read import latest_machine
from stream.replay import BATCH_LINES, NO_LATENESS, BadLine
from stream.settings import Settings
from stream.settings_clients import redis_client
from stream.store import Store
from stream.usage_files import UsageTraffic, usage_events


@dataclass
class Counted:
    """The counters by budget, as of a minute, and what was met on the way."""

    spends: dict[SeriesKey, Spend] = field(default_factory=dict)
    as_of_minute: int | None = None
    unpriced: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    bad: list[BadLine] = field(default_factory=list)


def count_files(files: Sequence[Path], settings: Settings) -> Counted:
    """Count the usage events of JSON lines as ingest does: the same fold, the same prices. Raises OSError."""
    tallies, met, found = FoldTallies(), UsageTraffic(), Counted()
    fold = PartitionFold(NO_LATENESS, settings.budget_rules(), tallies=tallies, prices=settings.price_book())
    for path in files:
        events = usage_events(path, met)
        while piece := list(islice(events, BATCH_LINES)):
            batch = Batch()
            fold.add(piece, batch)
            _take(batch, found.spends)
    found.unpriced, found.rejected, found.bad = tallies.unpriced, met.rejected, met.bad
    found.as_of_minute = fold.newest_ms // MINUTE_MS + 1 if fold.newest_ms >= 0 else None
    return found


def _take(batch: Batch, spends: dict[SeriesKey, Spend]) -> None:
    for ticks in batch.spread(ShardMap(1)).values():
        for delta in ticks.values():
            for count in delta.counts:
                if KINDS[count.kind] == "budget":
                    cell = spends.setdefault(count.key(), Spend()).hours.setdefault(count.minute // 60, [0, 0])
                    cell[0] += count.amounts[0]
                    cell[1] += count.amounts[1]


async def count_redis(settings: Settings) -> Counted:
    """The counters as the engine's windows hold them. Raises what `stream.ondemand_read.latest_machine` raises."""
    found = Counted()
    client = redis_client(settings.redis)
    try:
        store = Store(client, settings.redis.namespace, settings.engine.shards)
        keys = [rule.key() for rule in settings.budget_rules()]
        for shard in sorted({shard_of(key.environment, key.system, store.shards) for key in keys}):
            machine = await latest_machine(store, shard, settings, _machine(settings))
            if machine is not None:
                found.as_of_minute = max(found.as_of_minute or 0, machine.tick)
                found.spends.update(held_spends(machine, keys))
    finally:
        await client.aclose()
    return found


def _machine(settings: Settings) -> ShardMachine:
    """A machine with the one detector that remembers what a month's first days cost, when no window does any more."""
    detector = BurnRate(BurnRateSettings.model_validate(settings.detector_settings()["burn_rate"]))
    return ShardMachine(
        (detector,), settings.triage, engine_of(settings), Limits(series_per_kind=settings.engine.max_series_per_kind)
    )


def held_spends(machine: ShardMachine, keys: Sequence[SeriesKey]) -> Mapping[SeriesKey, Spend]:
    """The budgets' counters as a shard's windows hold them."""
    windows = machine.windows["budget"]
    hour = machine.tick // 60
    first = hour - HOURS
    counts = windows.hours(HOURS)
    running = windows.minutes(_RUNNING)[:, _RUNNING - max(machine.tick % 60, 1) :].sum(axis=1)
    found = {}
    for key in keys:
        row = windows.row(key)
        if row is None:
            continue
        spend = found[key] = Spend()
        for place in counts[row].any(axis=1).nonzero()[0].tolist():
            spend.hours[first + place] = counts[row, place].tolist()
        if machine.tick % 60 and running[row].any():
            spend.hours[hour] = running[row].tolist()
        month = Month.of(hour)
        if first > month.first_hour:
            carried = machine.states["burn_rate", "budget"]["spent"]
            whole = round(float(carried[row]) * MICRO_USD) if row < len(carried) else 0
            spend.earlier_micro = max(whole - spend.micro(first, hour), 0)
    return found


_RUNNING: Final = 60
"""Minutes of the hour that runs."""
