"""Who takes part in the throughput benchmark: what each is called, where it is, how many events it counts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks import throughput_c, throughput_peers
from benchmarks.throughput_meter import BATCH


@dataclass(frozen=True, slots=True)
class Contender:
    """One line of the table.

    `events` is a second or two of work. One that reads to its topic's `end` gets a topic of just its size. `missing`
    says why it cannot run here, or nothing.
    """

    title: str
    module: str
    events: int
    end: bool = False
    missing: Callable[[], str] = str
    python: Callable[[], str] = lambda: sys.executable

    def events_at(self, series: int) -> int:
        """Fewer where many series make a peer slow."""
        return self.events if series < 5_000 or not self.end else self.events // 3


def _peer(title: str, module: str, events: int, package: str) -> Contender:
    return Contender(title, module, events, True, lambda: throughput_peers.missing(package), throughput_peers.python)


ROSTER: Final[dict[str, Contender]] = {
    "midwatch": Contender(f"Midwatch, batches of {BATCH:,}", "midwatch", 200_000),
    "midwatch-4k": Contender("Midwatch, batches of 4,000", "midwatch", 150_000),
    "fetch-only": Contender("aiokafka, fetched and thrown away", "hand", 200_000),
    "hand-aiokafka": Contender("by hand: aiokafka, msgspec, Lua", "hand", 150_000),
    "hand-confluent": Contender("by hand: confluent-kafka, msgspec, Lua", "hand", 200_000),
    "hand-json": Contender("by hand: aiokafka, json, HINCRBY", "hand", 60_000),
    "faust-take": Contender("Faust agent, take(1,000), Redis", "faust", 15_000),
    "faust-table": Contender("Faust agent, one tumbling Table", "faust", 5_000),
    "quix-exactly-once": _peer("Quix Streams window, exactly-once", "quix", 30_000, "quixstreams"),
    "quix": _peer("Quix Streams window, at-least-once", "quix", 30_000, "quixstreams"),
    "bytewax": _peer("Bytewax window, with recovery", "bytewax", 100_000, "bytewax"),
    "c": Contender(
        "C++: librdkafka, simdjson, no store",
        "c",
        250_000,
        missing=throughput_c.missing,
    ),
}
