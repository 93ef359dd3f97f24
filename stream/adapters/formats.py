"""The formats that a record may have, in the order in which they are tried. A new one is a module and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from schemas.base import JsonObject
from stream.adapters import cloudevents, foreign_scores, otlp
from stream.adapters.payload import Payload


@dataclass(frozen=True, slots=True)
class Format:
    """One format: whether a record is in it, and the events inside, in Midwatch's own JSON shape.

    Either function may raise `RejectedRecord`; then that is the answer.
    """

    name: str
    claims: Callable[[Payload], bool]
    read: Callable[[Payload], list[JsonObject]]


FORMATS: Final = (
    Format("cloudevents_binary", cloudevents.is_binary, cloudevents.read_binary),
    Format("otlp_protobuf", otlp.is_protobuf, otlp.read),
    Format("cloudevents_structured", cloudevents.is_structured, cloudevents.read_structured),
    Format("otlp_json", otlp.is_json, otlp.read),
    Format("evaluation_log_record", foreign_scores.is_log_record, foreign_scores.read_log_record),
    Format("evaluation_result_row", foreign_scores.is_result_row, foreign_scores.read_result_row),
    Format("native", lambda _: True, lambda payload: [payload.object]),
)
"""Those that look at headers and first bytes stand before those that need the value parsed."""


def read_events(payload: Payload) -> list[JsonObject]:
    """The events in a record, in Midwatch's own JSON shape, not yet validated.

    Raises:
        RejectedRecord: the record is in no format that Midwatch reads.
    """
    return next(known for known in FORMATS if known.claims(payload)).read(payload)
