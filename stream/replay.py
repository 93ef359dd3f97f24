"""`midwatch replay`: the same heart over files, without Kafka or Redis.

All is known from the start, so every event is taken in its own minute, whatever its place in the files: the output is
the same for any order of lines and any size of batch. Firings and verdicts are written in the order of ticks, one
canonical JSON object a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Final

from schemas.base import JsonObject
from schemas.canonical import canonical_json, jsonable
from schemas.outputs import DeadLetter, Verdict
from schemas.series import COUNTERS, KINDS
from stream.adapters import Decoder, dead_letter
from stream.assembly import machine_factory, record_limits
from stream.core.deltas import Delta
from stream.core.fold import Batch, FoldTallies, PartitionFold, ShardMap
from stream.core.machine import Outcome
from stream.settings import Settings

BATCH_LINES: Final = 10_000
NO_LATENESS: Final = 2**61
"""A lateness, in ms, against which nothing is late."""

REJECTIONS_KEPT: Final = 1_000


@dataclass(slots=True)
class ReplayStats:
    """What a replay read and found. `totals` are the counts that entered the windows, by kind of series and counter."""

    events: Counter[str] = field(default_factory=Counter)
    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    rejected: int = 0
    rejections: list[DeadLetter] = field(default_factory=list)
    unknown_fields: int = 0
    unpriced: Counter[str] = field(default_factory=Counter)
    ticks: int = 0
    firings: int = 0
    verdicts: int = 0

    def to_json(self) -> JsonObject:
        """The numbers as plain JSON types."""
        return {
            "events": dict(sorted(self.events.items())),
            "totals": self.totals,
            "rejected": self.rejected,
            "unknown_fields": self.unknown_fields,
            "unpriced": dict(sorted(self.unpriced.items())),
            "ticks": self.ticks,
            "firings": self.firings,
            "verdicts": self.verdicts,
        }


def replay(
    files: Sequence[Path], settings: Settings, out: IO[bytes], dead_letters: IO[bytes] | None = None,
    batch_lines: int = BATCH_LINES,
) -> ReplayStats:
    """Replay events from files of JSON lines; firings and verdicts go to `out`, bad lines to `dead_letters`.

    A bad line is counted and passed over; its place is the file's name and line (counted from 0, as offsets are).
    """
    stats = ReplayStats()
    shards = ShardMap(settings.engine.shards)
    inboxes: dict[int, dict[int, list[Delta]]] = {}
    tallies = FoldTallies()
    fold = PartitionFold(NO_LATENESS, settings.budget_rules(), tallies=tallies)
    decoder = Decoder(record_limits(settings, by_age=False))
    for path in files:
        with path.open("rb") as lines:
            for first, piece in _batches(lines, batch_lines):
                _fold(piece, path, first, decoder, fold, shards, inboxes, stats, dead_letters)
    stats.unknown_fields = sum(decoder.counters.unknown_fields.counts.values())
    stats.unpriced = tallies.unpriced
    for outcome in evaluate(inboxes, settings):
        stats.ticks += 1
        stats.firings += len(outcome.firings)
        stats.verdicts += len(outcome.verdicts)
        for line in output_lines(outcome):
            out.write(line)
    return stats


def _batches(lines: Iterable[bytes], size: int) -> Iterator[tuple[int, list[bytes]]]:
    """Lines in batches, each with the number of its first line."""
    source = iter(lines)
    first = 0
    while piece := list(islice(source, size)):
        yield first, piece
        first += len(piece)


def _fold(
    lines: list[bytes], path: Path, first: int, decoder: Decoder, fold: PartitionFold, shards: ShardMap,
    inboxes: dict[int, dict[int, list[Delta]]], stats: ReplayStats, dead_letters: IO[bytes] | None,
) -> None:
    numbered = [(number, line) for number, line in enumerate(lines, first) if line.strip()]
    decoded = decoder.decode_batch([(line, (), 0) for _, line in numbered])
    for position, rejection in decoded.rejections:
        number, line = numbered[position]
        letter = dead_letter(rejection, path.name[-256:], 0, number, -1, line, True)
        stats.rejected += 1
        if len(stats.rejections) < REJECTIONS_KEPT:
            stats.rejections.append(letter)
        if dead_letters is not None:
            dead_letters.write(canonical_json(letter) + b"\n")
    batch = Batch()
    fold.add(decoded.events, batch)
    for shard, ticks in batch.spread(shards).items():
        for tick, delta in ticks.items():
            inboxes.setdefault(shard, {}).setdefault(tick, []).append(delta)
            _total(delta, stats.totals)
    stats.events.update(batch.events)


def _total(delta: Delta, totals: dict[str, dict[str, int]]) -> None:
    for count in delta.counts:
        kind = KINDS[count.kind]
        known = totals.setdefault(kind, dict.fromkeys(COUNTERS[kind], 0))
        for name, amount in zip(COUNTERS[kind], count.amounts, strict=True):
            known[name] += amount


def evaluate(inboxes: dict[int, dict[int, list[Delta]]], settings: Settings) -> Iterator[Outcome]:
    """Evaluate all shards to the last tick at which anything becomes visible; outcomes in the order of ticks."""
    make = machine_factory(settings)
    last = max((tick for ticks in inboxes.values() for tick in ticks), default=0)
    gathered: dict[int, list[Outcome]] = {}
    for shard in sorted(inboxes):
        machine = make()
        for outcome in machine.run(inboxes[shard], last):
            gathered.setdefault(outcome.tick, []).append(outcome)
    for tick in sorted(gathered):
        found = gathered[tick]
        yield Outcome(
            tick,
            tuple(sorted((f for o in found for f in o.firings), key=lambda f: (f.firing_id, f.status))),
            tuple(sorted((v for o in found for v in o.verdicts), key=lambda v: (v.incident_id, v.revision))),
            sum(o.cases for o in found),
        )


def output_lines(outcome: Outcome) -> Iterator[bytes]:
    """The records of one tick: firings, then verdicts, each a line of canonical JSON with its `record`."""
    for firing in outcome.firings:
        yield canonical_json(firing) + b"\n"
    for verdict in outcome.verdicts:
        yield canonical_json(_verdict_record(verdict)) + b"\n"


def _verdict_record(verdict: Verdict) -> JsonObject:
    return {"record": "verdict", **jsonable(verdict)}


