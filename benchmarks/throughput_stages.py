"""Where the microseconds of an event go between Kafka and Redis: decoding, folding, spreading over shards, packing.

Run it with `python -m benchmarks.throughput_stages`. It takes the events of the throughput benchmark from memory, in
batches of several sizes, and prints the median CPU microseconds an event of each stage.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from benchmarks.throughput_events import event_ms, values
from stream.adapters import Decoder
from stream.adapters.decoder import Record
from stream.core.deltas import Delta, pack
from stream.core.fold import Batch, PartitionFold, ShardMap

EVENTS: Final = 40_000
ROUNDS: Final = 7
BATCHES: Final = (1000, 4000, 20_000)
SHARDS: Final = 16
LATENESS_MS: Final = 5000
STAGES: Final = ("decode", "fold", "spread", "pack")

_T = TypeVar("_T")


def stages_of(records: Sequence[Record], size: int, decoder: Decoder, shards: ShardMap) -> list[float]:
    """CPU microseconds an event of each stage, in the order of `STAGES`."""
    taken = dict.fromkeys(STAGES, 0.0)

    def timed(stage: str, work: Callable[..., _T], *args: Any) -> _T:
        begin = time.process_time()
        found = work(*args)
        taken[stage] += time.process_time() - begin
        return found

    fold = PartitionFold(LATENESS_MS)
    for start in range(0, len(records), size):
        piece, batch = records[start : start + size], Batch()
        events = timed("decode", decoder.decode_batch, piece).events
        timed("fold", fold.add, events, batch)
        deltas = timed("spread", batch.spread, shards)
        timed("pack", _packed, deltas)
    return [seconds * 1e6 / len(records) for seconds in taken.values()]


def _packed(deltas: Mapping[int, Mapping[int, Delta]]) -> list[bytes]:
    return [pack(delta) for ticks in deltas.values() for delta in ticks.values()]


def main() -> None:
    """Measure and print."""
    records: list[Record] = [(value, (), event_ms(number)) for number, value in enumerate(values(EVENTS))]
    decoder, shards = Decoder(), ShardMap(SHARDS)
    found: dict[int, list[list[float]]] = {size: [] for size in BATCHES}
    for _ in range(ROUNDS):
        for size in BATCHES:
            gc.collect()
            found[size].append(stages_of(records, size, decoder, shards))
    print(f"CPU microseconds an event, {EVENTS:,} events in memory, medians of {ROUNDS} interleaved rounds")
    print(f"{'batch':>8}" + "".join(f"{stage:>9}" for stage in STAGES) + f"{'all':>9}")
    for size, runs in found.items():
        medians = [statistics.median(column) for column in zip(*runs, strict=True)]
        print(f"{size:>8,}" + "".join(f"{value:>9.2f}" for value in [*medians, sum(medians)]))


if __name__ == "__main__":
    main()
