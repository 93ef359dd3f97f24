"""OTLP from an OpenTelemetry collector: spans and logs, protobuf and JSON, told apart by their bytes.

What a record holds becomes spans for the traces that the engine puts together (`stream.core.traces`), `usage` events of
model calls, and `evaluation` events. Where nobody puts traces together, OTLP is refused with a clear answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from costs.tags import CHARGEBACK_TAGS
from stream.adapters import otlp_json, otlp_wire
from stream.adapters.found import Found
from stream.adapters.native import NativeEvent
from stream.adapters.otlp_map import Names, SpanMapper
from stream.adapters.otlp_names import ENVIRONMENT, SYSTEM, VERSION
from stream.adapters.otlp_rules import DEFAULT_RULES, Rule, RuleTable
from stream.adapters.otlp_take import Bounds, SpanTaker
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord, Rejection
from stream.core.spans import TracedSpan

DEFAULT_NAMES = Names(ENVIRONMENT, SYSTEM, VERSION, CHARGEBACK_TAGS, "unknown", "unknown_service")
"""Whose telemetry it is, by the conventions' own names."""


class OtlpReader:
    """Reads OTLP records by a table of names and a table of rules."""

    def __init__(self, names: Names = DEFAULT_NAMES, rules: Iterable[Rule] = DEFAULT_RULES) -> None:
        self._names = names
        self._mapper = SpanMapper(RuleTable(rules))

    def read(self, value: bytes, bounds: Bounds) -> list[NativeEvent | TracedSpan | Rejection] | None:
        """What a value holds, in its order; None if it is no OTLP."""
        taker = SpanTaker(self._mapper, bounds)
        try:
            if not self._take(value, taker):
                return None
        except RejectedRecord as rejected:
            return [rejected.rejection]
        return taker.outcomes()

    def _take(self, value: bytes, taker: SpanTaker) -> bool:
        if otlp_wire.is_request(value):
            # Importing protobuf's classes takes a while, and most engines and commands never need them.
            from stream.adapters import otlp_proto

            signal = otlp_wire.signal_of(value)
            if signal == "metrics":
                raise RejectedRecord("unsupported_format", "OTLP metrics; spans and logs are read")
            read = otlp_proto.read_traces if signal == "traces" else otlp_proto.read_logs
            read(value, self._names, taker)
            return True
        return otlp_json.is_request(value) and otlp_json.read(value, self._names, taker)


def is_protobuf(payload: Payload) -> bool:
    """Whether the value is an export request in protobuf, by its outermost fields."""
    return otlp_wire.is_request(payload.value)


def is_json(payload: Payload) -> bool:
    """Whether the value is an export request in JSON."""
    return any(root in payload.object for root in otlp_json.ROOTS)


def refuse(payload: Payload) -> list[Found]:
    """Refused, with what it is and how long."""
    raise RejectedRecord("unsupported_format", f"OTLP ({len(payload.value):,} bytes) is not read here")
