"""The contract for programs: a JSON Schema of each event and answer, and one AsyncAPI 3.0 document of the topics.

All are generated from the models. Inputs and answers alike are described as a reader may meet them: fields that are
None are left out of what Midwatch writes, so they are optional here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.actions import ActionTaken
from schemas.base import JsonObject
from schemas.controls import CONTROL_MODELS
from schemas.cost_reports import CostReport
from schemas.events import EVENT, Authorization, CircuitBreaker, Deployment, Evaluation, EventBase, Interaction, Usage
from schemas.feedback import Feedback
from schemas.outputs import DeadLetter, Firing, Heartbeat, Undelivered, Verdict
from schemas.words import (
    ACTIONS_TOPIC,
    CONTROLS_TOPIC,
    DEAD_LETTERS_TOPIC,
    FEEDBACK_TOPIC,
    FIRINGS_TOPIC,
    HEARTBEATS_TOPIC,
    OTLP_TOPICS,
    REPORTS_TOPIC,
    SNAPSHOTS_TOPIC,
    TOPIC_OF_TYPE,
    UNDELIVERED_TOPIC,
    VERDICTS_TOPIC,
    EventType,
)

CONTRACT_VERSION: Final = "0.1.0"
"""Version of the contract: the last number for words, the middle for additions, the first for breaks."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

EVENT_MODELS: Final[dict[EventType, type[EventBase]]] = {
    "interaction": Interaction,
    "authorization": Authorization,
    "circuit_breaker": CircuitBreaker,
    "evaluation": Evaluation,
    "deployment": Deployment,
    "usage": Usage,
}

ANSWER_MODELS: Final[dict[str, tuple[type[BaseModel], str, str]]] = {
    "verdict": (
        Verdict,
        VERDICTS_TOPIC,
        "The incident's id, so that its revisions are in order.",
    ),
    "firing": (Firing, FIRINGS_TOPIC, "The firing's id."),
    "dead_letter": (DeadLetter, DEAD_LETTERS_TOPIC, "The refused record's topic/partition/offset."),
    "heartbeat": (Heartbeat, HEARTBEATS_TOPIC, "shard- and its number, behind namespace/ if not midwatch."),
    "cost_report": (CostReport, REPORTS_TOPIC, "cost- and the quarter."),
    "undelivered": (Undelivered, UNDELIVERED_TOPIC, "The sink's name and the verdict's topic/partition/offset."),
    "action": (ActionTaken, ACTIONS_TOPIC, "The incident's id."),
}
"""By name: the model, its topic, and what the record's key is."""

SAID_BY_HUMANS: Final[dict[str, tuple[type[BaseModel], str, str]]] = {
    "silence": (CONTROL_MODELS["silence"], CONTROLS_TOPIC, "The silence's id: the last word about it is kept."),
    "acknowledgement": (CONTROL_MODELS["acknowledgement"], CONTROLS_TOPIC, "The incident's id."),
    "approval": (
        CONTROL_MODELS["approval"],
        CONTROLS_TOPIC,
        "The idempotency key; halt/environment/system of a standing refusal.",
    ),
    "feedback": (Feedback, FEEDBACK_TOPIC, "The incident's id: the last word about it is kept."),
}
"""The same for what is neither telemetry nor an answer: it is received, from topics of its own alone."""

OTLP_MESSAGES: Final = dict(
    zip(
        OTLP_TOPICS,
        (("otlp_traces", "ExportTraceServiceRequest", "trace"), ("otlp_logs", "ExportLogsServiceRequest", "logs")),
        strict=True,
    )
)
"""By topic: our name for the message, OpenTelemetry's name for it, and the part of its protocol that defines it."""

SNAPSHOTS_TEXT: Final = (
    "Checkpoints of shards, which a wiped Redis is rebuilt from. Compacted. Midwatch writes and reads them; what they "
    "hold is no contract, and changes with any version."
)

CONTROLS_TEXT: Final = (
    "What humans tell the engine and those who act on its verdicts: silences, maintenance windows, acknowledgements, "
    "approvals. Compacted. Controls are taken from here alone, and nothing else is."
)

HEADERS: Final[JsonObject] = {
    "content-type": {"const": "application/json"},
    "ce_specversion": {"const": "1.0"},
    "ce_id": {"type": "string", "description": "Derived from the content: a repeated record has the same one."},
    "ce_source": {"const": "/midwatch"},
    "ce_type": {"type": "string"},
    "ce_time": {"type": "string", "format": "date-time", "description": "Wall time of publication."},
    "ce_partitionkey": {"type": "string", "description": "The record's key."},
}
"""CloudEvents 1.0 attributes of an answer: the record is a CloudEvent in binary mode (Kafka binding)."""

STALE_HEADER: Final[JsonObject] = {
    "ce_stale": {
        "enum": ["true", "false"],
        "description": "Whether it speaks of the past, published by an engine that catches up: page nobody for it.",
    }
}
"""Of firings and verdicts, where the engine's clock is the wall's."""

MAY_BE_STALE: Final = ("firing", "verdict")


def documents() -> dict[str, bytes]:
    """Every document by its relative path, as the bytes of its file."""
    schemas: dict[str, JsonObject] = {"event": EVENT.json_schema()}
    schemas.update((name, model.model_json_schema()) for name, model in EVENT_MODELS.items())
    for rows in (ANSWER_MODELS, SAID_BY_HUMANS):
        schemas.update((name, row[0].model_json_schema()) for name, row in rows.items())
    files = {f"json/{name}.json": _document(_with_head(name, schema)) for name, schema in sorted(schemas.items())}
    return {"asyncapi.json": _document(asyncapi()), **files}


def asyncapi() -> JsonObject:
    """The AsyncAPI 3.0 document, seen from Midwatch: it receives events and what humans say, and sends answers."""
    others = [row[0] for rows in (ANSWER_MODELS, SAID_BY_HUMANS) for row in rows.values()]
    _, defined = models_json_schema(
        [(model, "validation") for model in [*EVENT_MODELS.values(), *others]],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Midwatch",
            "version": CONTRACT_VERSION,
            "description": "Telemetry of AI agents in; firings, verdicts, actions, dead letters and heartbeats out.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": defined["$defs"]},
    }


def _with_head(name: str, schema: Mapping[str, Any]) -> JsonObject:
    return {"$schema": DIALECT, "$id": f"urn:midwatch:{name}:{CONTRACT_VERSION}", **schema}


def _document(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _identifier(topic: str) -> str:
    return "".join(part.capitalize() for part in topic.replace(".", "-").replace("_", "-").split("-"))


def _channel(topic: str, description: str, messages: list[str]) -> JsonObject:
    return {
        "address": topic,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
    }


def _channels() -> JsonObject:
    found: JsonObject = {}
    every_event: list[str] = list(EVENT_MODELS)
    for kind, topic in TOPIC_OF_TYPE.items():
        text = f"Telemetry, by habit of type {kind}. Any event type may come on any input topic; keys mean nothing."
        found[_identifier(topic)] = _channel(topic, text, every_event)
    for topic, (name, request, _) in OTLP_MESSAGES.items():
        text = f"OpenTelemetry's {request}, protobuf or JSON, as a collector's kafka exporter writes it."
        found[_identifier(topic)] = _channel(topic, text, [name])
    for name, (model, topic, _) in ANSWER_MODELS.items():
        found[_identifier(topic)] = _channel(topic, _first_paragraph(model), [name])
    found[_identifier(SNAPSHOTS_TOPIC)] = _channel(SNAPSHOTS_TOPIC, SNAPSHOTS_TEXT, ["snapshot"])
    found[_identifier(CONTROLS_TOPIC)] = _channel(CONTROLS_TOPIC, CONTROLS_TEXT, list(CONTROL_MODELS))
    found[_identifier(FEEDBACK_TOPIC)] = _channel(FEEDBACK_TOPIC, _first_paragraph(Feedback), ["feedback"])
    return found


def _operations() -> JsonObject:
    found: JsonObject = {}
    for topic in [*TOPIC_OF_TYPE.values(), *OTLP_TOPICS, CONTROLS_TOPIC, FEEDBACK_TOPIC]:
        channel = _identifier(topic)
        found[f"receive{channel}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{channel}"}}
    for topic in [*(row[1] for row in ANSWER_MODELS.values()), SNAPSHOTS_TOPIC]:
        channel = _identifier(topic)
        found[f"send{channel}"] = {"action": "send", "channel": {"$ref": f"#/channels/{channel}"}}
    return found


def _messages() -> JsonObject:
    found: JsonObject = {}
    for kind, event in EVENT_MODELS.items():
        found[kind] = _message(kind, event)
    for name, (model, _, key) in ANSWER_MODELS.items():
        more = STALE_HEADER if name in MAY_BE_STALE else {}
        found[name] = {
            **_message(name, model),
            "headers": {
                "type": "object",
                "properties": {**HEADERS, **more, "ce_type": {"const": f"io.midwatch.{name}.v1"}},
                "required": sorted(HEADERS),
            },
            "bindings": _keyed(key),
        }
    for name, (model, _, key) in SAID_BY_HUMANS.items():
        found[name] = {**_message(name, model), "bindings": _keyed(key)}
    for name, request, part in OTLP_MESSAGES.values():
        found[name] = _otlp_message(name, request, part)
    found["snapshot"] = {
        "name": "snapshot",
        "title": "Snapshot",
        "summary": "A part of a shard's checkpoint.",
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }
    return found


def _otlp_message(name: str, request: str, part: str) -> JsonObject:
    """A message that OpenTelemetry defines. AsyncAPI takes a schema of another language by its format's name."""
    proto = f'import "opentelemetry/proto/collector/{part}/v1/{part}_service.proto"; // {request}'
    return {
        "name": name,
        "title": request,
        "summary": f"OpenTelemetry's {request}; the same message as JSON is told apart by its first byte.",
        "contentType": "application/x-protobuf",
        "externalDocs": {"url": "https://opentelemetry.io/docs/specs/otlp/"},
        "payload": {
            "schemaFormat": "application/vnd.google.protobuf;version=3",
            "schema": f'syntax = "proto3"; {proto}',
        },
    }


def _keyed(key: str) -> JsonObject:
    return {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}}


def _message(name: str, model: type[BaseModel]) -> JsonObject:
    return {
        "name": name,
        "title": model.__name__,
        "summary": _first_paragraph(model),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
    }


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())
