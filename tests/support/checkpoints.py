"""Checkpoints of older layouts: frozen ones that the older version wrote, and today's written as it would have been.

Who raises the layout first freezes today's: `python -m tests.support.checkpoints`, before the change.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stream.core.checkpoint import save
from stream.core.layouts import LAYOUT, tree_of
from stream.core.machine import ShardMachine

FOLDER = Path(__file__).parents[1] / "samples" / "checkpoints"
FROZEN_TICKS = 70


@dataclass(frozen=True)
class Frozen:
    """A state as an older version stored it, and what its windows held: sums by kind, series by series."""

    layout: int
    tick: int
    state: bytes
    hours: dict[tuple[int, int], bytes]
    windows: dict[str, Any]


def frozen() -> dict[str, Frozen]:
    """Every frozen state by its file's name."""
    found = {}
    for path in sorted(FOLDER.glob("*.msgpack")):
        one = msgspec.msgpack.decode(path.read_bytes())
        hours = {(kind, hour): blob for kind, hour, blob in one["hours"]}
        found[path.stem] = Frozen(one["layout"], one["tick"], one["state"], hours, one["windows"])
    return found


def windows_of(machine: ShardMachine) -> dict[str, Any]:
    """Sums of the last two hours and of the last day, by kind, series by series."""
    return {
        kind: {
            "keys": ["/".join((key.environment, key.system, *key.dims)) for key in windows.keys],
            "minutes": windows.minutes(120).sum(axis=1).tolist(),
            "hours": windows.hours(24).sum(axis=1).tolist(),
        }
        for kind, windows in machine.windows.items()
        if len(windows)
    }


def as_layout_1(state: bytes) -> bytes:
    """A state of today as layout 1 has it: no head, and the layout among the rest."""
    return zlib.compress(msgspec.msgpack.encode({"layout": 1, **tree_of(state)}), 1)


def freeze() -> Path:
    """Write a state of today's layout."""
    from tests.unit.core.builders import START, machine
    from tests.unit.core.test_checkpoint import advance

    shard = machine()
    advance(shard, START, START + FROZEN_TICKS)
    stored = save(shard, all_hours=True)
    hours = [[kind, hour, blob] for (kind, hour), blob in stored.hours.items()]
    body = {"layout": LAYOUT, "tick": stored.tick, "state": stored.state, "hours": hours, "windows": windows_of(shard)}
    path = FOLDER / f"layout-{LAYOUT}.msgpack"
    path.write_bytes(msgspec.msgpack.encode(body))
    return path


if __name__ == "__main__":
    print(freeze())  # noqa: T201  # where it was written
