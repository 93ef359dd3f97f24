"""What one batch of events gained, by the tick at which it becomes visible and the minute that it counts in.

A fold counts into the cells of a `Place`, system by system; `Batch.packed` turns that into one packed delta for each
shard and tick. Both are the hot path: at many systems a batch has nearly as many cells as events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Literal, Protocol, TypeVar

from msgspec import msgpack

from schemas.series import SeriesKey
from schemas.words import ControlType, EventType
from stream.adapters.native import (
    Authorization,
    CircuitBreaker,
    Deployment,
    Evaluation,
    Interaction,
    NativeEvent,
    Usage,
)
from stream.core.cells import Odd, Shown, SystemCells, Tagged, UsageCell, sorted_tags
from stream.core.controls import is_for_all
from stream.core.deltas import (
    CEILING,
    KIND_CODE,
    Delta,
    ExemplarRecord,
    Record,
    TagsRecord,
    join_packed,
    unpack,
)
from stream.core.spans import SpanFact, TracedSpan, TracePart

UNNAMED: Final = "(unnamed)"
"""Stands for an agent or a principal that the producer left out."""

_FLOW: Final = KIND_CODE["flow"]
_FLOW_VERSION: Final = KIND_CODE["flow_version"]
_AGENT: Final = KIND_CODE["agent"]
_FLOW_REASON: Final = KIND_CODE["flow_reason"]
_DENIAL: Final = KIND_CODE["denial"]
_USAGE: Final = KIND_CODE["usage"]

WORDS: Final[dict[type, EventType | Literal["span"]]] = {
    Interaction: "interaction",
    Authorization: "authorization",
    CircuitBreaker: "circuit_breaker",
    Evaluation: "evaluation",
    Deployment: "deployment",
    Usage: "usage",
    TracedSpan: "span",
}
"""What the events are called on the wire; a span, which is none yet, is a `span`."""

Series = tuple[int, str, str, tuple[str, ...]]
"""A series as a `Count` has it: code of its kind, environment, system, dimensions."""

_K = TypeVar("_K")

_encode: Final = msgpack.Encoder().encode


_NOTHING_ODD: Final = Odd()


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
    systems: dict[tuple[str, str], SystemCells] = field(default_factory=dict)
    series: dict[Series, list[int]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    exemplars: dict[Series, list[Shown]] = field(default_factory=dict)
    traces: dict[tuple[str, str, bytes], Trace] = field(default_factory=dict)

    def note_tags(self, event: NativeEvent | TracedSpan, ms: int) -> None:
        """Offer the tags of an event to its system."""
        where = (event.environment, event.system)
        known = self.systems.get(where)
        if known is None:
            known = self.systems[where] = SystemCells()
        if event.tags:
            known.note_tags(ms, identity_of(event), event.tags)

    def pack_into(self, bins: Bins, newest: Mapping[tuple[str, str], Tagged] | None) -> None:
        """Put everything into the bins of its tick.

        `newest` is whose tags count, where several minutes count at this tick; None where this is the only one.
        """
        minute, tick = self.minute, self.tick
        for where, cells in self.systems.items():
            environment, system = where
            found = bins.of(where, tick)
            counts, odds = found.counts, cells.odd
            for key, number in cells.numbers.items():
                odd = _NOTHING_ODD if odds is None else odds.get(key, _NOTHING_ODD)
                if isinstance(key, str):
                    counts.append(_encode((_AGENT, environment, system, (key,), minute, (number, odd.number))))
                    continue
                if key[1] is not None:
                    counts.append(_encode((_FLOW_VERSION, environment, system, key, minute, (number, odd.number))))
                # A flow of several versions has several counts here, which sum up like those of several batches.
                amounts = (number, odd.number, odd.failures)
                counts.append(_encode((_FLOW, environment, system, key[:1], minute, amounts)))
            if cells.usage is not None:
                _pack_usage(where, cells.usage, minute, counts)
            if odds is not None:
                self._pack_odd(where, cells, found)
            if cells.tags is not None and (newest is None or newest[where] is cells):
                tags = TagsRecord(cells.tagged_id, cells.tagged_ms, environment, system, sorted_tags(cells.tags))
                found.records.append(_encode(tags))
        for series, summed in self.series.items():
            capped = tuple([min(amount, CEILING) for amount in summed])
            bins.of(series[1:3], tick).counts.append(_encode((*series, minute, capped)))
        for series, shown in self.exemplars.items():
            _pack_shown(series, minute, shown, bins.of(series[1:3], tick))

    def _pack_odd(self, where: tuple[str, str], cells: SystemCells, found: Bin) -> None:
        """What a system has besides: reasons of escalations, denials in detail, exemplars of both."""
        for key, odd in (cells.odd or {}).items():
            kind, dims = (_DENIAL, (key,)) if isinstance(key, str) else (_FLOW_REASON, key[:1])
            for detail, number in odd.details.items():
                found.counts.append(_encode((kind, *where, (*dims, *detail), self.minute, (number,))))
        for whose, shown in (cells.shown or {}).items():
            kind, dims = (_AGENT, (whose,)) if isinstance(whose, str) else (_FLOW, whose)
            _pack_shown((kind, *where, dims), self.minute, shown, found)

    def parts(self, shard: Shards) -> Iterable[tuple[int, TracePart]]:
        """Each trace for its system's shard, and for those of budgets over several systems that its tokens count in."""
        for where, trace in self.traces.items():
            own = shard(*where[:2])
            budgets: dict[int, list[SeriesKey]] = {own: []}
            for key in trace.budgets:
                budgets.setdefault(shard(key.environment, key.system), []).append(key)
            for number, keys in sorted(budgets.items()):
                yield number, trace.part(where, keys, whole=number == own)


class Batch:
    """What one batch gained so far; `packed` gives it out by shard and tick."""

    def __init__(self) -> None:
        self.counted: Counter[type] = Counter()
        """Events taken in, by the types that hold them."""
        self.controls: Counter[ControlType] = Counter()
        self._places: dict[tuple[int, int], Place] = {}

    @property
    def events(self) -> Counter[str]:
        """Events and controls taken in, by type; of spans those that belong to a trace."""
        found: Counter[str] = Counter({WORDS[kind]: number for kind, number in self.counted.items()})
        found["span"] = sum(len(trace.spans) for place in self._places.values() for trace in place.traces.values())
        found.update(self.controls)
        return +found

    def place(self, tick: int, minute: int) -> Place:
        """The place for what is visible from `tick` on and counts in `minute`."""
        place = self._places.get((tick, minute))
        if place is None:
            place = self._places[tick, minute] = Place(tick, minute)
        return place

    def packed(self, shard: Shards) -> dict[int, dict[int, bytes]]:
        """Everything by shard and tick, each a packed delta. What is about every system goes into every shard."""
        bins = Bins(shard)
        newest = self._newest()
        for place in self._places.values():
            place.pack_into(bins, newest.get(place.tick))
            for number, part in place.parts(shard):
                bins.at(number, place.tick).records.append(_encode(part))
            for record in place.records:
                packed, everywhere = _encode(record), is_for_all(record)
                for number in range(shard.shards) if everywhere else (shard(record.environment, record.system),):
                    bins.at(number, place.tick).records.append(packed)
        return bins.packed()

    def spread(self, shard: Shards) -> dict[int, dict[int, Delta]]:
        """The same, unpacked."""
        return {
            number: {tick: unpack(blob) for tick, blob in ticks.items()} for number, ticks in self.packed(shard).items()
        }

    def _newest(self) -> dict[int, dict[tuple[str, str], Tagged]]:
        """Whose tags are the newest of each system's, of all minutes, at the ticks in which several minutes count."""
        places: dict[int, list[Place]] = {}
        for place in self._places.values():
            places.setdefault(place.tick, []).append(place)
        found: dict[int, dict[tuple[str, str], Tagged]] = {}
        for tick, several in places.items():
            if len(several) == 1:
                continue
            newest = found[tick] = {}
            for where, cells in chain.from_iterable(place.systems.items() for place in several):
                known = newest.get(where)
                if cells.tags is not None and (known is None or cells.order > known.order):
                    newest[where] = cells
        return found


@dataclass(slots=True)
class Bin:
    """What one shard gains at one tick: counts and records, packed."""

    counts: list[bytes] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)


class Bins:
    """What every shard gains at every tick."""

    def __init__(self, shard: Shards) -> None:
        self._shard = shard
        self._bins: dict[tuple[int, int], Bin] = {}

    def of(self, where: tuple[str, str], tick: int) -> Bin:
        """The bin of a system, by environment and name."""
        return self.at(self._shard(*where), tick)

    def at(self, shard: int, tick: int) -> Bin:
        """The bin of a shard."""
        found = self._bins.get((shard, tick))
        if found is None:
            found = self._bins[shard, tick] = Bin()
        return found

    def packed(self) -> dict[int, dict[int, bytes]]:
        """All of them, in order."""
        found: dict[int, dict[int, bytes]] = {}
        for shard, tick in sorted(self._bins):
            one = self._bins[shard, tick]
            found.setdefault(shard, {})[tick] = join_packed(one.counts, one.records)
        return found


def _pack_usage(
    where: tuple[str, str],
    usage: Mapping[tuple[str | None, str, str | None], UsageCell],
    minute: int,
    counts: list[bytes],
) -> None:
    environment, system = where
    for (caller, model, pricing), used in usage.items():
        dims = (caller or UNNAMED, model, pricing or "payg")
        counts.append(_encode((_USAGE, environment, system, dims, minute, used.amounts())))


def _pack_shown(series: Series, minute: int, shown: Iterable[Shown], found: Bin) -> None:
    """The exemplars of a series."""
    for rank, identity, trace_id in shown:
        found.records.append(_encode(ExemplarRecord(*series, minute, rank, trace_id, identity)))


def add_to(cells: dict[_K, list[int]], key: _K, amounts: Sequence[int]) -> None:
    """Add amounts to the cell of a key."""
    cell = cells.get(key)
    if cell is None:
        cells[key] = list(amounts)
    else:
        for index, amount in enumerate(amounts):
            cell[index] += amount


def identity_of(event: NativeEvent | TracedSpan) -> str:
    """The event's id, or a span's in words."""
    if isinstance(event, TracedSpan):
        return f"{event.trace_id.hex()}-{event.fact.span_id.hex()}"
    return event.id
