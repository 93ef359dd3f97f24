"""What holds the memory of a shard in the worker: a machine that is taken apart piece by piece, under tracemalloc."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Final

import numpy as np

from stream.assembly import machine_factory
from stream.core.checkpoint import Checkpoint, load
from stream.core.evidence import Evidence
from stream.core.exemplars import Exemplars
from stream.core.machine import ShardMachine
from stream.core.minutes import Minutes
from stream.core.windows import KindWindows
from stream.settings import Settings


def _hours(machine: ShardMachine) -> None:
    for windows in machine.windows.values():
        windows.hour_blocks.clear()


def _ring(machine: ShardMachine) -> None:
    for windows in machine.windows.values():
        windows.ring = Minutes(windows.width, windows.ceiling, np.int64)


def _evidence(machine: ShardMachine) -> None:
    machine.evidence = Evidence()
    for windows in machine.windows.values():
        windows.exemplars = Exemplars()


def _detectors(machine: ShardMachine) -> None:
    machine.states.clear()
    machine.detectors = ()


def _keys(machine: ShardMachine) -> None:
    machine.windows = {kind: KindWindows(kind) for kind in machine.windows}


PARTS: Final[dict[str, Callable[[ShardMachine], None]]] = {
    "hours": _hours,
    "evidence": _evidence,
    "ring": _ring,
    "detectors": _detectors,
    "keys": _keys,
}
"""The parts, each with what takes it out of a machine. The last is what is left of the windows: names and times."""


def held_by_part(settings: Settings, checkpoint: Checkpoint) -> dict[str, int]:
    """Bytes that each part of a machine holds after loading the checkpoint."""
    machine = machine_factory(settings)()
    gc.collect()
    tracemalloc.start()
    # Hours stay as they came: what came must be the machine's own to be counted.
    load(machine, checkpoint.state, {place: bytes(bytearray(blob)) for place, blob in checkpoint.hours.items()})
    found = {}
    held = _traced()
    for name, take_out in PARTS.items():
        take_out(machine)
        left = _traced()
        found[name] = held - left
        held = left
    found["keys"] += held
    tracemalloc.stop()
    return found


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
