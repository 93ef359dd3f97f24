"""The words of the OpenAPI document that FastAPI cannot know: the bodies are read by hand."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

from schemas.events import EVENT
from stream.ingest_http.answers import Answer, Problem, Status
from stream.ingest_http.otlp_answers import JSON, PROTOBUF
from stream.ingest_http.sorting import QUERY_WORDS

INTRODUCTION: Final = (
    "Telemetry over HTTP. It is written to Kafka, and answered once every replica that must has it. Bodies may be "
    "packed with gzip. Where a token is set, send it as a bearer token."
)

_EVENT: Final[dict[str, Any]] = {"type": "object", "description": "An event, or the record of a tool that is known."}
_QUERY: Final = [
    {"name": word, "in": "query", "required": False, "schema": {"type": "string", "maxLength": 256}}
    for word in QUERY_WORDS
]

_TROUBLES: Final[dict[int, str]] = {
    400: "The body cannot be read.",
    401: "No token, or a wrong one.",
    403: "A web page sends, and there is no token.",
    408: "The body did not come in time.",
    413: "Too much at once.",
    415: "A format that is not read.",
    429: "Too much waits for Kafka; send again after Retry-After.",
    503: "Kafka does not take records; send again after Retry-After.",
}

Responses = dict[int | str, dict[str, Any]]

_PROBLEMS: Final[Responses] = {code: {"model": Problem, "description": text} for code, text in _TROUBLES.items()}
EVENTS: Final[Responses] = _PROBLEMS | {
    422: {"model": Answer | Problem, "description": "No record could be stored, each for its reason; or a wrong query."}
}
WEBHOOKS: Final[Responses] = EVENTS | {404: {"model": Problem, "description": "No such tool."}}

_BINARY: Final[dict[str, Any]] = {PROTOBUF: {"schema": {"type": "string", "format": "binary"}}}
OTLP: Final[Responses] = {
    200: {"description": "Stored, or answered.", "content": {JSON: {"schema": {"type": "object"}}, **_BINARY}},
    **{
        code: {"model": Status, "description": f"{text} A google.rpc.Status.", "content": _BINARY}
        for code, text in _TROUBLES.items()
    },
}

BODIES: Final[dict[str, dict[str, Any]]] = {
    "events": {
        "parameters": _QUERY,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]}},
                "application/x-ndjson": {"schema": {"type": "string", "description": "An event a line."}},
                "application/cloudevents+json": {"schema": {"type": "object"}},
                "application/cloudevents-batch+json": {"schema": {"type": "array", "items": {"type": "object"}}},
            },
        },
        "x-event-types": sorted(EVENT.json_schema()["discriminator"]["mapping"]),
    },
    "webhooks": {
        "parameters": _QUERY,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]}},
                "application/cloudevents+json": {"schema": {"type": "object"}},
            },
        },
    },
    "otlp": {
        "requestBody": {
            "required": True,
            "content": {
                "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
                "application/json": {"schema": {"type": "object"}},
            },
        }
    },
}


def document(app: FastAPI, *, token: bool) -> dict[str, Any]:
    """The OpenAPI document; with `token`, that one is needed."""
    made = app.openapi()
    if token:
        made["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "basic": {"type": "http", "scheme": "basic", "description": "The token is the password."},
        }
        made["security"] = [{"bearer": []}, {"basic": []}]
    return made
