"""What one batch of events gained, by the tick at which it becomes visible and the minute that it counts in.

A fold counts into a `Place`, system by system; `Batch.spread` turns that into one delta for each shard and tick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar
from zlib import crc32

from schemas.series import SeriesKey
from schemas.words import ControlType, EventType
from stream.adapters.native import NativeEvent
from stream.core.controls import is_for_all
from stream.core.deltas import (
    EXEMPLARS_PER_MINUTE,
    KIND_CODE,
    AcknowledgementRecord,
    BreakerRecord,
    Count,
    Delta,
    DeploymentRecord,
    ExemplarRecord,
    Record,
    ScoreRecord,
    SilenceRecord,
    TagsRecord,
)
from stream.core.spans import SpanFact, TracedSpan, TracePart
from stream.core.ticks import NEVER

_RECORDED: Final[dict[type, EventType | ControlType]] = {
    ScoreRecord: "evaluation",
    BreakerRecord: "circuit_breaker",
    DeploymentRecord: "deployment",
    SilenceRecord: "silence",
    AcknowledgementRecord: "acknowledgement",
}

_K = TypeVar("_K")


@dataclass(slots=True)
class System:
    """What one system gained in one place: counters by the system's own small keys, and its newest tagged event."""

    flows: dict[tuple[str, str | None], list[int]] = field(default_factory=dict)
    agents: dict[str, list[int]] = field(default_factory=dict)
    usage: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    tagged: NativeEvent | TracedSpan | None = None
    tagged_ms: int = NEVER

    def note_tags(self, event: NativeEvent | TracedSpan, ms: int) -> None:
        """Keep the tagged event that is the newest; of two at the same time, the one of the greater id."""
        if self.tagged is None or (ms, *_identity(event)) > (self.tagged_ms, *_identity(self.tagged)):
            self.tagged, self.tagged_ms = event, ms

    def counts(self, environment: str, system: str, minute: int) -> Iterable[Count]:
        """Its counters as counts of series."""
        where = (environment, system)
        flows: dict[str, list[int]] = {}
        for (flow, version), cell in self.flows.items():
            add_to(flows, flow, cell)
            if version is not None:
                yield Count(KIND_CODE["flow_version"], *where, (flow, version), minute, tuple(cell[:2]))
        for flow, cell in flows.items():
            yield Count(KIND_CODE["flow"], *where, (flow,), minute, tuple(cell))
        for agent, cell in self.agents.items():
            yield Count(KIND_CODE["agent"], *where, (agent,), minute, tuple(cell))
        for dims, cell in self.usage.items():
            yield Count(KIND_CODE["usage"], *where, dims, minute, tuple(cell))


class Shards(Protocol):
    """Which shard a system is in, of how many."""

    @property
    def shards(self) -> int:
        """How many there are."""
        ...

    def __call__(self, environment: str, system: str) -> int:
        """The shard of a system."""
        ...


@dataclass(slots=True)
class Trace:
    """The spans of one trace that a batch has for one place, and the budgets that its tokens count against."""

    version: str
    budgets: tuple[SeriesKey, ...]
    spans: list[SpanFact] = field(default_factory=list)

    def part(self, where: tuple[str, str, bytes], budgets: Iterable[SeriesKey], *, whole: bool) -> TracePart:
        """What a shard gets of it: all, or, for the budgets' sake, all but what names and marks say."""
        environment, system, trace_id = where
        spans = self.spans if whole else [span.bare() for span in self.spans]
        names = tuple(sorted((key.environment, key.system, key.dims[0]) for key in budgets))
        return TracePart(trace_id, environment, system, self.version, whole, names, tuple(spans))


@dataclass(slots=True)
class Place:
    """What is visible from `tick` on and counts in `minute`."""

    tick: int
    minute: int
    systems: dict[tuple[str, str], System] = field(default_factory=dict)
    series: dict[SeriesKey, list[int]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    exemplars: dict[SeriesKey, list[ExemplarRecord]] = field(default_factory=dict)
    traces: dict[tuple[str, str, bytes], Trace] = field(default_factory=dict)

    def parts(self, shard: Shards) -> Iterable[tuple[int, TracePart]]:
        """Each trace for its system's shard, and for those of budgets over several systems that its tokens count in."""
        for where, trace in self.traces.items():
            own = shard(*where[:2])
            budgets: dict[int, list[SeriesKey]] = {own: []}
            for key in trace.budgets:
                budgets.setdefault(shard(key.environment, key.system), []).append(key)
            for number, keys in sorted(budgets.items()):
                yield number, trace.part(where, keys, whole=number == own)

    def show(self, key: SeriesKey, event: NativeEvent, identity: str) -> None:
        """Offer an exemplar of a series."""
        rank = crc32(identity.encode())
        record = ExemplarRecord(KIND_CODE[key.kind], *key[1:], self.minute, rank, event.trace_id, identity)
        known = self.exemplars.setdefault(key, [])
        known.append(record)
        if len(known) > EXEMPLARS_PER_MINUTE * 8:
            known[:] = _smallest(known)


class Batch:
    """What one batch gained so far; `spread` gives it out by shard and tick."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, int], Place] = {}

    @property
    def events(self) -> Counter[str]:
        """Events taken in, by type."""
        found: Counter[str] = Counter()
        for place in self._places.values():
            for system in place.systems.values():
                found["interaction"] += sum(cell[0] for cell in system.flows.values())
                found["authorization"] += sum(cell[0] for cell in system.agents.values())
                found["usage"] += sum(cell[0] for cell in system.usage.values())
            found.update(_RECORDED[type(record)] for record in place.records)
            found["span"] += sum(len(trace.spans) for trace in place.traces.values())
        return +found

    def place(self, tick: int, minute: int) -> Place:
        """The place for what is visible from `tick` on and counts in `minute`."""
        place = self._places.get((tick, minute))
        if place is None:
            place = self._places[tick, minute] = Place(tick, minute)
        return place

    def spread(self, shard: Shards) -> dict[int, dict[int, Delta]]:
        """Everything by shard and tick. What is about every system goes into every shard."""
        gathered: dict[int, dict[int, _Bin]] = {}

        def bin_in(number: int, tick: int) -> _Bin:
            return gathered.setdefault(number, {}).setdefault(tick, _Bin())

        def bin_of(tick: int, environment: str, system: str) -> _Bin:
            return bin_in(shard(environment, system), tick)

        for place in self._places.values():
            for number, part in place.parts(shard):
                bin_in(number, place.tick).records.append(part)
            for where, system in place.systems.items():
                bin_of(place.tick, *where).take(where, system, place.minute)
            for key, amounts in place.series.items():
                count = Count(KIND_CODE[key.kind], *key[1:], place.minute, tuple(amounts))
                bin_of(place.tick, key.environment, key.system).counts.append(count)
            for key, exemplars in place.exemplars.items():
                bin_of(place.tick, key.environment, key.system).records += _smallest(exemplars)
            for record in place.records:
                everywhere = is_for_all(record)
                for number in range(shard.shards) if everywhere else (shard(record.environment, record.system),):
                    bin_in(number, place.tick).records.append(record)
        return {
            number: {tick: found.delta() for tick, found in sorted(ticks.items())}
            for number, ticks in sorted(gathered.items())
        }


@dataclass(slots=True)
class _Bin:
    """What one shard gains at one tick. Tags of a system are those of its newest event, whatever minute that is in."""

    counts: list[Count] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    systems: dict[tuple[str, str], System] = field(default_factory=dict)

    def take(self, where: tuple[str, str], system: System, minute: int) -> None:
        self.counts.extend(system.counts(*where, minute))
        if system.tagged is not None:
            self.systems.setdefault(where, system).note_tags(system.tagged, system.tagged_ms)

    def delta(self) -> Delta:
        tags = [
            TagsRecord(identity_of(tagged), system.tagged_ms, *where, _tags(tagged))
            for where, system in self.systems.items()
            if (tagged := system.tagged) is not None
        ]
        return Delta(tuple(self.counts), (*self.records, *tags))


def add_to(cells: dict[_K, list[int]], key: _K, amounts: Sequence[int]) -> None:
    """Add amounts to the cell of a key."""
    cell = cells.get(key)
    if cell is None:
        cells[key] = list(amounts)
    else:
        for index, amount in enumerate(amounts):
            cell[index] += amount


def _tags(event: NativeEvent | TracedSpan) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((event.tags or {}).items()))


def _identity(event: NativeEvent | TracedSpan) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Which of two tagged events of the same time counts as the newer one."""
    return identity_of(event), _tags(event)


def identity_of(event: NativeEvent | TracedSpan) -> str:
    """The event's id, or a span's in words."""
    if isinstance(event, TracedSpan):
        return f"{event.trace_id.hex()}-{event.fact.span_id.hex()}"
    return event.id


def _smallest(exemplars: Iterable[ExemplarRecord]) -> list[ExemplarRecord]:
    """The exemplars of the smallest rank, each once: an interaction may show the same failure in several steps."""
    return sorted(set(exemplars), key=lambda r: (r.rank, r.interaction_id, r.trace_id or ""))[:EXEMPLARS_PER_MINUTE]
