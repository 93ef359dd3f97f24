"""The words of the OpenAPI document that FastAPI cannot know: the bodies are read by hand."""

from __future__ import annotations

from typing import Any, Final

from schemas.events import EVENT
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
