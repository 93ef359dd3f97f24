"""Polly's telemetry (version 8): the log record "Resilience event occurred", as .NET's loggers write it in JSON.

Polly names the event `EventName` and where it came from `Source`, "pipeline/instance/strategy". Where these two stand
depends on the logger: at the top (Serilog's compact form), in `State` (the JSON console), in `Properties` (Serilog) or
in `attributes` (an OpenTelemetry log written as JSON). The pipeline's name is taken for the dependency that it guards;
a header `midwatch_dependency` says otherwise.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.base import JsonObject
from stream.adapters.foreign import event, first, moment, short, text_at
from stream.adapters.found import Found, PassedOver
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord, quote

STATES: Final = {"OnCircuitOpened": "open", "OnCircuitClosed": "closed", "OnCircuitHalfOpened": "half_open"}
SILENT_EVENTS: Final = (
    "OnRetry",
    "OnHedging",
    "OnTimeout",
    "OnFallback",
    "OnRateLimiterRejected",
    "ExecutionAttempt",
    "PipelineExecuting",
    "PipelineExecuted",
    "OnPipelineReload",
    "Chaos.OnFault",
    "Chaos.OnOutcome",
    "Chaos.OnLatency",
    "Chaos.OnBehavior",
)
_PLACES: Final = ("", "State.", "Properties.", "attributes.", "Attributes.")
_EVENT: Final = tuple(f"{place}EventName" for place in _PLACES)
_TIMES: Final = ("@t", "Timestamp", "timestamp", "time", "@timestamp")
_CATEGORY: Final = ("Category", "SourceContext", "Properties.SourceContext")
_NULL: Final = "(null)"
"""How Polly writes a name that was not given."""


def is_resilience_event(payload: Payload) -> bool:
    """Whether the value is a log record of Polly's: an event with a source, or the category "Polly"."""
    plain = payload.object
    return _field(plain, "Source") is not None and (
        isinstance(first(plain, _EVENT), str) or first(plain, _CATEGORY) == "Polly"
    )


def read_resilience_event(payload: Payload) -> list[Found]:
    """The breaker's new state. Raises RejectedRecord, with what is missing."""
    plain = payload.object
    name = first(plain, _EVENT)
    if name in SILENT_EVENTS:
        return [PassedOver(f"Polly {name}")]
    if not isinstance(name, str) or name not in STATES:
        shown = quote(name) if isinstance(name, str) else "no text"
        raise RejectedRecord("unsupported_format", f"Polly: `EventName` is {shown}, not one that is known")
    return [_breaker(payload, plain, STATES[name])]


def _breaker(payload: Payload, plain: JsonObject, state: str) -> JsonObject:
    source = _field(plain, "Source")
    parts = source.split("/") if isinstance(source, str) else []
    pipeline, instance, strategy = (part if part != _NULL else None for part in (*parts[:3], "", "", "")[:3])
    required = {
        "time": moment(payload, first(plain, _TIMES)),
        "environment": _field(plain, "Environment"),
        "system": _field(plain, "System"),
        "dependency": pipeline or strategy,
        "state": state,
    }
    where = payload.header("midwatch_instance") or instance or text_at(plain, "MachineName", "Properties.MachineName")
    optional = {"breaker": strategy, "instance": where, "reason": short(_field(plain, "Result"))}
    return event(payload, "Polly", "circuit_breaker", required, optional)


def _field(plain: JsonObject, name: str) -> Any:
    return text_at(plain, *(f"{place}{name}" for place in _PLACES))
