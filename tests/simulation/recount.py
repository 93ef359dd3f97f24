"""What a shard's windows hold, counted from its state and what waits for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from schemas.series import KINDS, SeriesKey
from stream.core.deltas import Delta, unpack
from stream.core.machine import ShardMachine


def counts_of(
    machine: ShardMachine, inboxes: Mapping[int, Sequence[bytes | Delta]]
) -> dict[tuple[SeriesKey, int], tuple[int, ...]]:
    """Run everything that waits through the machine, traces to their end; the counts of its ring, without zeros."""
    deltas = {
        tick: [blob if isinstance(blob, Delta) else unpack(blob) for blob in blobs] for tick, blobs in inboxes.items()
    }
    for _ in machine.run(deltas, max([*deltas, machine.tick])):
        pass
    for _ in machine.run({}, machine.traces.last_due() or 0):
        pass
    found: dict[tuple[SeriesKey, int], tuple[int, ...]] = {}
    for kind in KINDS:
        windows = machine.windows[kind]
        if not len(windows):
            continue
        counts = windows.minutes(120)
        for row, column in {(int(r), int(c)) for r, c, _ in np.argwhere(counts)}:
            found[windows.keys[row], windows.tick - 120 + column] = tuple(counts[row, column].tolist())
        for row, key in enumerate(windows.keys):
            hourly = windows.hours(24)[row].sum(axis=0) + _this_hour(machine, kind, row)
            found[key, -1] = tuple(int(v) for v in hourly)
    return found


def _this_hour(machine: ShardMachine, kind: Any, row: int) -> Any:
    return machine.windows[kind]._hour_of(row, machine.tick // 60)
