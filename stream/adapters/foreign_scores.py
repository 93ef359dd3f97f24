"""Scores that others gave: `gen_ai.evaluation.result` log records, and result rows of azure-ai-evaluation.

A log record is a JSON object with `event_name` "gen_ai.evaluation.result" and flat `attributes` (and `resource`);
OTLP's own reader may hand its attributes to `event_of_attributes`. A result row has, for an evaluator K, any of `K`,
`K_score`, `K_result`, `K_label`, `K_reason`, `K_threshold`, `K_status`, with or without the prefix `outputs.K.`.

Both need to say whose they are: `environment`, `system`, `flow`, a time. What the scores mean is in `score_scales`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from schemas.base import JsonObject, format_time
from schemas.canonical import content_id
from stream.adapters.found import Found
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord, quote
from stream.adapters.score_scales import Scale, on_our_scale

EVENT_NAME: Final = "gen_ai.evaluation.result"

ATTRIBUTES: Final[dict[str, tuple[str, ...]]] = {
    "environment": ("environment", "deployment.environment.name", "deployment.environment"),
    "system": ("system", "service.name"),
    "flow": ("flow", "gen_ai.workflow.name", "gen_ai.agent.name"),
    "version": ("version", "gen_ai.agent.version", "service.version"),
    "criterion": ("gen_ai.evaluation.name",),
    "value": ("gen_ai.evaluation.score.value",),
    "label": ("gen_ai.evaluation.score.label",),
    "reasoning": ("gen_ai.evaluation.explanation",),
    "interaction_id": ("interaction_id", "gen_ai.response.id"),
    "conversation_id": ("conversation_id", "gen_ai.conversation.id"),
    "trace_id": ("trace_id", "traceId"),
    "low": ("gen_ai.evaluation.min_value",),
    "high": ("gen_ai.evaluation.max_value",),
    "direction": ("gen_ai.evaluation.desirable_direction",),
    "evaluator": ("gen_ai.evaluator.name",),
    "evaluator_version": ("gen_ai.evaluator.version",),
    "error": ("error.type",),
}
"""Our word for a thing, and the attributes that hold it, first found counts: one table for JSON and for OTLP."""

_SUFFIXES: Final = ("_score", "_result", "_label", "_reason", "_threshold", "_status", "_passed", "_properties")
_WHOSE: Final = ("environment", "system", "flow")
_TIMES: Final = ("time", "timestamp", "time_unix_nano", "timeUnixNano")


def is_log_record(payload: Payload) -> bool:
    """Whether the value is one evaluation result as a log record."""
    plain = payload.object
    return "type" not in plain and EVENT_NAME in (plain.get("event_name"), plain.get("eventName"), plain.get("name"))


def read_log_record(payload: Payload) -> list[Found]:
    """The event in a log record. Raises RejectedRecord, with what is missing."""
    plain = payload.object
    found: dict[str, Any] = {}
    for part in ("resource", "attributes"):
        inner = plain.get(part)
        if isinstance(inner, dict) and part == "resource":
            inner = inner.get("attributes", inner)
        if isinstance(inner, dict):
            found |= inner
    return [event_of_attributes({**plain, **found})]


def event_of_attributes(attributes: Mapping[str, Any]) -> JsonObject:
    """The event that flat attributes (with the record's own time and ids) describe. Raises RejectedRecord."""
    properties = attributes.get("internal_properties")
    if isinstance(properties, str):
        try:
            inner = msgspec.json.decode(properties)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            inner = None
        if isinstance(inner, dict):
            attributes = {**inner, **attributes}
    said = {word: _first(attributes, names) for word, names in ATTRIBUTES.items()}
    if said["error"] is not None and said["value"] is None:
        raise RejectedRecord("invalid_field", "the evaluation failed (`error.type` is set) and has no score")
    low, high = _number(said["low"]), _number(said["high"])
    stated = None
    if low is not None and high is not None and low < high:
        better = str(said["direction"] or "").lower()
        stated = Scale(low, high, "lower" if better in ("decrease", "lower", "minimize") else "higher")
    return _event(said, said["criterion"], said["value"], said["label"], stated, attributes)


def is_result_row(payload: Payload) -> bool:
    """Whether the value is a result row of azure-ai-evaluation: it names an evaluator with a result or a reason."""
    return "type" not in payload.object and bool(evaluators_of(payload.object))


def read_result_row(payload: Payload) -> list[Found]:
    """An event for each evaluator of a row. Raises RejectedRecord, with what is missing."""
    return list(events_of_row(payload.object))


def events_of_row(row: JsonObject) -> list[JsonObject]:
    """An event for each evaluator of a row. Raises RejectedRecord if none of them has a score that can be read."""
    plain = {key.rpartition(".")[2]: value for key, value in row.items()}
    said = {word: _first({**plain, **row}, names) for word, names in ATTRIBUTES.items()}
    events: list[JsonObject] = []
    refused: list[tuple[str, RejectedRecord]] = []
    for name in evaluators_of(row):
        if str(plain.get(f"{name}_status", "completed")).lower() in ("skipped", "error", "failed"):
            continue
        value = next((plain[key] for key in (f"{name}_score", name, f"gpt_{name}") if plain.get(key) is not None), None)
        label = next(
            (
                str(plain[key])
                for key in (f"{name}_result", f"{name}_label", f"{name}_passed")
                if plain.get(key) is not None
            ),
            None,
        )
        own = {**said, "reasoning": plain.get(f"{name}_reason"), "evaluator": f"azure-ai-evaluation/{name}"}
        try:
            events.append(_event(own, name, value, label, None, {**plain, **row}))
        except RejectedRecord as rejected:
            refused.append((name, rejected))
    if refused and not events:
        raise refused[0][1]
    # Beside scores that can be read, one that cannot is left without: the decoder refuses and counts it alone.
    return events + [{**events[0], "id": f"{name}", "criterion": name, "score": None} for name, _ in refused]


def evaluators_of(row: JsonObject) -> list[str]:
    """The evaluators that a row holds results of, by name."""
    names = {key.rpartition(".")[2] for key in row}
    found = {name.removesuffix(suffix) for name in names for suffix in _SUFFIXES if name.endswith(suffix)}
    return sorted(
        name
        for name in found
        if name and (name in names or f"{name}_score" in names) and {f"{name}_result", f"{name}_reason"} & names
    )


def _event(
    said: Mapping[str, Any],
    criterion: Any,
    value: Any,
    label: Any,
    stated: Scale | None,
    record: Mapping[str, Any],
) -> JsonObject:
    missing = [word for word in _WHOSE if not said.get(word)]
    if not criterion:
        missing.append("gen_ai.evaluation.name")
    at = _time(record)
    if at is None:
        missing.append("time")
    if missing:
        raise RejectedRecord("invalid_field", f"an evaluation result without {', '.join(missing)}")
    name = str(criterion).rpartition(".")[2]
    score = on_our_scale(name, _number(value), None if label is None else str(label), stated)
    if score is None:
        raise RejectedRecord(
            "invalid_field",
            f"{quote(name)}: no score of 1 to 5 follows from its value and label; a result must state its range "
            "(min_value, max_value), be of a known evaluator and in its range, or pass or fail",
        )
    event: JsonObject = {
        "type": "evaluation",
        "time": at,
        **{word: str(said[word]) for word in _WHOSE},
        "criterion": name,
        "score": round(score, 3),
        "judge": {
            "model": str(said.get("evaluator") or "external"),
            "prompt_version": str(said.get("evaluator_version") or "unknown"),
            "method": "external",
        },
        "sampling": {"rate": 1.0, "purpose": "external"},
    }
    for word in ("version", "interaction_id", "conversation_id", "trace_id", "reasoning"):
        if said.get(word):
            event[word] = str(said[word])
    return {**event, "id": str(record.get("id") or content_id("evl", event))}


def _first(found: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((found[name] for name in names if found.get(name) is not None), None)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _time(record: Mapping[str, Any]) -> str | None:
    """RFC 3339; nanoseconds since 1970, as OTLP has them, are turned into that."""
    said = _first(record, _TIMES)
    if said is None or isinstance(said, bool):
        return None
    if isinstance(said, int | float) or str(said).isdigit():
        try:
            return format_time(datetime.fromtimestamp(int(said) / 1e9, UTC))
        except (ValueError, OverflowError, OSError):
            return None
    return str(said)
