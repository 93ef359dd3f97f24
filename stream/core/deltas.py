"""Deltas: what a batch of events adds to one shard at one tick, and their packed form in the shard's inbox.

Counts are sums, so batches may be cut anywhere. Records (deployments, breaker states, scores) carry the event's id and
are applied once however often they arrive. Exemplars and tags keep those that come first by a stated order, so that
merging batches in any order gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from schemas.series import KINDS, SeriesKey, SeriesKind
from stream.core.spans import TracePart
from stream.core.ticks import MINUTE_MS

KIND_CODE: Final[dict[SeriesKind, int]] = {kind: code for code, kind in enumerate(KINDS)}

EXEMPLARS_PER_MINUTE: Final = 2
"""Exemplars kept for each series and minute: those of the smallest rank."""

CEILING: Final = 2**48 - 1
"""Most that one counter of a series can gain or hold in one minute or one hour; what is beyond it is cut off. Absurd
amounts in valid events (one may claim 2**53 tokens) then neither stop a shard nor turn a sum over 28 days negative."""


class Count(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What one series gained in one minute. `amounts` follows `schemas.series.COUNTERS`."""

    kind: int
    environment: str
    system: str
    dims: tuple[str, ...]
    minute: int
    amounts: tuple[int, ...]

    def key(self) -> SeriesKey:
        """The series."""
        return SeriesKey(KINDS[self.kind], self.environment, self.system, self.dims)


class DeploymentRecord(msgspec.Struct, array_like=True, frozen=True, tag="d", gc=False):
    """A deployment event; `body` is its canonical JSON."""

    id: str
    ms: int
    environment: str
    system: str
    body: str


class BreakerRecord(msgspec.Struct, array_like=True, frozen=True, tag="b", gc=False):
    """A breaker's state as of `ms`."""

    id: str
    ms: int
    environment: str
    system: str
    dependency: str
    breaker: str
    instance: str
    state: str
    failure_rate: float | None


class ScoreRecord(msgspec.Struct, array_like=True, frozen=True, tag="s", gc=False):
    """One evaluation score, in thousandths of a point.

    `stratum` is its place on the grid of sampling rates, `uniform` whether it belongs to the fair sample without
    weights. `purpose` is empty where the producer does not say; scores of a burst carry their incident and interaction.
    """

    id: str
    ms: int
    environment: str
    system: str
    flow: str
    version: str
    criterion: str
    score: int
    stratum: int = 0
    uniform: bool = True
    purpose: str = ""
    incident_id: str = ""
    interaction_id: str = ""


class ExemplarRecord(msgspec.Struct, array_like=True, frozen=True, tag="x", gc=False):
    """An interaction that shows an escalation, a denial or a failed call; `rank` is a hash of its id."""

    kind: int
    environment: str
    system: str
    dims: tuple[str, ...]
    minute: int
    rank: int
    trace_id: str | None
    interaction_id: str

    def series(self) -> SeriesKey:
        """The series that it is shown for."""
        return SeriesKey(KINDS[self.kind], self.environment, self.system, self.dims)


class TagsRecord(msgspec.Struct, array_like=True, frozen=True, tag="t", gc=False):
    """The chargeback tags that a system's events carry: those of its first tagged event in its newest minute.

    `id` says nothing; earlier versions put the event's there.
    """

    id: str
    ms: int
    environment: str
    system: str
    tags: tuple[tuple[str, str], ...]

    def stands_before(self, other: TagsRecord) -> bool:
        """Whether this one counts, and not the other, which is about the same system."""
        minute, known = self.ms // MINUTE_MS, other.ms // MINUTE_MS
        return minute > known if minute != known else (self.ms, self.tags, self.id) < (other.ms, other.tags, other.id)


class SilenceRecord(msgspec.Struct, array_like=True, frozen=True, tag="q", gc=False):
    """The last word about a silence as of `ms`; `*` stands for every environment or system."""

    id: str
    ms: int
    environment: str
    system: str
    flow: str | None
    agent: str | None
    budget: str | None
    detector: str | None
    starts_ms: int
    ends_ms: int
    kind: str
    reason: str


class AcknowledgementRecord(msgspec.Struct, array_like=True, frozen=True, tag="a", gc=False):
    """Who has an incident in hand as of `ms`, or, `withdrawn`, that nobody has any longer."""

    id: str
    ms: int
    environment: str
    system: str
    incident_id: str
    by: str
    note: str | None
    withdrawn: bool


ControlRecord = SilenceRecord | AcknowledgementRecord
Record = DeploymentRecord | BreakerRecord | ScoreRecord | ExemplarRecord | TagsRecord | ControlRecord | TracePart


class Delta(msgspec.Struct, array_like=True, frozen=True):
    """All that a batch adds to one shard at one tick."""

    counts: tuple[Count, ...] = ()
    records: tuple[Record, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Delta)


def pack(delta: Delta) -> bytes:
    """The bytes that go into the inbox."""
    try:
        return _encoder.encode(delta)
    except OverflowError:  # an amount beyond 64 bits
        return _encoder.encode(merge((delta,)))


_LONG: Final = 16
_LONGER: Final = 65_536


def _array_head(length: int) -> bytes:
    """How msgpack begins an array."""
    if length < _LONG:
        return bytes((0x90 | length,))
    return b"\xdc" + length.to_bytes(2, "big") if length < _LONGER else b"\xdd" + length.to_bytes(4, "big")


def join_packed(counts: int, packed_counts: Sequence[bytes], records: int, packed_records: Sequence[bytes]) -> bytes:
    """What `pack` gives for so many counts and records that are packed already, one behind the other."""
    return b"".join((_array_head(2), _array_head(counts), *packed_counts, _array_head(records), *packed_records))


def unpack(blob: bytes) -> Delta:
    """The inverse of `pack`. Raises msgspec.DecodeError for bytes that are none of ours."""
    return _decoder.decode(blob)


def merge(deltas: Iterable[Delta]) -> Delta:
    """One delta for several: counts of the same series and minute summed, in the order of (series, minute).

    The result does not depend on the order of the input, nor on what was merged before: records are ordered by their
    own fields, each once; of exemplars and tags there are those that count. Amounts end at `CEILING`.
    """
    total = Sum()
    for delta in deltas:
        total.add(delta)
    return total.delta()


class Sum:
    """Adds deltas up, as `merge` says."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, str, str, tuple[str, ...], int], list[int]] = {}
        self._records: set[Record] = set()

    def add(self, delta: Delta) -> None:
        """Add one more."""
        sums = self._sums
        self._records.update(delta.records)
        for count in delta.counts:
            place = (count.kind, count.environment, count.system, count.dims, count.minute)
            known = sums.get(place)
            if known is None:
                sums[place] = list(count.amounts)
            else:
                for index, amount in enumerate(count.amounts):
                    known[index] += amount

    def delta(self) -> Delta:
        """What it comes to."""
        counts = tuple([Count(*place, _held(self._sums[place])) for place in sorted(self._sums)])
        return Delta(counts, tuple(sorted(_needed(self._records), key=_encoder.encode)))


def _needed(records: Iterable[Record]) -> Iterator[Record]:
    """The records without what is let go in any case: exemplars of a larger rank, tags that do not count."""
    shown: dict[tuple[int, str, str, tuple[str, ...], int], list[ExemplarRecord]] = {}
    tags: dict[tuple[str, str], TagsRecord] = {}
    for record in records:
        if isinstance(record, ExemplarRecord):
            place = (record.kind, record.environment, record.system, record.dims, record.minute)
            shown.setdefault(place, []).append(record)
        elif isinstance(record, TagsRecord):
            known = tags.setdefault((record.environment, record.system), record)
            if record.stands_before(known):
                tags[record.environment, record.system] = record
        else:
            yield record
    yield from tags.values()
    for exemplars in shown.values():
        exemplars.sort(key=_exemplar_order)
        yield from exemplars[:EXEMPLARS_PER_MINUTE]


def _exemplar_order(one: ExemplarRecord) -> tuple[int, str, str, bool]:
    return one.rank, one.interaction_id, one.trace_id or "", one.trace_id is not None


def _held(amounts: list[int]) -> tuple[int, ...]:
    """The amounts, none beyond `CEILING`."""
    return tuple(amounts) if max(amounts, default=0) <= CEILING else tuple([min(amount, CEILING) for amount in amounts])
