"""Takes spans in, one after another, whatever they were encoded in: checks ids and times, maps, and gathers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.base import EARLIEST, LATEST, MAX_MILLISECONDS
from schemas.words import DeadLetterReason
from stream.adapters.native import Evaluation, NativeEvent
from stream.adapters.otlp_map import Resource, SpanMapper, traced
from stream.adapters.rejection import RejectedRecord, Rejection, clip
from stream.adapters.times import milliseconds
from stream.core.spans import Role, SpanFact, TracedSpan

NANOS: Final = 1_000_000
TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8
_FIRST: Final = milliseconds(EARLIEST)
_LAST: Final = milliseconds(LATEST) - 1
_NO_SPAN: Final = b"\0" * SPAN_ID_BYTES
_NO_TRACE: Final = b"\0" * TRACE_ID_BYTES
_LIFE: Final = SpanFact(b"", b"", 0, 0, Role.NONE)
_DETAIL: Final = 200


@dataclass(frozen=True, slots=True)
class Bounds:
    """Event times that are taken, in ms: how far from the record's own time `received_ms` they may lie."""

    low: int
    high: int

    @classmethod
    def around(cls, received_ms: int, max_age_ms: int | None, max_future_ms: int | None) -> Bounds:
        """The bounds of one record; a negative `received_ms` or a limit of None sets none."""
        low = received_ms - max_age_ms if max_age_ms is not None and received_ms >= 0 else _FIRST
        high = received_ms + max_future_ms if max_future_ms is not None and received_ms >= 0 else _LAST
        return cls(max(low, _FIRST), min(high, _LAST))


MOST_PARTS: Final = 10_000
"""Most resources of one request. A real one has a few; a record could hold a million empty ones, of two bytes each."""


def check_parts(number: int) -> None:
    """Raises RejectedRecord (too_large) for a request of more than `MOST_PARTS` resources."""
    if number > MOST_PARTS:
        raise RejectedRecord("too_large", f"OTLP of {number:,} resources; {MOST_PARTS:,} are read")


@dataclass(slots=True)
class SpanTaker:
    """What one record held: `events` in its order, and how many of its parts were refused, by reason.

    Where the newest span is none of those that are kept, a sign of life (a `TracedSpan` without a trace id) bears its
    time, so that telemetry that is none of ours moves the partition's watermark all the same.
    """

    mapper: SpanMapper
    bounds: Bounds
    events: list[NativeEvent | TracedSpan] = field(default_factory=list)
    refused: dict[DeadLetterReason, tuple[int, str]] = field(default_factory=dict)
    _newest: int = 0
    _kept_newest: int = 0
    _resource: Resource | None = None

    def span(  # noqa: PLR0913  # the fields of a span
        self,
        resource: Resource,
        attributes: dict[str, Any],
        trace_id: bytes,
        span_id: bytes,
        parent: bytes,
        name: str,
        kind: int,
        flags: int,
        start_ns: int,
        end_ns: int,
        code: int,
    ) -> None:
        """Take one span in."""
        end = end_ns // NANOS
        if len(trace_id) != TRACE_ID_BYTES or len(span_id) != SPAN_ID_BYTES or trace_id == _NO_TRACE:
            self.refuse("invalid_field", "a trace id has 16 bytes and a span id 8, not all zero")
            return
        if not self._in_time(end):
            return
        if end > self._newest:
            self._newest, self._resource = end, resource
        if parent == _NO_SPAN:
            parent = b""
        start = min(max(start_ns // NANOS, end - MAX_MILLISECONDS), end)
        fact = self.mapper.fact(attributes, span_id, parent, name, kind, flags, start, end, code)
        if fact is None:
            return
        self._kept_newest = max(self._kept_newest, end)
        self.events.append(traced(resource, trace_id, fact))
        usage = self.mapper.usage(attributes, resource, trace_id, fact)
        if usage is not None:
            self.events.append(usage)

    def evaluation(self, read: Callable[[], Evaluation]) -> None:
        """Take a score in; `read` raises RejectedRecord if it is none."""
        try:
            event = read()
        except RejectedRecord as rejected:
            self.refuse(rejected.rejection.reason, rejected.rejection.detail)
            return
        if self._in_time(event.time):
            self._kept_newest = max(self._kept_newest, event.time)
            self.events.append(event)

    def alive(self, resource: Resource, ms: int) -> None:
        """Note the time of something that is none of ours."""
        if ms > self._newest and self.bounds.low <= ms <= self.bounds.high:
            self._newest, self._resource = ms, resource

    def refuse(self, reason: DeadLetterReason, detail: str) -> None:
        """Count a part that cannot be read; the first detail of each reason is kept."""
        number, first = self.refused.get(reason, (0, detail))
        self.refused[reason] = (number + 1, first)

    def _in_time(self, ms: int) -> bool:
        if self.bounds.low <= ms <= self.bounds.high:
            return True
        reason: DeadLetterReason = "future_timestamp" if ms > self.bounds.high else "ancient_timestamp"
        self.refuse(reason, "its time is too far from the record's own, or outside of the years 2000 to 2099")
        return False

    def outcomes(self) -> list[NativeEvent | TracedSpan | Rejection]:
        """Everything: the events, a sign of life if needed, and one rejection for each reason."""
        found: list[NativeEvent | TracedSpan | Rejection] = [*self.events]
        if self._newest > self._kept_newest and self._resource is not None:
            one = self._resource
            found.append(TracedSpan(self._newest, one.environment, one.system, None, b"", "", _LIFE))
        for reason, (number, detail) in self.refused.items():
            found.append(Rejection(reason, clip(f"{number} of the record's spans or logs: {detail}", 500)))
        return found
