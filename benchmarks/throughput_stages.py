"""Where the microseconds of an event go between Kafka's bytes and Redis' bytes, stage by stage.

Run it with `python -m benchmarks.throughput_stages [--series N ...]`. It puts the events of the throughput benchmark
into record batches as a producer sends them (1,000 records each, lz4) and takes those through what ingest does, in
memory and by the same pieces: checking and unpacking, decoding, counting, packing for the shards, and letting go of
what was made. What the whole job takes beyond them is the client's and the event loop's, and the scripts'. Below that
it prints what the libraries within two stages take by themselves, which no Python around them can go below.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiokafka.codec import lz4_decode
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from benchmarks.throughput_events import PARTITIONS, events, systems_for
from stream.adapters import Decoder
from stream.adapters.native import NativeEvent
from stream.collector import calm_collector
from stream.core.batch import Batch
from stream.core.fold import PartitionFold
from stream.core.shards import ShardMap
from stream.core.sparse import Sparsity
from stream.fetch import Batches
from stream.ingest import PIECE

EVENTS: Final = 80_000
ROUNDS: Final = 5
BATCHES: Final = (4000, 20_000)
SERIES: Final = (1_000, 10_000, 100_000)
RECORDS: Final = 1000
"""Records of one batch of a producer."""

SHARDS: Final = 16
LATENESS_MS: Final = 5000
STAGES: Final = ("unpack", "decode", "count", "pack", "let go")
_LZ4: Final = 3
_HEADER: Final = 8
_BATCH_HEADER: Final = 61
"""Bytes of a record batch before the records, which are packed."""


class Stopwatch:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.taken = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Add what is done within to a stage."""
        begin = time.process_time()
        yield
        self.taken[stage] += time.process_time() - begin


def partitions(series: int, count: int = EVENTS) -> list[list[bytes]]:
    """The record batches of each partition."""
    waiting: list[list[Any]] = [[] for _ in range(PARTITIONS)]
    found: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for sent in events(count, systems=systems_for(series)):
        partition = sent.place % PARTITIONS
        waiting[partition].append(sent)
        if len(waiting[partition]) == RECORDS:
            found[partition].append(_record_batch(waiting[partition], len(found[partition]) * RECORDS))
            waiting[partition] = []
    return found


def _record_batch(sent: Sequence[Any], first: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, _LZ4, 0, -1, -1, -1, 1 << 24)
    for number, one in enumerate(sent):
        builder.append(number, one.time_ms, one.key, one.value, [])
    built = bytes(builder.build())
    return first.to_bytes(_HEADER, "big") + built[_HEADER:]


@dataclass(slots=True)
class _Run:
    """What takes events in."""

    watch: Stopwatch = field(default_factory=Stopwatch)
    decoder: Decoder = field(default_factory=Decoder)
    shards: ShardMap = field(default_factory=lambda: ShardMap(SHARDS))
    sparsity: Sparsity = field(default_factory=Sparsity)
    counted: int = 0

    def take(self, sent: Sequence[bytes], fold: PartitionFold, batch: Batch) -> None:
        """Take one partition's record batches in."""
        watch = self.watch
        with watch.timing("unpack"):
            pieces = _checked(b"".join(sent)).pieces(PIECE)
        while True:
            with watch.timing("unpack"):
                piece = next(pieces, None)
            if piece is None:
                return
            self.counted += len(piece)
            with watch.timing("decode"):
                columns = self.decoder.decode_columns(piece)
            with watch.timing("count"):
                fold.add_columns(columns.events, columns.times, batch)
            with watch.timing("pack"):
                self.sparsity.after_piece(batch, self.shards)
            with watch.timing("let go"):
                del columns, piece


def stages_of(sent: Sequence[Sequence[bytes]], size: int) -> list[float]:
    """CPU microseconds an event of each stage, in the order of `STAGES`, in batches of about `size` events."""
    run = _Run()
    folds = [PartitionFold(LATENESS_MS) for _ in sent]
    each = max(size // RECORDS // len(sent), 1)
    for start in range(0, min(map(len, sent)), each):
        batch = Batch()
        for fold, batches in zip(folds, sent, strict=True):
            run.take(batches[start : start + each], fold, batch)
        with run.watch.timing("pack"):
            run.sparsity.after_batch(batch)
            packed = batch.packed(run.shards)
        with run.watch.timing("let go"):
            del batch, packed
    return [seconds * 1e6 / run.counted for seconds in run.watch.taken.values()]


def _checked(fetched: bytes) -> Batches:
    found, records = Batches(), MemoryRecords(fetched)
    while records.has_next():
        batch = records.next_batch()
        if not batch.validate_crc():
            raise RuntimeError("a batch of the benchmark has a wrong checksum")
        found.add(batch, 0)
    return found


def floors(sent: Sequence[Sequence[bytes]], rounds: int) -> dict[str, float]:
    """CPU microseconds an event of what the libraries do by themselves, medians."""
    batches = sent[0]
    values = [record.value for batch in batches for record in DefaultRecordBatch(batch)]
    packed = [batch[_BATCH_HEADER:] for batch in batches]
    skip, decode = msgspec.json.Decoder(msgspec.Raw).decode, msgspec.json.Decoder(NativeEvent).decode
    works: dict[str, tuple[Callable[[Any], Any], Sequence[Any]]] = {
        "lz4, unpacking": (lz4_decode, packed),
        "aiokafka, unpacking and finding the records": (lambda batch: list(DefaultRecordBatch(batch)), batches),
        "msgspec, finding where the JSON ends": (skip, values),
        "msgspec, all fields into an event": (decode, values),
    }
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, (work, these) in works.items():
            begin = time.process_time()
            for one in these:
                work(one)
            found[name].append((time.process_time() - begin) * 1e6 / len(values))
    return {name: statistics.median(each) for name, each in found.items()}


def measure(series: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Medians by number of series and size of batch, in interleaved rounds."""
    sent = {number: partitions(number) for number in series}
    calm_collector()
    runs: dict[tuple[int, int], list[list[float]]] = {}
    for _ in range(rounds):
        for number in series:
            for size in BATCHES:
                gc.collect()
                runs.setdefault((number, size), []).append(stages_of(sent[number], size))
    median: Callable[[Sequence[float]], float] = statistics.median
    return [
        {"series": number, "batch": size, **dict(zip(STAGES, map(median, zip(*found, strict=True)), strict=True))}
        for (number, size), found in runs.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.throughput_stages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, nargs="+", choices=SERIES, default=list(SERIES), help="about so many")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds, {ROUNDS} if not given")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    found = measure(chosen.series, chosen.rounds)
    alone = floors(partitions(chosen.series[0]), chosen.rounds)
    if chosen.json:
        print(json.dumps({"events": EVENTS, "rounds": chosen.rounds, "microseconds": found, "libraries": alone}))
        return
    print(f"CPU microseconds an event, {EVENTS:,} events in memory, medians of {chosen.rounds} interleaved rounds")
    print(f"{'series':>8}{'batch':>8}" + "".join(f"{stage:>9}" for stage in STAGES) + f"{'all':>9}")
    for row in found:
        values = [row[stage] for stage in STAGES]
        print(f"{row['series']:>8,}{row['batch']:>8,}" + "".join(f"{value:>9.2f}" for value in [*values, sum(values)]))
    print("The libraries by themselves:")
    for name, value in alone.items():
        print(f"{name:>48}{value:>9.2f}")


if __name__ == "__main__":
    main()
