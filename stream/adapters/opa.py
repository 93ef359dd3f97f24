"""OPA's decision logs: one decision a record, or many as the JSON array (gzipped or not) that OPA uploads.

A policy may answer anything; a decision is a boolean result, or an object with one under `ALLOWED`. An undefined result
(none at all) of a rule that is named like a decision is a denial, as OPA's integrations take it. Answers of other
policies are passed over. Which fields of the input name agent and action is the policy author's choice: the tables
below list the usual ones, headers `midwatch_agent` and `midwatch_system` say otherwise.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.base import JsonObject
from stream.adapters.foreign import at, event, first, moment, short, text_at
from stream.adapters.found import Found, PassedOver
from stream.adapters.payload import Payload

AGENT: Final = (
    "input.agent",
    "input.agent.id",
    "input.agent.name",
    "input.context.agent",
    "input.client_id",
    "input.service",
    "input.attributes.source.principal",
)
"""Names of programs; a user is a principal, and never the name of a series."""

AGENT_TYPES: Final = ("agent", "service", "workload", "client", "application", "bot")
SUBJECTS: Final = ("input.subject", "input.principal")
"""A subject is the agent if its `type` is one of these."""

PRINCIPAL: Final = (
    "input.principal.id",
    "input.principal",
    "input.user.id",
    "input.user",
    "input.subject.id",
    "input.subject",
)
ACTION: Final = (
    "input.action.name",
    "input.action",
    "input.tool",
    "input.operation",
    "input.method",
    "input.attributes.request.http.method",
)
RESOURCE: Final = (
    "input.resource.id",
    "input.resource",
    "input.object",
    "input.path",
    "input.attributes.request.http.path",
)
ALLOWED: Final = ("allow", "allowed", "decision", "permit", "permitted", "result.allowed")
REASON: Final = ("reason", "reasons.0", "message", "messages.0", "deny.0", "code", "status.reason")
DECISION_RULES: Final = ("allow", "allowed", "authz", "authorize", "authorized", "decision", "permit")
_WORDS: Final = {"true": True, "allow": True, "allowed": True, "false": False, "deny": False, "denied": False}


def is_decision_log(payload: Payload) -> bool:
    """Whether the value is a decision of OPA's, by its id and what was asked."""
    plain = payload.object
    return "decision_id" in plain and ("path" in plain or "query" in plain or "labels" in plain)


def read_decision_log(payload: Payload) -> list[Found]:
    """The decision. Raises RejectedRecord, with what is missing."""
    plain = payload.object
    if plain.get("error") is not None:
        return [PassedOver("an OPA decision that failed")]
    allowed = _allowed(plain)
    if allowed is None:
        return [PassedOver("an OPA result that is no decision")]
    return [_event(payload, plain, allowed=allowed)]


def _allowed(plain: JsonObject) -> bool | None:
    if "result" not in plain:
        rule = str(plain.get("path") or "").rstrip("/").rpartition("/")[2]
        return False if rule in DECISION_RULES else None
    result = plain["result"]
    return _boolean(first(result, ALLOWED)) if isinstance(result, dict) else _boolean(result)


def _boolean(value: Any) -> bool | None:
    """A boolean, also one written as text, as OPA's own documentation shows it."""
    if isinstance(value, bool):
        return value
    return _WORDS.get(value.lower()) if isinstance(value, str) and len(value) < 8 else None


def _subject(plain: JsonObject) -> str | None:
    typed = (place for place in SUBJECTS if str(at(plain, f"{place}.type")).lower() in AGENT_TYPES)
    return next((found for place in typed if (found := text_at(plain, f"{place}.id"))), None)


def _event(payload: Payload, plain: JsonObject, *, allowed: bool) -> JsonObject:
    agent, principal = text_at(plain, *AGENT) or _subject(plain), text_at(plain, *PRINCIPAL)
    method, path = text_at(plain, *ACTION), at(plain, "input.path")
    resource = "/" + "/".join(map(str, path)) if isinstance(path, list) else text_at(plain, *RESOURCE)
    required = {
        "time": moment(payload, plain.get("timestamp")),
        "environment": text_at(plain, "labels.environment", "labels.env"),
        "system": text_at(plain, "labels.system", "labels.app"),
        "agent": agent,
        "action": method,
        "decision": "allow" if allowed else "deny",
    }
    optional = {
        "resource": short(resource),
        "reason": short(first(plain.get("result"), REASON)) or (None if allowed else short(plain.get("path"))),
        "principal": principal if principal != agent else None,
        "trace_id": text_at(plain, "trace_id", "labels.trace_id"),
    }
    identity = text_at(plain, "decision_id")
    unique = identity if identity and len(identity) <= 128 else None
    return event(payload, "OPA", "authorization", required, optional, unique)
