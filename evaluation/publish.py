"""Judgements as `evaluation` events, with ids that follow from what was judged by whom.

A repeat after a crash publishes the same id, which the engine counts once. The event's time is the interaction's: a
score belongs to when the agent acted, whenever it was judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from evaluation.judgement import Judgement
from schemas.base import JsonObject
from schemas.canonical import canonical_json, content_id
from schemas.words import TOPIC_OF_TYPE
from stream.adapters.native import Interaction
from stream.core.ticks import rfc3339

TOPIC: Final = TOPIC_OF_TYPE["evaluation"]
MAX_REASONING: Final = 2_000


class Producer(Protocol):
    """What publishing needs of a Kafka producer."""

    async def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, *, timestamp_ms: int | None = None
    ) -> asyncio.Future[object]:
        """Hand a record over; the future is done once it is stored."""
        ...


def event_of(interaction: Interaction, judgement: Judgement, sampling: JsonObject) -> JsonObject | None:
    """The event of a judgement; None for one without a score. `sampling` as in `schemas.events.Sampling`."""
    if judgement.status != "scored" or judgement.score is None:
        return None
    identity = {
        "environment": interaction.environment,
        "system": interaction.system,
        "interaction_id": interaction.id,
        "criterion": judgement.criterion,
        "prompt_version": judgement.prompt_version,
        "model": judgement.model,
        "purpose": sampling["purpose"],
        "incident_id": sampling.get("incident_id"),
    }
    event: JsonObject = {
        "type": "evaluation",
        "id": content_id("evl", identity),
        "time": rfc3339(interaction.time),
        "environment": interaction.environment,
        "system": interaction.system,
        "flow": interaction.flow,
        "criterion": judgement.criterion,
        "score": judgement.score,
        "interaction_id": interaction.id,
        "judge": {
            "model": judgement.model,
            "prompt_version": judgement.prompt_version,
            "method": judgement.method,
        },
        "sampling": sampling,
    }
    optional = {
        "version": interaction.version,
        "tags": interaction.tags,
        "trace_id": interaction.trace_id,
        "conversation_id": interaction.conversation_id,
        "tenant": interaction.tenant,
        "reasoning": judgement.reasoning[:MAX_REASONING] if judgement.reasoning else None,
    }
    return event | {name: value for name, value in optional.items() if value is not None}


class ScorePublisher:
    """Sends evaluation events and waits until they are stored, for `seconds` at the most."""

    def __init__(self, producer: Producer, seconds: float) -> None:
        self._producer = producer
        self.seconds = seconds

    async def publish(self, interaction: Interaction, judgements: Sequence[Judgement], sampling: JsonObject) -> int:
        """The number of scores published. Raises TimeoutError or what the broker answered."""
        events = [event for one in judgements if (event := event_of(interaction, one, sampling)) is not None]
        async with asyncio.timeout(self.seconds):
            stored = [
                # The record's timestamp is the event's time: a replayed past is not refused as too old.
                await self._producer.send(
                    TOPIC, value=canonical_json(event), key=interaction.id.encode(), timestamp_ms=interaction.time
                )
                for event in events
            ]
            await asyncio.gather(*stored)
        return len(events)
