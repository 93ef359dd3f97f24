"""The formats that a record may have, in the order in which they are tried. A new one is a module and a line here.

The formats of single tools have a table of their own, in `producers`.
"""

from __future__ import annotations

from typing import Final

from schemas.words import CONTROL_TYPES, EVENT_TYPES
from stream.adapters import batches, cloudevents, foreign_scores, otlp
from stream.adapters.found import Format, Found
from stream.adapters.payload import Payload
from stream.adapters.producers import PRODUCERS
from stream.adapters.rejection import RejectedRecord

READER_FAILED: Final = "the reader of this format failed: please report it with the record"
_OWN_TYPES: Final = frozenset((*EVENT_TYPES, *CONTROL_TYPES))


def _is_native(payload: Payload) -> bool:
    said = payload.object.get("type")
    return isinstance(said, str) and said in _OWN_TYPES


def _read_native(payload: Payload) -> list[Found]:
    return [payload.object]


FORMATS: Final = (
    Format("cloudevents_binary", cloudevents.is_binary, cloudevents.read_binary),
    Format("otlp_protobuf", otlp.is_protobuf, otlp.refuse),
    Format("batch", batches.is_batch, batches.read_batch),
    Format("cloudevents_structured", cloudevents.is_structured, cloudevents.read_structured),
    Format("native", _is_native, _read_native),
    Format("otlp_json", otlp.is_json, otlp.refuse),
    *PRODUCERS,
    Format("evaluation_log_record", foreign_scores.is_log_record, foreign_scores.read_log_record),
    Format("evaluation_result_row", foreign_scores.is_result_row, foreign_scores.read_result_row),
    Format("unknown", lambda _: True, _read_native),
)
"""Those that look at headers and first bytes stand before those that need the value parsed."""


def format_of(payload: Payload) -> Format:
    """The format of a record; what no format claims is taken for an event whose type will be asked for.

    Raises:
        RejectedRecord: the record is in no format that Midwatch reads.
    """
    return next(known for known in FORMATS if known.claims(payload))


def found_in(payload: Payload) -> tuple[Format, list[Found]]:
    """The record's format, and what it holds.

    Raises:
        RejectedRecord: see `format_of` and the format's reader; also for whatever else a reader raises.
    """
    try:
        known = format_of(payload)
        return known, known.read(payload)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # A fault of a reader, not of the record alone; but no record may stop the engine.
        raise RejectedRecord("unsupported_format", f"{READER_FAILED} ({type(error).__name__})") from error
