"""What one batch of events gained, by the tick at which it becomes visible and the minute that it counts in.

A fold counts into the cells of a `Place`; `Batch.packed` turns that into one packed delta for each shard and tick. Both
are the hot path: at many systems a batch has nearly as many cells as events, and then it pays to pack them while they
are in the processor's cache (`Batch.pack_counts`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Literal, TypeVar

from msgspec import msgpack

from schemas.series import SeriesKey
from schemas.words import ControlType, EventType
from stream.adapters.native import (
    Authorization,
    CircuitBreaker,
    Deployment,
    Evaluation,
    Interaction,
    Usage,
)
from stream.core.bins import Bins, Lists, Shards
from stream.core.cells import Shown
from stream.core.controls import is_for_all
from stream.core.deltas import (
    CEILING,
    Delta,
    ExemplarRecord,
    Record,
    TagsRecord,
    unpack,
)
from stream.core.first_tags import Tagged, sorted_tags
from stream.core.gains import Gains
from stream.core.spans import SpanFact, TracedSpan, TracePart

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

Tags = dict[str, dict[str, Tagged]]
"""By environment and system."""

_K = TypeVar("_K")

_encode: Final = msgpack.Encoder().encode


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
    """What is visible from `tick` on and counts in `minute`.

    Attributes:
        common: by environment, what is common and not packed yet.
        tags: what each system's first tagged event bears, where that was not told before.
    """

    tick: int
    minute: int
    common: dict[str, Gains] = field(default_factory=dict)
    tags: Tags = field(default_factory=dict)
    series: dict[Series, list[int]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    exemplars: dict[Series, list[Shown]] = field(default_factory=dict)
    traces: dict[tuple[str, str, bytes], Trace] = field(default_factory=dict)

    @property
    def cells(self) -> int:
        """Cells of what is common."""
        return sum(gains.cells for gains in self.common.values())

    def of(self, environment: str) -> Gains:
        """What an environment gained of what is common."""
        gains = self.common.get(environment)
        if gains is None:
            gains = self.common[environment] = Gains(environment)
        return gains

    def pack_counts(self, bins: Bins) -> None:
        """Put what is common into the bins of its tick, and forget it here."""
        for environment, gains in self.common.items():
            bins.add_counts(self.tick, gains.pack_counts(self.minute, bins.shard.within(environment)))
        self.common.clear()

    def pack_into(self, bins: Bins, newest: Tags | None) -> None:
        """Put everything into the bins of its tick.

        `newest` is whose tags count, where several minutes count at this tick; None where this is the only one.
        """
        self.pack_counts(bins)
        minute, shard = self.minute, bins.shard
        counts: Lists = defaultdict(list)
        records: Lists = defaultdict(list)
        for environment, systems in self.tags.items():
            within = shard.within(environment)
            for system, tagged in systems.items():
                if newest is None or newest[environment][system] is tagged:
                    ms, tags = tagged
                    packed = _encode(TagsRecord("", ms, environment, system, sorted_tags(tags)))
                    records[within[system]].append(packed)
        for series, summed in self.series.items():
            capped = tuple([min(amount, CEILING) for amount in summed])
            counts[shard[series[1:3]]].append(_encode((*series, minute, capped)))
        for series, shown in self.exemplars.items():
            append = records[shard[series[1:3]]].append
            for rank, identity, trace_id in shown:
                append(_encode(ExemplarRecord(*series, minute, rank, trace_id, identity)))
        for number, part in self.parts(shard):
            records[number].append(_encode(part))
        self._pack_records(records, shard)
        bins.add_counts(self.tick, counts)
        bins.add_records(self.tick, records)

    def _pack_records(self, lists: Lists, shard: Shards) -> None:
        for record in self.records:
            packed = _encode(record)
            if is_for_all(record):
                for number in range(shard.shards):
                    lists[number].append(packed)
            else:
                lists[shard[record.environment, record.system]].append(packed)

    def parts(self, shard: Shards) -> Iterable[tuple[int, TracePart]]:
        """Each trace for its system's shard, and for those of budgets over several systems that its tokens count in."""
        for where, trace in self.traces.items():
            own = shard[where[:2]]
            budgets: dict[int, list[SeriesKey]] = {own: []}
            for key in trace.budgets:
                budgets.setdefault(shard[key.environment, key.system], []).append(key)
            for number, keys in sorted(budgets.items()):
                yield number, trace.part(where, keys, whole=number == own)


class Batch:
    """What one batch gained so far; `packed` gives it out by shard and tick, once."""

    def __init__(self) -> None:
        self.counted: Counter[type] = Counter()
        """Events taken in, by the types that hold them."""
        self.controls: Counter[ControlType] = Counter()
        self._places: dict[tuple[int, int], Place] = {}
        self._bins: Bins | None = None

    @property
    def places(self) -> int:
        """Minutes, by the ticks at which they count."""
        return len(self._places)

    @property
    def cells(self) -> int:
        """Cells of what is common that are not packed yet."""
        return sum(place.cells for place in self._places.values())

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

    def pack_counts(self, shard: Shards) -> None:
        """Pack what is counted so far of what is common.

        What comes later to the same series is a count beside it: sums are the same, and so is what is not common.
        """
        self._bins = self._bins or Bins(shard)
        for place in self._places.values():
            if place.cells:
                place.pack_counts(self._bins)

    def packed(self, shard: Shards) -> dict[int, dict[int, bytes]]:
        """Everything by shard and tick, each a packed delta. What is about every system goes into every shard."""
        bins, self._bins = self._bins or Bins(shard), None
        newest = self._newest()
        for place in self._places.values():
            place.pack_into(bins, newest.get(place.tick))
        return bins.packed()

    def spread(self, shard: Shards) -> dict[int, dict[int, Delta]]:
        """The same, unpacked."""
        return {
            number: {tick: unpack(blob) for tick, blob in ticks.items()} for number, ticks in self.packed(shard).items()
        }

    def _newest(self) -> dict[int, Tags]:
        """The tags of each system's newest minute, at the ticks in which several minutes count."""
        places: dict[int, list[Place]] = {}
        for place in self._places.values():
            places.setdefault(place.tick, []).append(place)
        found: dict[int, Tags] = {}
        for tick, several in places.items():
            if len(several) > 1:
                newest = found[tick] = {}
                for place in sorted(several, key=attrgetter("minute")):
                    for environment, systems in place.tags.items():
                        newest.setdefault(environment, {}).update(systems)
        return found


def add_to(cells: dict[_K, list[int]], key: _K, amounts: Sequence[int]) -> None:
    """Add amounts to the cell of a key."""
    cell = cells.get(key)
    if cell is None:
        cells[key] = list(amounts)
    else:
        for index, amount in enumerate(amounts):
            cell[index] += amount
