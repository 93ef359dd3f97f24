"""resilience4j's circuit breaker events: as the actuator lists them, and as an event consumer writes them.

The actuator's `/actuator/circuitbreakerevents` is `{"circuitBreakerEvents": [{"circuitBreakerName", "type",
"creationTime", "stateTransition", ...}]}`; a consumer that serialises the event itself writes `eventType` instead of
`type`. The breaker's name is taken for the dependency that it guards, for that is how breakers are named; a header
`midwatch_dependency` says otherwise.

Only changes of state count: a successful call, an error, a call not permitted are passed over.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.base import JsonObject
from stream.adapters.foreign import event, first, moment, text_at
from stream.adapters.found import Found, PassedOver
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord, quote

STATES: Final = {
    "CLOSED": "closed",
    "OPEN": "open",
    "HALF_OPEN": "half_open",
    "FORCED_OPEN": "forced_open",
    "DISABLED": "disabled",
    "METRICS_ONLY": "metrics_only",
}
TYPE_STATES: Final = {"RESET": "closed", "FORCED_OPEN": "forced_open", "DISABLED": "disabled"}
"""Event types that name a state by themselves."""

SILENT_TYPES: Final = (
    "ERROR",
    "IGNORED_ERROR",
    "SUCCESS",
    "NOT_PERMITTED",
    "FAILURE_RATE_EXCEEDED",
    "SLOW_CALL_RATE_EXCEEDED",
)
_MANY: Final = "circuitBreakerEvents"
_BETWEEN: Final = "_TO_"
_MOST: Final = 10_000


def is_breaker_event(payload: Payload) -> bool:
    """Whether the value is the actuator's list, or one event."""
    plain = payload.object
    return isinstance(plain.get(_MANY), list) or "circuitBreakerName" in plain


def read_breaker_event(payload: Payload) -> list[Found]:
    """The changes of state. A faulty event in a list does not keep the others out."""
    events = payload.object.get(_MANY)
    if not isinstance(events, list):
        return [_read(payload, payload.object)]
    if len(events) > _MOST:
        raise RejectedRecord("too_large", f"resilience4j: {len(events):,} events in a record; {_MOST:,} are read")
    found: list[Found] = []
    for index, plain in enumerate(events):
        try:
            found.append(_read(payload, plain))
        except RejectedRecord as rejected:
            found.append(rejected.within(f"{_MANY}[{index}]"))
    return found or [PassedOver("an empty list of resilience4j")]


def _read(payload: Payload, plain: Any) -> Found:
    if not isinstance(plain, dict):
        raise RejectedRecord("not_an_object", "resilience4j: an event is a JSON object")
    kind = first(plain, ("type", "eventType"))
    if kind in SILENT_TYPES:
        return PassedOver(f"resilience4j {kind}")
    return _breaker(payload, plain, *_states(kind, plain.get("stateTransition")))


def _states(kind: Any, transition: Any) -> tuple[str, str | None]:
    """The state, and the one before if it is said."""
    if kind == "STATE_TRANSITION":
        before, between, after = transition.partition(_BETWEEN) if isinstance(transition, str) else ("", "", "")
        if not between or before not in STATES or after not in STATES:
            shown = quote(transition) if isinstance(transition, str) else "no text"
            raise RejectedRecord(
                "invalid_field", f"resilience4j: `stateTransition` is {shown}, not of the form CLOSED_TO_OPEN"
            )
        return STATES[after], STATES[before]
    if isinstance(kind, str) and kind in TYPE_STATES:
        return TYPE_STATES[kind], None
    shown = quote(kind) if isinstance(kind, str) else "no text"
    raise RejectedRecord("unsupported_format", f"resilience4j: event type {shown} is not known")


def _breaker(payload: Payload, plain: JsonObject, state: str, before: str | None) -> JsonObject:
    name = text_at(plain, "circuitBreakerName")
    required = {
        "time": moment(payload, plain.get("creationTime")),
        "environment": text_at(plain, "tags.environment"),
        "system": text_at(plain, "tags.system"),
        "dependency": text_at(plain, "tags.dependency") or name,
        "state": state,
    }
    instance = payload.header("midwatch_instance") or text_at(plain, "tags.instance")
    optional = {"breaker": name, "instance": instance, "previous_state": before}
    return event(payload, "resilience4j", "circuit_breaker", required, optional)
