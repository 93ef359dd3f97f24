"""One shard's state machine: deltas in, tick by tick; firings and verdicts out.

`step` is a function of the state and the deltas that become visible at the tick, nothing else, so the same deltas
always give the same bytes: after a crash, on another worker, in a replay. It is the only place that couples windows,
detectors and triage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from detectors.arrays import append_rows, take_rows
from detectors.base import Claim, Detector, State
from schemas.outputs import Engine, Firing, Verdict
from schemas.series import KINDS, SeriesKey, SeriesKind
from stream.core.deltas import KIND_CODE, ControlRecord, Count, Delta, ExemplarRecord, Record, ScoreRecord, merge
from stream.core.evidence import Evidence
from stream.core.exemplars import EXEMPLAR_MINUTES
from stream.core.firings import firing_of
from stream.core.fold import Batch, PartitionFold
from stream.core.gather import Gatherer
from stream.core.shards import ShardMap
from stream.core.spans import TracePart
from stream.core.ticks import MINUTE_MS
from stream.core.traces import TraceLimits, Traces
from stream.core.windows import KindWindows
from triage.case import Case
from triage.chain import Guard, run_guarded
from triage.checks.base import Check
from triage.incidents import Incidents
from triage.registry import build as build_checks
from triage.settings import TriageSettings

DAY_TICKS: Final = 24 * 60

BIASED: Final = frozenset({"burst", "anchor"})
"""Scores of chosen interactions say nothing about all of them: they do not count in windows."""

NO_LATENESS: Final = 2**61
"""A lateness, in ms, against which nothing is late."""

_ONE_SHARD: Final = ShardMap(1)

HOUSEKEEPING_TICKS: Final = 60
"""Ticks between two rounds of forgetting old evidence and expired series."""

DROP_SHARE: Final = 1 / 16
"""Expired series are dropped once they are this share of their kind, or at the day's first tick: dropping renumbers the
rows of every stored hour, so it should not happen every hour for a single series."""

QUIET_GAP_TICKS: Final = 3 * DAY_TICKS
"""Ticks without any telemetry after which evaluation waits for the next event instead of going on tick by tick."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps that bound the memory of a shard: series of one kind, and traces that are being put together.

    Those of evidence are in `stream.core.evidence`.
    """

    series_per_kind: int = 100_000
    traces: TraceLimits = field(default_factory=TraceLimits)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one tick brought. Firings are in the order of their ids, verdicts in the order of incidents."""

    tick: int
    firings: tuple[Firing, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    cases: int = 0


@dataclass(slots=True)
class Tallies:
    """Counts for metrics; not part of the state, so they start at zero after every restart.

    A series that the cap refuses is counted at every tick at which it asks again.
    """

    refused_series: Counter[SeriesKind] = field(default_factory=Counter)
    duplicate_scores: int = 0
    failed_detectors: Counter[str] = field(default_factory=Counter)
    traced: Counter[str] = field(default_factory=Counter)
    """Events that traces turned out to be, by type; an agent's own sum of tokens is a `usage`."""


class ShardMachine:
    """The windows, detectors and incidents of one shard.

    `detectors` are asked in the given order. `guard` runs one check on one case; the edge passes one that limits the
    time a check may take. `checks` are the runbook's and those of installed packages if not given. `on_traced`, if set,
    is told what finished traces count.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        triage: TriageSettings,
        engine: Engine,
        limits: Limits = Limits(),
        guard: Guard = run_guarded,
        checks: Sequence[Check] | None = None,
    ) -> None:
        self.detectors = tuple(detectors)
        self.engine = engine
        self.limits = limits
        self.tick = 0
        self.last_seen = 0
        self.windows: dict[SeriesKind, KindWindows] = {kind: KindWindows(kind) for kind in KINDS}
        self.evidence = Evidence()
        self.traces = Traces(limits.traces)
        self.checks = tuple(checks) if checks is not None else build_checks(triage)
        self.incidents = Incidents(triage, engine, self.checks)
        self.states: dict[tuple[str, SeriesKind], State] = {(d.name, d.kind): d.fresh(0) for d in self.detectors}
        self.tallies = Tallies()
        self.on_traced: Callable[[Delta], None] | None = None
        self._guard = guard

    def step(self, tick: int, deltas: Iterable[Delta]) -> Outcome:
        """Evaluate tick `tick`, at which `deltas` become visible. Ticks must grow; gaps are allowed.

        Raises ValueError if the tick does not lie behind the last one.
        """
        if tick <= self.tick:
            raise ValueError(f"tick {tick} does not follow tick {self.tick}")
        self.tick = tick
        for windows in self.windows.values():
            windows.advance(tick)
        delta = merge(deltas)
        parts = [record for record in delta.records if isinstance(record, TracePart)]
        only_controls = not delta.counts and all(isinstance(record, ControlRecord) for record in delta.records)
        if not only_controls:
            self.last_seen = tick
        self._fold(delta)
        if parts or len(self.traces):
            self._fold_traces(tick, parts)
        firings: list[Firing] = []
        # In a gap it is a control alone that makes a tick: nothing is to be detected that would not be without it.
        if not (only_controls and delta.records and tick > self.last_seen + QUIET_GAP_TICKS):
            if tick % HOUSEKEEPING_TICKS == 0:
                self._forget()
            firings = self._detect()
        cases = _CountedGather(Gatherer(self.windows, self.evidence))
        controls = self.evidence.controls.at(tick)
        verdicts = self.incidents.step(tick * MINUTE_MS, firings, cases, self._guard, controls)
        for windows in self.windows.values():
            windows.cool()
        return Outcome(tick, tuple(firings), tuple(verdicts), cases.count)

    def run(self, inboxes: Mapping[int, Iterable[Delta]], upto: int) -> Iterator[Outcome]:
        """Evaluate the ticks up to `upto`, given what becomes visible at those of them that have anything.

        A shard begins at its first event. In a gap of more than `QUIET_GAP_TICKS` nothing is evaluated until the next
        event. So which ticks are evaluated follows from the telemetry alone, not from when anyone looked. A control is
        no telemetry: it is taken in, and incidents answer to it, at its own tick, but nothing is detected for its sake.
        """
        for tick in sorted(inboxes):
            if tick > upto:
                break
            yield from self._quiet_ticks(tick)
            yield self.step(tick, inboxes[tick])
        yield from self._quiet_ticks(upto + 1)
        if self.tick and self.tick < upto:
            self.tick = upto
            for windows in self.windows.values():
                windows.advance(upto)

    def _quiet_ticks(self, end: int) -> Iterator[Outcome]:
        """Evaluate the ticks before `end`, in which nothing came, as far as the gap is worth it."""
        if self.tick:
            for tick in range(self.tick + 1, min(end, self.last_seen + QUIET_GAP_TICKS + 1)):
                yield self.step(tick, ())

    def _fold_traces(self, tick: int, parts: Sequence[TracePart]) -> None:
        """Count what the traces that are finished at this tick turn out to have been."""
        finished = self.traces.step(tick, parts)
        if not finished.events and not finished.counts:
            return
        batch = Batch()
        PartitionFold(NO_LATENESS).add(finished.events, batch)
        found = [delta for ticks in batch.spread(_ONE_SHARD).values() for delta in ticks.values()]
        delta = merge([*found, Delta(tuple(finished.counts))])
        self._fold(delta)
        self.tallies.traced.update(batch.events)
        self.tallies.traced["usage"] += sum(KINDS[count.kind] == "usage" for count in finished.counts)
        if self.on_traced is not None:
            self.on_traced(delta)

    def _fold(self, delta: Delta) -> None:
        counts: dict[SeriesKind, list[Count]] = {}
        for count in (*delta.counts, *self._fresh_scores(delta)):
            counts.setdefault(KINDS[count.kind], []).append(count)
        for kind in KINDS:
            if kind in counts:
                self._add(self.windows[kind], counts[kind])
        for record in delta.records:
            if not isinstance(record, TracePart):
                self.take(record)

    def take(self, record: Record) -> None:
        """Take a record in as evidence."""
        if not isinstance(record, ExemplarRecord):
            self.evidence.apply(record)
            return
        windows = self.windows[KINDS[record.kind]]
        row = windows.names.row(record.environment, record.system, record.dims)
        # A series that was refused gets no exemplars either: the cap on series bounds them.
        if row is not None:
            windows.exemplars.add(row, record.minute, record.rank, record.interaction_id, record.trace_id)

    def records(self) -> Iterator[Record]:
        """The evidence as records that `take` takes back."""
        yield from self.evidence.records()
        for kind, windows in self.windows.items():
            for row in windows.exemplars.rows():
                place = (KIND_CODE[kind], *windows.keys[row][1:])
                for minute, rank, identity, trace in windows.exemplars.of(row):
                    yield ExemplarRecord(*place, minute, rank, trace, identity)

    def _fresh_scores(self, delta: Delta) -> Iterable[Count]:
        """The counts of scores that were not counted before."""
        for record in delta.records:
            if isinstance(record, ScoreRecord) and record.purpose not in BIASED:
                if self.evidence.first_time(record):
                    yield from score_counts(record)
                else:
                    self.tallies.duplicate_scores += 1

    def _add(self, windows: KindWindows, counts: list[Count]) -> None:
        row_of = windows.names.row
        rows = [row_of(count.environment, count.system, count.dims) for count in counts]
        if None in rows:
            self._admit(windows, [count for count, row in zip(counts, rows, strict=True) if row is None])
            rows = [row_of(count.environment, count.system, count.dims) for count in counts]
            counts = [count for count, row in zip(counts, rows, strict=True) if row is not None]
            rows = [row for row in rows if row is not None]
        if counts:
            windows.add(
                np.array(rows, np.int64),
                np.array([count.minute for count in counts], np.int64),
                np.array([count.amounts for count in counts], np.int64),
            )

    def _admit(self, windows: KindWindows, counts: list[Count]) -> None:
        """Give rows to the series of these counts, as far as the cap lets."""
        first_seen: dict[SeriesKey, int] = {}
        for count in counts:
            key = count.key()
            first_seen[key] = min(first_seen.get(key, count.minute), count.minute)
        room = max(self.limits.series_per_kind - len(windows), 0)
        admitted = sorted(first_seen)[:room]
        if admitted:
            windows.grow(admitted, [first_seen[key] for key in admitted])
        self.tallies.refused_series[windows.kind] += len(first_seen) - len(admitted)

    def _detect(self) -> list[Firing]:
        found: list[Firing] = []
        for detector in self.detectors:
            windows = self.windows[detector.kind]
            state = self._grown(detector, len(windows))
            if not len(windows):
                continue
            try:
                state, claims = detector.step(windows, state)
                firings = [self._firing(detector, windows, claim) for claim in claims]
            except Exception:  # noqa: BLE001  # one broken detector must not silence the others, nor end the engine
                self.tallies.failed_detectors[detector.name] += 1
                continue
            self.states[detector.name, detector.kind] = state
            found.extend(firings)
        found.sort(key=lambda firing: (firing.firing_id, firing.status))
        return found

    def _grown(self, detector: Detector, size: int) -> State:
        """The detector's memory with a row for every series."""
        state = self.states[detector.name, detector.kind]
        have = min((len(array) for array in state.values()), default=0)
        if have < size:
            state = append_rows(state, detector.fresh(size - have))
            self.states[detector.name, detector.kind] = state
        return state

    def _firing(self, detector: Detector, windows: KindWindows, claim: Claim) -> Firing:
        return firing_of(detector.name, windows.keys[claim.series], claim, self.tick)

    def _forget(self) -> None:
        """Drop series without events in the longest window, and evidence that is too old."""
        self.evidence.prune(self.tick)
        for kind, windows in self.windows.items():
            windows.exemplars.prune(self.tick - EXEMPLAR_MINUTES)
            gone = windows.expired()
            share = gone.mean() if len(gone) else 0.0
            if share >= DROP_SHARE or (share and self.tick % DAY_TICKS == 0):
                kept = np.flatnonzero(~gone)
                for detector in self.detectors:
                    if detector.kind == kind:
                        state = self._grown(detector, len(windows))
                        self.states[detector.name, kind] = take_rows(state, kept)
                windows.drop(gone)


class _CountedGather:
    """The gatherer as a callable that counts its cases."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer
        self.count = 0

    def __call__(self, firing: Firing) -> Case:
        self.count += 1
        return self._gatherer.gather(firing)


def score_counts(record: ScoreRecord) -> Iterable[Count]:
    """Every score counts in its stratum; those of the fair sample in the windows that detectors read, too."""
    amounts = (1, record.score, record.score * record.score)
    minute = record.ms // MINUTE_MS
    where = (record.environment, record.system)
    stratum = (record.flow, record.criterion, record.version, str(record.stratum))
    yield Count(KIND_CODE["score_stratum"], *where, stratum, minute, amounts)
    if not record.uniform:
        return
    yield Count(KIND_CODE["score"], *where, (record.flow, record.criterion), minute, amounts)
    if record.version:
        dims = (record.flow, record.criterion, record.version)
        yield Count(KIND_CODE["score_version"], *where, dims, minute, amounts)
