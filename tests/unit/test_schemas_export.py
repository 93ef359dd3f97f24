"""The exported contract is in step with the models, and says the truth about them."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas.canonical import canonical_json
from schemas.events import Interaction
from schemas.export import ANSWER_MODELS, EVENT_MODELS, HEADERS, asyncapi, documents
from schemas.outputs import DeadLetter, Engine, Heartbeat
from schemas.words import EVENT_TYPES
from stream.settings_sections import KafkaSettings
from stream.topics import plan_topics

ROOT = Path(__file__).parents[2] / "schemas"
TIME = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)

EVENT: dict[str, Any] = {"id": "e1", "time": "2026-03-01T02:00:00Z", "environment": "production", "system": "claims"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "interaction": {"flow": "refund", "outcome": "escalated", "escalation": {"reason": "high_risk"}},
    "authorization": {"agent": "clerk", "action": "refund.issue", "decision": "deny"},
    "circuit_breaker": {"dependency": "fraud-check", "state": "open", "failure_rate": 0.5},
    "evaluation": {"flow": "refund", "criterion": "tone", "score": 4.5},
    "deployment": {
        "change": "prompt",
        "component": "refund",
        "version": "2",
        "phase": "completed",
        "canary_percent": 100,
    },
    "usage": {"model": "gpt-5", "input_tokens": 10, "output_tokens": 3},
}


def validate(name: str, value: Any) -> None:
    schema = json.loads(documents()[f"json/{name}.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in references(item)]
    return [found for item in value for found in references(item)] if isinstance(value, list) else []


def test_checked_in_documents_are_the_generated_ones() -> None:
    """What programs read is what the models say: `make schemas` writes it, and nothing else lies beside it."""
    generated = documents()
    for name, body in generated.items():
        assert (ROOT / name).read_bytes() == body, f"schemas/{name} is out of date: run make schemas"
    assert {path.relative_to(ROOT).as_posix() for path in ROOT.glob("json/*")} == set(generated) - {"asyncapi.json"}


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_events_follow_their_schema(kind: str) -> None:
    """A plain event of each type is valid by its own schema and by that of all events; one without an id is not."""
    event = {"type": kind, **EVENT, **EXAMPLES[kind]}
    EVENT_MODELS[kind].model_validate_json(json.dumps(event))  # type: ignore[index]
    validate(kind, event)
    validate("event", event)
    del event["id"]
    with pytest.raises(jsonschema.ValidationError):
        validate(kind, event)


def test_answers_follow_their_schema() -> None:
    """What Midwatch writes, with fields that are None left out, is valid by its schema."""
    letter = DeadLetter(reason="malformed_json", detail="x", topic="t", partition=0, offset=1, size=2)
    beat = Heartbeat(
        shard=1, shards=2, tick=TIME, worker="w", epoch=1, series=3, engine=Engine(version="1", config_hash="h")
    )
    validate("dead_letter", json.loads(canonical_json(letter)))
    validate("heartbeat", json.loads(canonical_json(beat)))


def test_schema_and_model_refuse_the_same_words() -> None:
    """A word outside the vocabulary is refused by the schema as it is by the model."""
    event = {"type": "interaction", **EVENT, "flow": "refund", "outcome": "vanished"}
    with pytest.raises(jsonschema.ValidationError):
        validate("interaction", event)
    with pytest.raises(ValueError, match="outcome"):
        Interaction.model_validate_json(json.dumps(event))


def test_asyncapi_is_whole() -> None:
    """Every topic has a channel and an operation, every reference leads somewhere, every header is described."""
    document = asyncapi()
    topics = {channel["address"] for channel in document["channels"].values()}
    assert topics == {plan.name for plan in plan_topics(KafkaSettings())}, "as `midwatch topics create` makes them"
    directed = {one["channel"]["$ref"] for one in document["operations"].values()}
    assert directed == {f"#/channels/{name}" for name in document["channels"]}
    for reference in references(document):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    directions = {name: one["action"] for name, one in document["operations"].items()}
    assert directions["sendMidwatchVerdicts"] == "send"
    assert directions["receiveAgentInteractions"] == directions["receiveOtlpSpans"] == "receive"
    assert directions["receiveMidwatchControls"] == directions["receiveMidwatchFeedback"] == "receive"
    headers = document["components"]["messages"]["verdict"]["headers"]
    assert set(headers["properties"]) == {*HEADERS, "ce_stale"}
    assert set(headers["required"]) == set(HEADERS)


async def test_published_headers_are_the_described_ones() -> None:
    """A record that the engine publishes carries exactly the headers that the contract describes."""
    from stream.publish import Publisher

    sent: list[tuple[str, bytes, dict[str, str]]] = []

    class Producer:
        async def send(
            self, topic: str, value: bytes | None = None, key: bytes | None = None, headers: Any = None
        ) -> asyncio.Future[object]:
            sent.append((topic, key or b"", {name: data.decode() for name, data in headers}))
            stored: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            stored.set_result(None)
            return stored

    letter = DeadLetter(reason="malformed_json", detail="x", topic="t", partition=0, offset=1, size=2)
    await Publisher(Producer(), lambda: 1_772_330_400_000).dead_letters([letter])
    [(topic, key, headers)] = sent
    message = asyncapi()["components"]["messages"]["dead_letter"]
    jsonschema.validate(headers, message["headers"])
    assert set(headers) == set(message["headers"]["required"])
    assert (topic, key) == (ANSWER_MODELS["dead_letter"][1], b"t/0/1")
