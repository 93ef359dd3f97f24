"""A simulated fleet through Midwatch's heart: decode, fold, windows, detectors, triage; without Kafka and Redis.

The history of days comes as counts, an hour at a time, which costs a second where events would cost a minute; what the
story is about comes as events, one JSON line each, tick by tick, the way `midwatch replay` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from scenarios.fleet import Fleet, encode
from scenarios.fleet_counts import HourCounts
from scenarios.fleet_model import HOUR_MS, MINUTE_MS
from schemas.outputs import Firing
from stream.adapters import Decoder, Rejection, decode_controls
from stream.assembly import machine_factory, record_limits
from stream.core.controls import record_of
from stream.core.deltas import Count, Delta
from stream.core.fold import Batch, PartitionFold
from stream.core.gather import Gatherer
from stream.core.machine import Outcome, ShardMachine
from stream.core.shards import ShardMap
from stream.settings import Settings
from triage.case import Case

FINE_HOURS = 3
"""Hours of history that keep their minutes for every kind of series: those that windows still hold by minute."""

HISTORY_TICKS = (25, 30, 55, 60)
"""Minutes of an hour at which history is evaluated: two ticks for each half hour are the fewest that let baselines
learn how far their half hours scatter."""


Controls = Callable[[int], Sequence[bytes]]
"""Gives the controls that a tick is the first to see, a JSON object each; asked when all ticks before it are known."""


class Heart:
    """One shard with all systems of a fleet. Times must be full hours for `remember`, full minutes for `live`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._machine: ShardMachine = machine_factory(settings)()
        self._decoder = Decoder(record_limits(settings, by_age=False), settings.adapters.origin())
        self.rejections: list[Rejection] = []

    def remember(self, fleet: Fleet, start_ms: int, end_ms: int) -> Iterator[Outcome]:
        """Take in the hours from `start_ms` to `end_ms` as history, at four ticks an hour (see `HISTORY_TICKS`)."""
        operations = self._fold([encode(one.event) for one in fleet.operations(start_ms, end_ms)], 2**61)
        for hour in range(start_ms // HOUR_MS, end_ms // HOUR_MS):
            counts = list(self._counts(fleet, hour, by_hour=hour < end_ms // HOUR_MS - FINE_HOURS))
            begun = hour * 60
            for before, until in pairwise((0, *HISTORY_TICKS)):
                seen = tuple(count for count in counts if begun + before <= count.minute < begun + until)
                ticks = range(begun + before + 1, begun + until + 1)
                records = [delta for tick in ticks for delta in operations.get(tick, ())]
                yield self._machine.step(begun + until, [Delta(seen), *records])

    def _counts(self, fleet: Fleet, hour: int, *, by_hour: bool) -> Iterator[Count]:
        budgets = self._settings.budget_rules()
        for system in fleet.systems:
            effects = fleet.effects(system)
            for flow in system.flows:
                traffic = fleet.traffic(system, flow, hour)
                yield from HourCounts(system, flow, effects, traffic, budgets, by_hour=by_hour).counts()

    def live(
        self, lines: Sequence[bytes], start_ms: int, end_ms: int, controls: Controls | None = None
    ) -> Iterator[Outcome]:
        """Evaluate every tick behind `start_ms` up to `end_ms`, given the events in the order of their arrival."""
        inboxes = self._fold(lines, round(self._settings.engine.lateness_seconds * 1000))
        for tick in range(start_ms // MINUTE_MS + 1, end_ms // MINUTE_MS + 1):
            told = self._told(controls(tick)) if controls is not None else ()
            yield self._machine.step(tick, [*inboxes.get(tick, ()), *told])

    def gather(self, firing: Firing) -> Case:
        """The case that triage would get for `firing` at the last tick."""
        return Gatherer(self._machine.windows, self._machine.evidence).gather(firing)

    def _told(self, lines: Sequence[bytes]) -> Iterable[Delta]:
        """What people said, as their topic would bring it."""
        if not lines:
            return ()
        found = decode_controls([(line, (), 0) for line in lines], self._decoder.limits, self._decoder.counters)
        self.rejections += [rejection for _, rejection in found.rejections]
        return (Delta(records=tuple(record_of(control) for control in found.controls)),)

    def _fold(self, lines: Sequence[bytes], lateness_ms: int) -> dict[int, list[Delta]]:
        """What becomes visible by tick, as one source partition would show it."""
        decoded = self._decoder.decode_batch([(line, (), 0) for line in lines])
        self.rejections += [rejection for _, rejection in decoded.rejections]
        batch = Batch()
        PartitionFold(lateness_ms, self._settings.budget_rules()).add(decoded.events, batch)
        return {tick: [delta] for ticks in batch.spread(ShardMap(1)).values() for tick, delta in ticks.items()}
