"""What an event costs on the hot path in instructions, not seconds: the guard against a slow creep.

`python -m benchmarks.instructions [--series N] [--json]` takes events of the throughput benchmark through `Ingest` as a
worker does, with a store that only listens, and counts for each event the bytecode instructions of the interpreter,
the calls of functions (Python's and C's), the bytes for the inboxes; and for each batch the scripts in Redis.
The counts are the same on a busy machine and on an idle one. Above a bound it exits with 1; the test suite runs it too.
Bounds are some ten per cent above what was counted: lower them when the hot path gets better.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, Self, cast
from unittest.mock import patch

import stream.ingest
from benchmarks.throughput_events import event_ms, systems_for, values
from stream.adapters import Decoder
from stream.ingest import Ingest
from stream.store import Advance, PartitionState, Progress, Store

BATCH: Final = 4000
SHARDS: Final = 16
SERIES: Final = 1_000
SOURCE: Final = "agent.interactions/0"

BOUNDS: Final[dict[str, float]] = {
    "bytecodes": 92.0,
    "calls": 4.9,
    "inbox_bytes": 19.8,
    "scripts_a_batch": 16.0,
}
"""Most of each, an event (scripts: a batch), on the oldest Python that is supported."""

OTHER_PYTHONS: Final = 1.2
"""Times as many bytecodes are allowed on other Pythons, whose compilers choose other instructions."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A record as it comes from Kafka."""

    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Listening:
    """A store that keeps nothing: counts the scripts and the bytes that it is given."""

    def __init__(self) -> None:
        self.shards = SHARDS
        self.scripts = 0
        self.bytes = 0

    async def register(self, shard: int, starts: Mapping[str, PartitionState]) -> None:
        """Every partition is known."""

    async def parts(self, _shard: int) -> dict[str, PartitionState]:
        """Where every shard begins."""
        return {SOURCE: PartitionState(0, 0)}

    async def ingest(self, _shard: int, _advances: Sequence[Advance], deltas: Sequence[tuple[int, bytes]]) -> Progress:
        """Count a commit."""
        self.scripts += 1
        self.bytes += sum(len(blob) for _, blob in deltas)
        return Progress(0, 0)


class Counting:
    """Counts bytecode instructions, or calls, of this thread while it is entered."""

    def __init__(self, what: str) -> None:
        self.count = 0
        self._what = what

    def __enter__(self) -> Self:
        if self._what == "bytecodes":
            sys.settrace(self._enter_frame)
        else:
            sys.setprofile(self._profiled)
        return self

    def __exit__(self, *_: object) -> None:
        if self._what == "bytecodes":
            sys.settrace(None)
        else:
            sys.setprofile(None)

    def _enter_frame(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any]:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._traced

    def _traced(self, _frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        if event == "opcode":
            self.count += 1
        return self._traced

    def _profiled(self, _frame: FrameType, event: str, _argument: Any) -> None:
        if event in ("call", "c_call"):
            self.count += 1


async def _no_letters(letters: Sequence[object]) -> None:
    raise RuntimeError(f"an event of the benchmark was refused: {letters[0]}")


def counted(ingest_class: type[Ingest] = Ingest, series: int = SERIES) -> dict[str, float]:
    """What an event costs, by the names of `BOUNDS`. The first batch warms the memos and is not counted."""
    sent = values(3 * BATCH, systems=systems_for(series))
    records = [Taken(n, event_ms(n), value) for n, value in enumerate(sent)]
    store = Listening()
    ingest = ingest_class(cast("Store", store), Decoder(), _no_letters, 5000)

    async def run() -> dict[str, float]:
        await ingest.resume({SOURCE: 0})
        await ingest.process({SOURCE: records[:BATCH]})
        store.scripts = store.bytes = 0
        found: dict[str, float] = {}
        for number, what in enumerate(("bytecodes", "calls"), start=1):
            piece = records[number * BATCH : (number + 1) * BATCH]
            work = asyncio.create_task(ingest.process({SOURCE: piece}))
            with Counting(what) as counting:
                await work
            found[what] = counting.count / BATCH
        return found | {"inbox_bytes": store.bytes / (2 * BATCH), "scripts_a_batch": store.scripts / 2}

    # How often others get their turn is the one thing that a clock decides.
    with patch.object(stream.ingest, "BREATH_SECONDS", math.inf):
        return asyncio.run(run())


def bounds() -> dict[str, float]:
    """The most that this Python may take."""
    slack = OTHER_PYTHONS if sys.version_info >= (3, 12) else 1.0
    return BOUNDS | {"bytecodes": BOUNDS["bytecodes"] * slack}


def exceeded(found: Mapping[str, float], most: Mapping[str, float]) -> list[str]:
    """A sentence for each bound that is exceeded."""
    return [
        f"{name}: {found[name]:.1f}, which is more than the bound of {bound:g}"
        for name, bound in most.items()
        if found[name] > bound
    ]


def main() -> None:
    """Count and print; exits with 1 above a bound."""
    parser = argparse.ArgumentParser(prog="benchmarks.instructions", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--series", type=int, default=SERIES, help=f"about so many; the bounds are for {SERIES:,}")
    chosen = parser.parse_args()
    found = counted(series=chosen.series)
    most = bounds() if chosen.series == SERIES else {}
    if chosen.json:
        print(json.dumps({"series": chosen.series, "found": found, "bounds": most}))
    else:
        for name, value in found.items():
            print(f"{name:17}{value:9.1f}" + (f"   bound {most[name]:g}" if most else ""))
    problems = exceeded(found, most)
    for problem in problems:
        print(f"the hot path got slower: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
