"""`midwatch replay`: the same heart over files, without Kafka or Redis.

All is known from the start, so every event is taken in its own minute, whatever its place in the files: the output is
the same for any order of lines and any size of batch. Firings and verdicts are written in the order of ticks, one
canonical JSON object a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Final

from schemas.base import JsonObject
from schemas.canonical import canonical_json, jsonable
from schemas.outputs import Verdict
from schemas.series import COUNTERS, KINDS
from schemas.words import DeadLetterReason
from stream.adapters import Decoder, Rejection, dead_letter, decode_controls
from stream.adapters.otlp_json import is_request as is_otlp_json
from stream.assembly import machine_factory, record_limits
from stream.core.deltas import Delta
from stream.core.fold import Batch, FoldTallies, PartitionFold
from stream.core.machine import Outcome, ShardMachine
from stream.core.shards import ShardMap
from stream.settings import Settings

BATCH_LINES: Final = 10_000
NO_LATENESS: Final = 2**61
"""A lateness, in ms, against which nothing is late."""

BAD_LINES_KEPT: Final = 1_000

_NOT_OTLP: Final = Rejection("unsupported_format", "the line is no OTLP export request in JSON")

Inboxes = dict[int, dict[int, list[Delta]]]
"""What becomes visible, by shard and tick."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no event, and why. Lines count from 1."""

    path: Path
    line: int
    reason: DeadLetterReason
    detail: str


@dataclass(slots=True)
class ReplayStats:
    """What a replay read and found. `totals` are the counts that entered the windows, by kind of series and counter.

    `bad_lines` holds the first `BAD_LINES_KEPT`; `rejected` counts all.
    """

    events: Counter[str] = field(default_factory=Counter)
    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    rejected: int = 0
    bad_lines: list[BadLine] = field(default_factory=list)
    unknown_fields: int = 0
    unpriced: Counter[str] = field(default_factory=Counter)
    ticks: int = 0
    firings: int = 0
    verdicts: int = 0

    def to_json(self) -> JsonObject:
        """The numbers as plain JSON types."""
        return {
            "events": dict(sorted(self.events.items())),
            "totals": {kind: self.totals[kind] for kind in sorted(self.totals)},
            "rejected": self.rejected,
            "unknown_fields": self.unknown_fields,
            "unpriced": dict(sorted(self.unpriced.items())),
            "ticks": self.ticks,
            "firings": self.firings,
            "verdicts": self.verdicts,
        }


def replay(
    files: Sequence[Path],
    settings: Settings,
    out: IO[bytes],
    dead_letters: IO[bytes] | None = None,
    batch_lines: int = BATCH_LINES,
    *,
    only_otlp: bool = False,
) -> ReplayStats:
    """Replay events from files of JSON lines; firings and verdicts go to `out`, bad lines to `dead_letters`.

    Empty lines are passed over. A bad line is counted and passed over; in its dead letter the topic is the file's name
    and the offset counts lines from 0. OTLP lines are read among others; with `only_otlp` any other line is a bad one.
    Raises OSError.
    """
    reader = _Reader(settings, dead_letters, only_otlp=only_otlp)
    for path in files:
        with path.open("rb") as lines:
            for first, piece in _batches(lines, batch_lines):
                reader.take(piece, path, first)
    stats = reader.finish()
    for outcome in evaluate(reader.inboxes, settings, stats):
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


class _Reader:
    """Decodes and folds the lines of all files, as if they were one source partition in which nothing is late."""

    def __init__(self, settings: Settings, dead_letters: IO[bytes] | None, *, only_otlp: bool = False) -> None:
        self.inboxes: Inboxes = {}
        self.stats = ReplayStats()
        self._tallies = FoldTallies()
        self._decoder = Decoder(
            record_limits(settings, by_age=False), settings.adapters.origin(), settings.otlp.reader()
        )
        self._only_otlp = only_otlp
        self._fold = PartitionFold(
            NO_LATENESS, settings.budget_rules(), tallies=self._tallies, prices=settings.price_book()
        )
        self._shards = ShardMap(settings.engine.shards)
        self._dead_letters = dead_letters

    def take(self, lines: list[bytes], path: Path, first: int) -> None:
        """Take in some lines of a file, the first of which has number `first`, counted from 0."""
        numbers = [number for number, line in enumerate(lines) if not line.isspace()]
        if self._only_otlp:
            others = {number for number in numbers if not is_otlp_json(lines[number])}
            for number in sorted(others):
                self._reject(_NOT_OTLP, path, first + number, lines[number])
            numbers = [number for number in numbers if number not in others]
        decoded = self._decoder.decode_batch([(lines[number], (), 0) for number in numbers])
        batch = Batch()
        self._fold.add(decoded.events, batch)
        for position, rejection in decoded.rejections:
            line = lines[numbers[position]]
            found = self._take_control(line, batch) if rejection.reason == "unknown_type" else rejection
            if found is not None:
                # What is no control either is explained as telemetry.
                why = rejection if found.reason == "unknown_type" else found
                self._reject(why, path, first + numbers[position], line)
        for shard, ticks in batch.spread(self._shards).items():
            for tick, delta in ticks.items():
                self.inboxes.setdefault(shard, {}).setdefault(tick, []).append(delta)
                _total(delta, self.stats.totals)
        self.stats.events.update(batch.events)

    def _take_control(self, line: bytes, batch: Batch) -> Rejection | None:
        """Take a line in that is no telemetry, if it is a control: a file may hold both. Else why it is none."""
        decoder = self._decoder
        found = decode_controls([(line, (), 0)], decoder.limits, decoder.counters)
        self._fold.add_controls(found.controls, batch)
        return next((why for _, why in found.rejections), None)

    def _reject(self, rejection: Rejection, path: Path, number: int, line: bytes) -> None:
        self.stats.rejected += 1
        if len(self.stats.bad_lines) < BAD_LINES_KEPT:
            self.stats.bad_lines.append(BadLine(path, number + 1, rejection.reason, rejection.detail))
        if self._dead_letters is not None:
            letter = dead_letter(rejection, path.name[-256:], 0, number, -1, line, True)
            self._dead_letters.write(canonical_json(letter) + b"\n")

    def finish(self) -> ReplayStats:
        """What was read, once all is taken in."""
        self.stats.unknown_fields = sum(self._decoder.counters.unknown_fields.counts.values())
        self.stats.unpriced = self._tallies.unpriced
        return self.stats


def _total(delta: Delta, totals: dict[str, dict[str, int]]) -> None:
    for count in delta.counts:
        kind = KINDS[count.kind]
        known = totals.setdefault(kind, dict.fromkeys(COUNTERS[kind], 0))
        for name, amount in zip(COUNTERS[kind], count.amounts, strict=True):
            known[name] += amount


def evaluate(
    inboxes: Mapping[int, Mapping[int, list[Delta]]], settings: Settings, stats: ReplayStats | None = None
) -> Iterator[Outcome]:
    """Evaluate all shards to the last tick at which anything becomes visible; one outcome a tick, in their order.

    A trace that is still open then is waited for, until the tick at which it is finished. What traces turn out to be is
    added to `stats`.
    """
    make = machine_factory(settings)
    last = max((tick for ticks in inboxes.values() for tick in ticks), default=0)
    runs = [_run(make(), inboxes[shard], last, stats) for shard in sorted(inboxes)]
    for tick, outcomes in groupby(merge(*runs, key=_tick), key=_tick):
        found = list(outcomes)
        yield Outcome(
            tick,
            tuple(sorted((f for o in found for f in o.firings), key=lambda f: (f.firing_id, f.status))),
            tuple(sorted((v for o in found for v in o.verdicts), key=lambda v: (v.incident_id, v.revision))),
            sum(o.cases for o in found),
        )


def _run(
    machine: ShardMachine, inboxes: Mapping[int, list[Delta]], last: int, stats: ReplayStats | None
) -> Iterator[Outcome]:
    if stats is not None:
        totals = stats.totals
        machine.on_traced = lambda delta: _total(delta, totals)
    yield from machine.run(inboxes, last)
    due = machine.traces.last_due()
    if due is not None:
        yield from machine.run({}, due)
    if stats is not None:
        stats.events.update(+machine.tallies.traced)


def _tick(outcome: Outcome) -> int:
    return outcome.tick


def output_lines(outcome: Outcome) -> Iterator[bytes]:
    """The records of one tick: firings, then verdicts, each a line of canonical JSON with its `record`."""
    for firing in outcome.firings:
        yield canonical_json(firing) + b"\n"
    for verdict in outcome.verdicts:
        yield canonical_json(_verdict_record(verdict)) + b"\n"


def _verdict_record(verdict: Verdict) -> JsonObject:
    return {"record": "verdict", **jsonable(verdict)}
