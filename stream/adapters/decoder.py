"""Records to events: a fast way in for Midwatch's own JSON, a careful one for everything else.

A record is first read as a native event, whatever its headers say: a value that is one whole valid event can mean
nothing else. What that refuses is read again with care: its format is detected, unknown fields are dropped and counted,
and if it is still no event, the contract's models say why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from schemas.base import JsonObject
from stream.adapters.explain import check_age, check_type, explain
from stream.adapters.formats import read_events
from stream.adapters.native import NativeEvent
from stream.adapters.payload import Headers, Payload, without_registry_prefix
from stream.adapters.rejection import RejectedRecord, Rejection
from stream.adapters.times import MINUTE_CHARACTERS, TimeReader
from stream.adapters.unknown import SHAPES, UnknownFields, drop_unknown

_NO_BOUND: Final = 2**62

Record = tuple[bytes | None, Headers, int]
"""Value, headers, and the record's timestamp in ms, negative if it has none."""

Outcome = NativeEvent | Rejection


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


@dataclass(slots=True)
class Counters:
    """What was passed over without a dead letter."""

    tombstones: int = 0
    unknown_fields: UnknownFields = field(default_factory=UnknownFields)


@dataclass(slots=True)
class Decoded:
    """A batch, decoded. `events[i]` came from the record at `positions[i]` of the batch; positions never decrease."""

    events: list[NativeEvent] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    rejections: list[tuple[int, Rejection]] = field(default_factory=list)


class Decoder:
    """Decodes records of any format and any event type. Raises nothing on data. Not for use by two threads at once."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self.limits = limits
        self.counters = Counters()
        self._times = TimeReader()
        self._decode = msgspec.json.Decoder(NativeEvent).decode
        self._newest_lag = limits.max_age_ms if limits.max_age_ms is not None else _NO_BOUND
        self._oldest_lag = -limits.max_future_ms if limits.max_future_ms is not None else -_NO_BOUND

    def decode(self, value: bytes | None, headers: Headers, received_ms: int) -> NativeEvent | Rejection | None:
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
            try:
                if value is not None and len(value) <= max_bytes:
                    event = decode(value)
                    text = event.time
                    time = minutes[text[:MINUTE_CHARACTERS]] + endings[text[MINUTE_CHARACTERS:]]
                    if oldest_lag <= received_ms - time <= newest_lag:
                        set_time(event, "time", time)
                        add_event(event)
                        add_position(position)
                        continue
            except (msgspec.MsgspecError, LookupError, ValueError, RecursionError):
                pass
            self._add_carefully(batch, position, value, headers, received_ms)
        return batch

    def _add_carefully(
        self, batch: Decoded, position: int, value: bytes | None, headers: Headers, received_ms: int
    ) -> None:
        if value is None:
            self.counters.tombstones += 1
            return
        for outcome in self._read(value, headers, received_ms):
            if isinstance(outcome, Rejection):
                batch.rejections.append((position, outcome))
            else:
                batch.events.append(outcome)
                batch.positions.append(position)

    def _read(self, value: bytes, headers: Headers, received_ms: int) -> list[Outcome]:
        limits = self.limits
        if len(value) > limits.max_bytes:
            detail = f"the value has {len(value):,} bytes; at most {limits.max_bytes:,} are read"
            return [Rejection("too_large", detail)]
        try:
            return [self._native(without_registry_prefix(value), received_ms)]
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        try:
            found = read_events(Payload(value, headers, limits.max_depth))
        except RejectedRecord as rejected:
            return [rejected.rejection]
        return [self._event(plain, received_ms) for plain in found]

    def _event(self, plain: JsonObject, received_ms: int) -> Outcome:
        """The event that `plain` is. Unknown fields are taken out of it."""
        try:
            event_type = check_type(plain)
        except RejectedRecord as rejected:
            return rejected.rejection
        dropped = drop_unknown(plain, SHAPES[event_type])
        try:
            outcome = self._native(msgspec.json.encode(plain), received_ms)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            return explain(plain)
        if dropped and not isinstance(outcome, Rejection):
            self.counters.unknown_fields.add(event_type, dropped)
        return outcome

    def _native(self, value: bytes, received_ms: int) -> Outcome:
        """The native event in `value`. Raises what msgspec raises, or ValueError for a time that is none."""
        event: NativeEvent = self._decode(value)
        time = self._times.read(str(event.time))
        rejection = check_age(time, received_ms, self.limits.max_future_ms, self.limits.max_age_ms)
        if rejection is not None:
            return rejection
        msgspec.structs.force_setattr(event, "time", time)
        return event
