"""What holds the memory of shards in the worker: one taken apart under tracemalloc, and all of them in a process.

`python -m benchmarks.memory_worker FILE SHARDS TICKS` is that process: it loads the shard that FILE holds, packed as
`Shard`, so many times, evaluates so many ticks of each, and prints a line of JSON.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import numpy as np

from stream.assembly import machine_factory
from stream.core.checkpoint import Checkpoint, load, save
from stream.core.deltas import unpack
from stream.core.evidence import Evidence
from stream.core.exemplars import Exemplars
from stream.core.machine import ShardMachine
from stream.core.minutes import Minutes
from stream.core.windows import KindWindows
from stream.settings import Settings, load_settings

STATUS: Final = Path("/proc/self/status")


class Shard(msgspec.Struct):
    """A shard's checkpoint with all hours, and the packed deltas of the ticks behind it."""

    tick: int
    state: bytes
    hours: dict[tuple[int, int], bytes]
    inboxes: list[tuple[int, bytes]]


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
    load(machine, *_own(checkpoint.state, checkpoint.hours))
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


def _own(state: bytes, hours: dict[tuple[int, int], bytes]) -> tuple[bytes, dict[tuple[int, int], bytes]]:
    """Copies: hours stay in a machine as they came, and must be its own to be counted."""
    return state, {place: bytes(bytearray(blob)) for place, blob in hours.items()}


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def resident(checkpoint: Checkpoint, inboxes: list[tuple[int, bytes]], shards: int, ticks: int) -> dict[str, int]:
    """Bytes that a process holds of so many such shards, and at its highest, beyond what it holds of none."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "shard"
        path.write_bytes(msgspec.msgpack.encode(Shard(checkpoint.tick, checkpoint.state, checkpoint.hours, inboxes)))
        command = [sys.executable, "-m", "benchmarks.memory_worker", str(path), str(shards), str(ticks)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def main() -> None:
    """Be a worker of many shards, and say what they take."""
    path, shards, ticks = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    shard = msgspec.msgpack.decode(path.read_bytes(), type=Shard)
    deltas = [(tick, [unpack(blob)]) for tick, blob in shard.inboxes[:ticks]]
    make = machine_factory(load_settings(None, {}))
    machines = [make()]
    before = _status("VmRSS")
    for number in range(shards):
        if number:
            machines.append(make())
        load(machines[-1], *_own(shard.state, shard.hours))
    for tick, found in deltas:
        for machine in machines:
            machine.step(tick, found)
    # As a worker does, a checkpoint of one shard after the other.
    for machine in machines:
        save(machine)
    gc.collect()
    print(json.dumps({"resident": _status("VmRSS") - before, "peak": _status("VmHWM") - before}))


def _status(name: str) -> int:
    """Bytes, of what the kernel says of this process."""
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
