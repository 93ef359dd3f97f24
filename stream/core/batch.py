"""What one batch of events gained, by the tick at which it becomes visible and the minute that it counts in.

A fold counts into the cells of a `Place`; `Batch.spread` turns that into one delta for each shard and tick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar
from zlib import crc32

from msgspec import Struct

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

UNNAMED: Final = "(unnamed)"
"""Stands for an agent or a principal that the producer left out."""

_FLOW: Final = KIND_CODE["flow"]
_FLOW_VERSION: Final = KIND_CODE["flow_version"]
_FLOW_REASON: Final = KIND_CODE["flow_reason"]
_AGENT: Final = KIND_CODE["agent"]
_DENIAL: Final = KIND_CODE["denial"]
_USAGE: Final = KIND_CODE["usage"]

_RECORDED: Final[dict[type, EventType | ControlType]] = {
    ScoreRecord: "evaluation",
    BreakerRecord: "circuit_breaker",
    DeploymentRecord: "deployment",
    SilenceRecord: "silence",
    AcknowledgementRecord: "acknowledgement",
}

Series = tuple[int, str, str, tuple[str, ...]]
"""A series as a `Count` has it: code of its kind, environment, system, dimensions."""

Shown = tuple[int, str, str | None]
"""An exemplar: rank, identity of the interaction, trace."""

_K = TypeVar("_K")


class Tagged(Struct, gc=False):
    """The newest tagged event of something."""

    tagged: NativeEvent | TracedSpan | None = None
    tagged_ms: int = NEVER

    def note_tags(self, event: NativeEvent | TracedSpan, ms: int) -> None:
        """Keep the tagged event that is the newest; of two at the same time, the one of the greater id."""
        newer = ms > self.tagged_ms
        if newer or self.tagged is None or (ms == self.tagged_ms and _identity(event) > _identity(self.tagged)):
            self.tagged, self.tagged_ms = event, ms


# The cells know their newest tagged event too: to ask for their system's at every event would cost as much as counting.


class FlowCell(Tagged, gc=False):
    """What one version of a flow gained in one place; of its escalations, how many for which reason, and exemplars."""

    interactions: int = 0
    escalations: int = 0
    failures: int = 0
    reasons: dict[str, int] | None = None
    shown: list[Shown] | None = None


class AgentCell(Tagged, gc=False):
    """What one agent gained in one place; of its denials, how many by action and principal, and exemplars."""

    requests: int = 0
    denials: int = 0
    denied: dict[tuple[str, str], int] | None = None
    shown: list[Shown] | None = None


class UsageCell(Tagged, gc=False):
    """What one agent's use of one model gained in one place; `cost` in micro-dollars."""

    requests: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0


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
    """What is visible from `tick` on and counts in `minute`. Keys of cells begin with environment and system."""

    tick: int
    minute: int
    flows: dict[tuple[str, str, str, str | None], FlowCell] = field(default_factory=dict)
    agents: dict[tuple[str, str, str], AgentCell] = field(default_factory=dict)
    usage: dict[tuple[str, str, str | None, str, str | None], UsageCell] = field(default_factory=dict)
    series: dict[Series, list[int]] = field(default_factory=dict)
    tags: dict[tuple[str, str], Tagged] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    exemplars: dict[Series, list[Shown]] = field(default_factory=dict)
    traces: dict[tuple[str, str, bytes], Trace] = field(default_factory=dict)

    def note_tags(self, event: NativeEvent | TracedSpan, ms: int) -> None:
        """The tags of an event that no cell holds."""
        where = (event.environment, event.system)
        known = self.tags.get(where)
        if known is None:
            known = self.tags[where] = Tagged()
        known.note_tags(event, ms)

    def counts(self) -> Iterator[tuple[tuple[str, str], Iterable[Count], Tagged | None]]:
        """Of whom, the counts, and the newest tagged event; a system comes as often as it has cells."""
        minute, series = self.minute, self._in_series()
        flows: dict[tuple[str, str, str], list[int]] = {}
        for (environment, system, flow, version), cell in self.flows.items():
            amounts = (cell.interactions, cell.escalations, cell.failures)
            add_to(flows, (environment, system, flow), amounts)
            counts: tuple[Count, ...] = ()
            if version is not None:
                counts = (Count(_FLOW_VERSION, environment, system, (flow, version), minute, amounts[:2]),)
            yield (environment, system), counts, cell
        for (environment, system, flow), summed in flows.items():
            yield (environment, system), (Count(_FLOW, environment, system, (flow,), minute, tuple(summed)),), None
        for (environment, system, agent), asked in self.agents.items():
            count = Count(_AGENT, environment, system, (agent,), minute, (asked.requests, asked.denials))
            yield (environment, system), (count,), asked
        for (environment, system, caller, model, pricing), used in self.usage.items():
            dims = (caller or UNNAMED, model, pricing or "payg")
            tokens = (used.input_tokens, used.cached_input_tokens, used.output_tokens)
            count = Count(_USAGE, environment, system, dims, minute, (used.requests, *tokens, used.cost))
            yield (environment, system), (count,), used
        for key, summed in series.items():
            yield key[1:3], (Count(*key, minute, tuple(summed)),), None
        for where, tagged in self.tags.items():
            yield where, (), tagged

    def _in_series(self) -> dict[Series, list[int]]:
        """`series`, and what cells hold of series of their own."""
        series = {key: list(amounts) for key, amounts in self.series.items()}
        for (environment, system, flow, _), cell in self.flows.items():
            for reason, number in (cell.reasons or {}).items():
                add_to(series, (_FLOW_REASON, environment, system, (flow, reason)), (number,))
        for (environment, system, agent), asked in self.agents.items():
            for who, number in (asked.denied or {}).items():
                add_to(series, (_DENIAL, environment, system, (agent, *who)), (number,))
        return series

    def exemplar_records(self) -> Iterator[ExemplarRecord]:
        """The exemplars of every series, of the versions of a flow together."""
        found = {series: list(shown) for series, shown in self.exemplars.items()}
        for (environment, system, flow, _), cell in self.flows.items():
            if cell.shown:
                found.setdefault((_FLOW, environment, system, (flow,)), []).extend(cell.shown)
        for (environment, system, agent), asked in self.agents.items():
            if asked.shown:
                found.setdefault((_AGENT, environment, system, (agent,)), []).extend(asked.shown)
        for series, shown in found.items():
            for rank, identity, trace_id in sorted(set(shown), key=_by_rank)[:EXEMPLARS_PER_MINUTE]:
                yield ExemplarRecord(*series, self.minute, rank, trace_id, identity)

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
    """What one batch gained so far; `spread` gives it out by shard and tick."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, int], Place] = {}

    @property
    def events(self) -> Counter[str]:
        """Events taken in, by type."""
        found: Counter[str] = Counter()
        for place in self._places.values():
            found["interaction"] += sum(cell.interactions for cell in place.flows.values())
            found["authorization"] += sum(cell.requests for cell in place.agents.values())
            found["usage"] += sum(cell.requests for cell in place.usage.values())
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

        for place in self._places.values():
            for number, part in place.parts(shard):
                bin_in(number, place.tick).records.append(part)
            bins: dict[tuple[str, str], _Bin] = {}
            for where, counts, tagged in place.counts():
                known = bins.get(where)
                if known is None:
                    known = bins[where] = bin_in(shard(*where), place.tick)
                known.take(where, counts, tagged)
            for exemplar in place.exemplar_records():
                bins[exemplar.environment, exemplar.system].records.append(exemplar)
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
    systems: dict[tuple[str, str], Tagged] = field(default_factory=dict)

    def take(self, where: tuple[str, str], counts: Iterable[Count], tagged: Tagged | None) -> None:
        self.counts.extend(counts)
        if tagged is not None and tagged.tagged is not None:
            known = self.systems.get(where)
            if known is None:
                known = self.systems[where] = Tagged()
            known.note_tags(tagged.tagged, tagged.tagged_ms)

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


def show(known: list[Shown], identity: str, trace_id: str | None) -> None:
    """Offer an exemplar. Those of the smallest rank are kept, in order, each once: a call may fail in several steps."""
    rank = crc32(identity.encode())
    if len(known) == EXEMPLARS_PER_MINUTE and rank > known[-1][0]:
        return
    shown = (rank, identity, trace_id)
    if shown not in known:
        known.append(shown)
        known.sort(key=_by_rank)
        del known[EXEMPLARS_PER_MINUTE:]


def _by_rank(shown: Shown) -> tuple[int, str, str]:
    rank, identity, trace_id = shown
    return rank, identity, trace_id or ""
