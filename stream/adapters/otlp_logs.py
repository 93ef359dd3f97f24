"""Scores in OpenTelemetry's logs and span events: `gen_ai.evaluation.result`.

The attributes are read by `foreign_scores`, the same as those of a flat JSON log record; what OTLP adds is whose they
are (the resource), when, and in which trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stream.adapters.foreign_scores import ATTRIBUTES, EVENT_NAME, event_of_attributes
from stream.adapters.native import Evaluation
from stream.adapters.otlp_map import Resource
from stream.adapters.rejection import RejectedRecord
from stream.core.ticks import rfc3339

EVALUATION: Final = EVENT_NAME.encode()
_MAX_MS: Final = 4_102_444_800_000


def evaluation_of(attributes: Mapping[str, Any], resource: Resource, trace_id: str, ms: int) -> Evaluation:
    """The score that a record's attributes describe. Raises RejectedRecord.

    The interaction is the trace's and has its id; the flow is the workflow's or the agent's name, else the system's.
    """
    if not 0 < ms < _MAX_MS:
        raise RejectedRecord("invalid_field", "an evaluation result without a time")
    said = {name: value for name, value in attributes.items() if name not in ("id", "time", "timestamp")}
    said |= {"environment": resource.environment, "system": resource.system, "time": rfc3339(ms)}
    if resource.version:
        said.setdefault("service.version", resource.version)
    if not any(said.get(name) for name in ATTRIBUTES["flow"]):
        said["flow"] = resource.system
    if trace_id:
        said |= {"trace_id": trace_id}
        said.setdefault("interaction_id", trace_id)
    plain = event_of_attributes(said)
    try:
        event = msgspec.convert({name: value for name, value in plain.items() if name != "type"}, Evaluation)
    except msgspec.ValidationError as error:
        raise RejectedRecord("invalid_field", f"an evaluation result: {error}") from None
    msgspec.structs.force_setattr(event, "time", ms)
    return event
