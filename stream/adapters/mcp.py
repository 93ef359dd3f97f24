"""MCP (Model Context Protocol): calls of tools with their answers, as one record.

MCP has no form of its own for logs, so a record is the two JSON-RPC messages as they went over the wire, and what only
the transport knows: `{"request": {...}, "response": {...}, "http_status": 403, "agent": ..., "time": ...}`.

| answer | what it becomes |
|---|---|
| HTTP status 401 or 403 (the specification's own way to refuse) | deny |
| a JSON-RPC error whose code, or whose `data` by `STATUS`, is one of `DENIED` | deny |
| `result.isError` with such a code in `structuredContent` or `_meta` | deny |
| any other result | allow: the call was let through, whatever came of it |
| any other error | passed over: an unknown tool or bad arguments are no decision |

The text of an error is never searched for words: a tool's text is written for a model, and may be anybody's.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.base import JsonObject
from stream.adapters.foreign import at, event, first, moment, number, short, text, text_at
from stream.adapters.found import Found, PassedOver
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord

DENIED: Final = frozenset(
    {
        "401",
        "403",
        "unauthorized",
        "forbidden",
        "access_denied",
        "permission_denied",
        "permissiondenied",
        "insufficient_scope",
        "invalid_token",
    }
)
"""Codes of a refusal, in lower case: HTTP's, OAuth's, gRPC's."""

STATUS: Final = ("status", "statusCode", "status_code", "httpStatus", "http_status", "code", "error.code", "error")
"""Where servers put them, in `error.data`, `structuredContent` or `_meta`."""

AGENT: Final = ("agent", "agent.id", "agent.name", "client.name", "request.params._meta.agent", "client_id")
_METHOD: Final = "tools/call"
_TRACE_PARTS: Final = 4


def is_message(payload: Payload) -> bool:
    """Whether the value is a JSON-RPC message, or a request with its response."""
    plain = payload.object
    return "jsonrpc" in plain or any("jsonrpc" in part for part in _parts(plain))


def _parts(plain: JsonObject) -> list[JsonObject]:
    return [part for name in ("request", "response") if isinstance(part := plain.get(name), dict)]


def read_message(payload: Payload) -> list[Found]:
    """The decision on a call of a tool. Raises RejectedRecord, with what is missing."""
    plain = payload.object
    request = plain.get("request")
    if not isinstance(request, dict):
        raise RejectedRecord(
            "invalid_field",
            "MCP: a message alone does not say who called what; send the request and its response as one record",
        )
    method = request.get("method")
    if method != _METHOD:
        return [PassedOver("an MCP message that is no call of a tool")]
    decision = _decision(plain)
    return [PassedOver("an MCP error that is no refusal")] if decision is None else [_event(payload, plain, *decision)]


def _decision(plain: JsonObject) -> tuple[str, str | None] | None:
    """The decision and its reason; None where the answer is an error of another kind."""
    status = _code(first(plain, ("http_status", "httpStatus", "status")))
    if status in DENIED:
        return "deny", f"HTTP {status}"
    response = plain.get("response")
    error = at(response, "error")
    if isinstance(error, dict):
        code = next((code for code in (_code(error.get("code")), _denial(error.get("data"))) if code in DENIED), None)
        return ("deny", code) if code else None
    result = at(response, "result")
    if not isinstance(result, dict):
        raise RejectedRecord("invalid_field", "MCP: `response` has neither `result` nor `error`")
    if result.get("isError") is True:
        code = _denial(result.get("structuredContent")) or _denial(result.get("_meta"))
        if code:
            return "deny", code
    return "allow", None


def _denial(where: Any) -> str | None:
    """The code of a refusal in an object, by any of the names in `STATUS`."""
    codes = (_code(at(where, name)) for name in STATUS)
    return next((code for code in codes if code in DENIED), None)


def _code(value: Any) -> str | None:
    found = number(value)
    if found is not None and found == int(found):
        return str(int(found))
    said = text(value)
    return said.strip().lower().replace(" ", "_") if said else None


def _event(payload: Payload, plain: JsonObject, decision: str, reason: str | None) -> JsonObject:
    server, tool = text_at(plain, "server", "server.name"), text_at(plain, "request.params.name")
    required = {
        "time": moment(payload, first(plain, ("time", "timestamp"))),
        "environment": text_at(plain, "environment"),
        "system": text_at(plain, "system"),
        "agent": text_at(plain, *AGENT),
        "action": tool,
        "decision": decision,
    }
    optional = {
        "resource": server,
        "reason": short(reason),
        "principal": text_at(plain, "principal", "user"),
        "trace_id": text_at(plain, "trace_id") or _trace(text_at(plain, "request.params._meta.traceparent")),
        "interaction_id": text_at(plain, "interaction_id"),
    }
    return event(payload, "MCP", "authorization", required, optional)


def _trace(parent: str | None) -> str | None:
    """The trace of a W3C traceparent, which MCP carries in `_meta`."""
    parts = parent.split("-") if parent else []
    return parts[1] if len(parts) == _TRACE_PARTS else None
