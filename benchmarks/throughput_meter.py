"""What every contender of the throughput benchmark is given and gives back.

Needs msgspec alone, so that peers in an environment of their own can use it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

BATCH: Final = 20_000
"""Records that a worker takes at once, if it is not told otherwise."""
MINUTE_CHARACTERS: Final = 16


class Task(msgspec.Struct):
    """What a contender is given. `name` is this run's own: consumer group, prefix of every Redis key."""

    bootstrap: str
    redis: str
    topic: str
    events: int
    name: str
    partitions: int = 4
    directory: str = ""
    """Where a contender may keep files; removed after the run."""

    redis_mode: Literal["single", "cluster", "sentinel"] = "single"
    redis_master: str | None = None


class Measured(msgspec.Struct):
    """What a run took; `counted` is what the contender's own store holds at the end, `read` what it should hold."""

    events: int
    cpu_seconds: float
    wall_seconds: float
    read: int
    counted: int


class Meter:
    """Times a run from the end of its first batch to the end of its last."""

    def __init__(self, events: int) -> None:
        self.read = 0
        self._wanted = events
        self._begin: tuple[int, float, float] | None = None
        self._end: tuple[int, float, float] | None = None

    @property
    def full(self) -> bool:
        """Whether enough events are counted."""
        return self._end is not None

    def note(self, read: int) -> bool:
        """Say that `read` events are counted by now; whether that is enough."""
        self.read = read
        now = (read, time.process_time(), time.perf_counter())
        if self._begin is None:
            self._begin = now
        if read >= self._wanted and self._end is None:
            self._end = now
        return self._end is not None

    def measured(self, counted: int) -> Measured:
        """The result. Raises RuntimeError if the run was not finished."""
        if self._begin is None or self._end is None:
            raise RuntimeError("the run ended before all events were counted")
        events, cpu, wall = (b - a for a, b in zip(self._begin, self._end, strict=True))
        return Measured(int(events), cpu, wall, self.read, counted)


def task_of_arguments() -> tuple[str, Task]:
    """The contender and the task that the command line names."""
    return sys.argv[1], msgspec.json.decode(sys.argv[2], type=Task)


def say(found: Measured) -> None:
    """Give the result back: one JSON object, the last thing on stdout."""
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    sys.stdout.flush()


def place_of(event: Mapping[str, Any]) -> str:
    """Minute, type and series of an event as one key, as somebody would write it by hand."""
    dimension = event.get("flow") or event.get("agent")
    return f"{event['time'][:MINUTE_CHARACTERS]}|{event['type']}|{event['environment']}|{event['system']}|{dimension}"
