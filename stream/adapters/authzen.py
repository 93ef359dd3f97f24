"""AuthZEN (OpenID Authorization API 1.0): a request to a decision point with its response, as one record.

The specification has the two as messages of HTTP; whoever logs them writes `{"request": {...}, "response": {...}}`,
with a `time` and, if they like, more beside. Requests for several decisions at once (`evaluations`) give an event for
each. A flat record with `subject`, `action` and `decision` is read as well.

The agent is `context.agent`, `context.actor`, `subject.properties.agent`, or the subject itself if it is no person: a
person for whom an agent acts is the principal, and never the name of a series.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.base import JsonObject
from stream.adapters.foreign import at, event, first, moment, short, text_at
from stream.adapters.found import Found, PassedOver
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord

AGENT: Final = (
    "context.agent",
    "context.agent.id",
    "context.actor",
    "context.actor.id",
    "subject.properties.agent",
    "subject.properties.actor",
)
PEOPLE: Final = ("user", "person", "human", "customer", "employee", "member", "group")
"""Types of subjects that are no agents."""

REASON: Final = (
    "context.reason",
    "context.reason.id",
    "context.id",
    "context.reason_admin.en",
    "context.reason_user.en",
    "context.reason_admin",
    "context.reason_user",
)
_TIMES: Final = ("time", "timestamp", "request.context.time", "context.time")
_MOST: Final = 1000


def is_decision(payload: Payload) -> bool:
    """Whether the value is a request with its response, or both in one."""
    plain = payload.object
    request = plain.get("request")
    if isinstance(request, dict) and "response" in plain:
        return isinstance(request.get("subject"), dict) or isinstance(request.get("evaluations"), list)
    return isinstance(plain.get("subject"), dict) and isinstance(plain.get("action"), dict) and "decision" in plain


def read_decision(payload: Payload) -> list[Found]:
    """The decisions. Raises RejectedRecord if the whole is none; a faulty one among several is refused alone."""
    plain = payload.object
    if not isinstance(plain.get("request"), dict):
        return [_event(payload, plain, plain, plain)]
    request, response = plain["request"], plain.get("response")
    if "evaluations" not in request:
        return [_event(payload, plain, request, response)]
    asked, answers = request["evaluations"], at(response, "evaluations")
    if not isinstance(asked, list) or not isinstance(answers, list) or len(asked) < len(answers):
        raise RejectedRecord("invalid_field", "AuthZEN: `response.evaluations` must answer `request.evaluations`")
    if len(asked) > _MOST:
        raise RejectedRecord("too_large", f"AuthZEN: {len(asked):,} decisions in a record; {_MOST:,} are read")
    return _many(payload, plain, request, list(zip(asked, answers, strict=False)))


def _many(payload: Payload, plain: JsonObject, request: JsonObject, pairs: list[tuple[Any, Any]]) -> list[Found]:
    """What the request says beside its evaluations holds for each that does not say it itself."""
    names = ("subject", "action", "resource", "context")
    shared: JsonObject = {name: request[name] for name in names if name in request}
    found: list[Found] = []
    for index, (one, answer) in enumerate(pairs):
        try:
            whole = {**shared, **one} if isinstance(one, dict) else shared
            found.append(_event(payload, plain, whole, answer))
        except RejectedRecord as rejected:
            found.append(rejected.within(f"evaluations[{index}]"))
    return found or [PassedOver("an AuthZEN request for no decision")]


def _event(payload: Payload, plain: JsonObject, request: JsonObject, response: Any) -> JsonObject:
    decision = at(response, "decision")
    if not isinstance(decision, bool):
        raise RejectedRecord("invalid_field", "AuthZEN: `decision` must be true or false")
    subject, agent = text_at(request, "subject.id"), text_at(request, *AGENT)
    if agent is None and str(at(request, "subject.type")).lower() not in PEOPLE:
        agent = subject
    kind, identity = text_at(request, "resource.type"), text_at(request, "resource.id")
    required = {
        "time": moment(payload, first(plain, _TIMES)),
        "environment": text_at(plain, "environment", "request.context.environment", "context.environment"),
        "system": text_at(plain, "system", "request.context.system", "context.system"),
        "agent": agent,
        "action": text_at(request, "action.name"),
        "decision": "allow" if decision else "deny",
    }
    optional = {
        "resource": ":".join(part for part in (kind, identity) if part),
        "reason": short(first(response, REASON)),
        "principal": subject if agent != subject else None,
        "trace_id": text_at(plain, "trace_id"),
        "interaction_id": text_at(plain, "interaction_id", "request.context.interaction_id"),
    }
    return event(payload, "AuthZEN", "authorization", required, optional)
