"""Records to events: a fast way in for Midwatch's own JSON, a careful one for everything else.

A record is first read as a native event, whatever its headers say: a value that is one whole valid event can mean
nothing else. What that refuses is read again with care: its format is detected, unknown fields are dropped and counted,
and if it is still no event, the contract's models say why.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, Protocol, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.base import JsonObject
from stream.adapters.explain import check_age, check_type, explain, explain_time
from stream.adapters.formats import found_in
from stream.adapters.found import Found, PassedOver, bounded
from stream.adapters.native import NativeEvent
from stream.adapters.otlp import OtlpReader
from stream.adapters.otlp_take import Bounds
from stream.adapters.packed import gunzip, is_gzip
from stream.adapters.payload import Headers, Origin, Payload, without_registry_prefix
from stream.adapters.rejection import RejectedRecord, Rejection
from stream.adapters.times import INVALID, MINUTE_CHARACTERS, TimeReader
from stream.adapters.unknown import SHAPES, UnknownFields, drop_unknown
from stream.core.spans import TracedSpan

_NO_BOUND: Final = 2**62

# All that msgspec raises on bytes that are no event: text that is not UTF-8 is a ValueError.
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)

Record = tuple[bytes | None, Headers, int]
"""Value, headers, and the record's timestamp in ms, negative if it has none."""



class KafkaRecord(Protocol):
    """The same as an object; `timestamp` in milliseconds. The Kafka client's records are such."""

    @property
    def timestamp(self) -> int:
        """The record's own time."""
        ...

    @property
    def value(self) -> bytes | None:
        """The event; None for a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Its headers, in order."""
        ...


Foldable = NativeEvent | TracedSpan
"""What a record may hold that counts."""

Outcome = Foldable | Rejection


@dataclass(frozen=True, slots=True)
class Limits:
    """What a record may be.

    Attributes:
        max_bytes: longest value; the largest event that the contract allows fits.
        max_depth: deepest nesting of objects and arrays, unknown fields included.
        max_future_ms: how far an event time may lie after the record's own timestamp; None for any (replay).
        max_age_ms: how far before; None for any.
    """

    max_bytes: int = 2 * 1024 * 1024
    max_depth: int = 64
    max_future_ms: int | None = 5 * 60_000
    max_age_ms: int | None = 28 * 86_400_000


_DEFAULT_LIMITS: Final = Limits()
_NO_ORIGIN: Final = Origin()


@dataclass(slots=True)
class Counters:
    """What was passed over without a dead letter."""

    tombstones: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    """Parts of other tools' records that say nothing Midwatch keeps, by the format's name."""
    unknown_fields: UnknownFields = field(default_factory=UnknownFields)


@dataclass(slots=True)
class Decoded:
    """A batch, decoded. `events[i]` came from the record at `positions[i]` of the batch; positions never decrease."""

    events: list[Foldable] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    rejections: list[tuple[int, Rejection]] = field(default_factory=list)

    def add(self, position: int, outcomes: Iterable[Outcome]) -> None:
        """What the record at `position` held."""
        for outcome in outcomes:
            if isinstance(outcome, Rejection):
                self.rejections.append((position, outcome))
            else:
                self.events.append(outcome)
                self.positions.append(position)


@dataclass(slots=True)
class Columns:
    """A batch, decoded for the fold: `times[i]` is the time of `events[i]`, whose own field may still hold its text."""

    events: list[Foldable]
    times: NDArray[np.int64]
    rejections: list[tuple[int, Rejection]]


def _merged(
    events: Sequence[Foldable],
    times: NDArray[np.int64],
    positions: NDArray[np.int64],
    outcomes: Mapping[int, Sequence[Outcome]],
) -> Columns:
    """The plain events, each from the record at its of the ascending `positions`, and the outcomes of other records.

    Both in the order of the records; a plain event whose record has an outcome of its own is left out.
    """
    merged = Columns([], np.zeros(0, np.int64), [])
    columns, done = [], 0
    for position in sorted(outcomes):
        upto = int(np.searchsorted(positions, position))
        held = Decoded()
        held.add(position, outcomes[position])
        merged.events += [*events[done:upto], *held.events]
        merged.rejections += held.rejections
        columns += [times[done:upto], np.fromiter(map(_TIME, held.events), np.int64, len(held.events))]
        done = upto + (upto < len(positions) and int(positions[upto]) == position)
    merged.events += events[done:]
    merged.times = np.concatenate([*columns, times[done:]])
    return merged


_VALUE: Final = attrgetter("value")
_TIME: Final = attrgetter("time")
_TIMESTAMP: Final = attrgetter("timestamp")


class Decoder:
    """Decodes records of any format and any event type. Raises nothing on data. Not for use by two threads at once.

    `origin` says whose the records of other tools are that do not say it themselves. With an `otlp` reader, OTLP
    records are read too, and their spans are among the events; without one, which is for those that want events alone,
    they are refused.
    """

    def __init__(
        self, limits: Limits = _DEFAULT_LIMITS, origin: Origin = _NO_ORIGIN, otlp: OtlpReader | None = None
    ) -> None:
        self.limits = limits
        self.origin = origin
        self._otlp = otlp
        self.counters = Counters()
        self._times = TimeReader()
        # Typed by hand: until `_timed` or `decode_batch` has put the number there, the event's time is text.
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(NativeEvent).decode
        self._newest_lag = limits.max_age_ms if limits.max_age_ms is not None else _NO_BOUND
        self._oldest_lag = -limits.max_future_ms if limits.max_future_ms is not None else -_NO_BOUND

    def decode(self, value: bytes | None, headers: Headers, received_ms: int) -> Outcome | None:
        """The event in a record, or why there is none, or None for a tombstone (a null value).

        Raises:
            ValueError: the record holds several events; `decode_batch` reads those.
        """
        batch = self.decode_batch([(value, headers, received_ms)])
        outcomes: list[Outcome] = [*batch.events, *(rejection for _, rejection in batch.rejections)]
        if len(outcomes) > 1:
            raise ValueError(f"the record holds {len(outcomes)} events; use decode_batch")
        return outcomes[0] if outcomes else None

    def decode_batch(self, records: Iterable[Record]) -> Decoded:
        """The events and rejections of many records, in their order. A record may hold none, one or several events."""
        batch = Decoded()
        add_event, add_position = batch.events.append, batch.positions.append
        decode, set_time = self._decode, msgspec.structs.force_setattr
        minutes, endings = self._times.minutes, self._times.endings
        oldest_lag, newest_lag, max_bytes = self._oldest_lag, self._newest_lag, self.limits.max_bytes
        for position, (value, headers, received_ms) in enumerate(records):
            if value is None or len(value) > max_bytes:
                batch.add(position, self._unread(value))
                continue
            try:
                event = decode(value)
            except _UNREADABLE:
                batch.add(position, self._read_carefully(value, headers, received_ms))
                continue
            text = event.time
            try:
                time = minutes[text[:MINUTE_CHARACTERS]] + endings[text[MINUTE_CHARACTERS:]]
            except KeyError:
                batch.add(position, [self._timed(event, received_ms)])
                continue
            if oldest_lag <= received_ms - time <= newest_lag:
                set_time(event, "time", time)
                add_event(event)
                add_position(position)
            else:
                batch.add(position, [self._timed(event, received_ms)])
        return batch

    def decode_columns(self, records: Sequence[KafkaRecord], now_ms: int | None = None) -> Columns:
        """What `decode_batch` finds in the records, with the times in a column: nothing is done event by event.

        With `now_ms`, no record counts as received later than that. It pays from some hundred records on, and is
        fastest where one call's events fit the processor's cache: a thousand or so.
        """
        received = np.fromiter(map(_TIMESTAMP, records), np.int64, len(records))
        if now_ms is not None:
            received = np.where((received >= 0) & (received < now_ms), received, now_ms)
        events, refused = self._plain_events(records)
        times = self._times.read_many(list(map(_TIME, events)))
        lags = (np.delete(received, refused) if refused else received) - times
        far = np.flatnonzero((lags < self._oldest_lag) | (lags > self._newest_lag) | (times == INVALID))
        if not refused and not len(far):
            return Columns(events, times, [])
        positions = np.delete(np.arange(len(records)), refused)
        outcomes = {p: self._refused(records[p], int(received[p])) for p in refused}
        for index in far.tolist():
            position = int(positions[index])
            outcomes[position] = [self._timed(events[index], int(received[position]))]
        return _merged(events, times, positions, outcomes)

    def _plain_events(self, records: Sequence[KafkaRecord]) -> tuple[list[Any], list[int]]:
        """The records that are native events as they stand, decoded, and the positions of those that are not."""
        values: list[bytes | None] = list(map(_VALUE, records))
        longest = self.limits.max_bytes
        try:
            unfit = max(map(len, values), default=0) > longest  # type: ignore[arg-type]
        except TypeError:  # a null value
            unfit = True
        if unfit:
            values = [value if value is not None and len(value) <= longest else b"" for value in values]
        events: list[Any] = []
        refused: list[int] = []
        decoded = map(self._decode, cast("list[bytes]", values))
        while True:
            try:
                # A failure leaves in the list what came before it, and the iterator behind what failed.
                events.extend(decoded)
            except _UNREADABLE:
                refused.append(len(events) + len(refused))
            else:
                return events, refused

    def _refused(self, record: KafkaRecord, received_ms: int) -> list[Outcome]:
        """What is in a record that the fast decoder did not take, or was not given."""
        value = record.value
        if value is None or len(value) > self.limits.max_bytes:
            return self._unread(value)
        return self._read_carefully(value, record.headers, received_ms)

    def _unread(self, value: bytes | None) -> list[Outcome]:
        if value is None:
            self.counters.tombstones += 1
            return []
        detail = f"the value has {len(value):,} bytes; at most {self.limits.max_bytes:,} are read"
        return [Rejection("too_large", detail)]

    def _timed(self, event: Any, received_ms: int) -> Outcome:
        """The event with its time as a number, or why that time will not do."""
        text = event.time
        try:
            time = self._times.read(text)
        except ValueError:
            return explain_time(text)
        too_far = check_age(time, received_ms, self.limits.max_future_ms, self.limits.max_age_ms)
        if too_far is not None:
            return too_far
        msgspec.structs.force_setattr(event, "time", time)
        return cast("NativeEvent", event)

    def _read_carefully(self, value: bytes, headers: Headers, received_ms: int) -> list[Outcome]:
        """What is in a record that is no native event as it stands."""
        try:
            content = without_registry_prefix(value)
            if is_gzip(content):
                content = gunzip(content, self.limits.max_bytes)
            if content is not value:
                with contextlib.suppress(*_UNREADABLE):
                    return [self._timed(self._decode(content), received_ms)]
            spans = self._spans(content, received_ms)
            if spans is not None:
                return spans
            payload = Payload(content, headers, self.limits.max_depth, received_ms, self.origin)
            known, found = found_in(payload)
        except RejectedRecord as rejected:
            return [rejected.rejection]
        outcomes = [self._outcome(one, known.name, received_ms) for one in found]
        read: list[Outcome] = [outcome for outcome in outcomes if outcome is not None]
        return bounded(read)

    def _spans(self, content: bytes, received_ms: int) -> list[Outcome] | None:
        """What is in an OTLP record, if it is one and such are read here."""
        if self._otlp is None:
            return None
        bounds = Bounds.around(received_ms, self.limits.max_age_ms, self.limits.max_future_ms)
        found = self._otlp.read(content, bounds)
        return None if found is None else [*found]

    def _outcome(self, found: Found, format_name: str, received_ms: int) -> Outcome | None:
        if isinstance(found, PassedOver):
            self.counters.passed_over[format_name] += 1
            return None
        return found if isinstance(found, Rejection) else self._event(found, received_ms)

    def _event(self, plain: JsonObject, received_ms: int) -> Outcome:
        """The event that `plain` is. Unknown fields are taken out of it, and counted if the rest is an event."""
        try:
            event_type = check_type(plain)
        except RejectedRecord as rejected:
            return rejected.rejection
        dropped = drop_unknown(plain, SHAPES[event_type])
        try:
            event = self._decode(msgspec.json.encode(plain))
        except (*_UNREADABLE, OverflowError):
            return explain(plain)
        outcome = self._timed(event, received_ms)
        if dropped and outcome is event:
            self.counters.unknown_fields.add(event_type, dropped)
        return outcome
