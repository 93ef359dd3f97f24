"""Send events to Midwatch from a Python program.

    from stream.producer import Midwatch

    async with Midwatch("127.0.0.1:9092", environment="production", system="claims") as midwatch:
        await midwatch.deployment(
            change="prompt", component="refund", version="2.5.0", phase="started", canary_percent=10
        )

Every call checks the event by the contract's model, hands it to Kafka (acks=all, idempotent) and returns once it is
stored. `post` only hands it over, for a program that cannot wait; what then fails is raised by `flush` and at the end
of the `async with`, so nothing is lost without a word. No more than `max_pending` posted events wait at once; a call
beyond that waits for room.

An event without an `id` gets one that is derived from its content, so that the same event sent twice is one event to
the detectors that count by id. Without a `time` it is now. `stream.producer_sync` is the same for programs without an
event loop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Protocol, Self, Unpack

from aiokafka import AIOKafkaProducer
from pydantic import ValidationError

from schemas.base import JsonObject, format_time
from schemas.canonical import canonical_json, content_id
from schemas.events import EVENT, Event
from schemas.words import TOPIC_OF_TYPE, EventType
from stream.producer_fields import (
    AuthorizationFields,
    CircuitBreakerFields,
    DeploymentFields,
    EvaluationFields,
    InteractionFields,
    UsageFields,
)

MAX_PENDING: Final = 10_000
"""Events that wait for Kafka at once: about 20 MB of a kilobyte or two each."""

STORE_SECONDS: Final = 30.0
_FAILURES_KEPT: Final = 10
_ID_PREFIXES: Final[dict[EventType, str]] = {
    "interaction": "int",
    "authorization": "aut",
    "circuit_breaker": "brk",
    "evaluation": "evl",
    "deployment": "dep",
    "usage": "use",
}


class InvalidEvent(ValueError):
    """The event is none that the contract allows; the message names each field and what is wrong with it."""


class NotStored(RuntimeError):
    """Events that Kafka did not take. `events` holds the ids of the first of them, `count` is how many there are."""

    def __init__(self, events: list[str], count: int, cause: BaseException) -> None:
        shown = ", ".join(events)
        super().__init__(f"{count} events were not stored ({shown}{', ...' if count > len(events) else ''}): {cause}")
        self.events = events
        self.count = count


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an event is."""

    id: str
    topic: str
    partition: int
    offset: int


class Producer(Protocol):
    """What is needed of a Kafka producer; what `send` answers is done once the record is stored."""

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Send what waits, and disconnect."""

    async def send(self, topic: str, value: bytes, *, timestamp_ms: int) -> asyncio.Future[Any]:
        """Hand a record over."""


def make_event(event_type: EventType, fields: Mapping[str, Any], *, identity: JsonObject | None = None) -> Event:
    """The event of these fields, checked; `identity` is what its id is derived from, else all of it.

    Raises InvalidEvent, with every problem.
    """
    plain: JsonObject = {"type": event_type, **{name: value for name, value in fields.items() if value is not None}}
    at = plain.setdefault("time", datetime.now(UTC))
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise InvalidEvent("time: has no zone; take datetime.now(UTC)")
        plain["time"] = format_time(at)
    try:
        plain.setdefault("id", content_id(_ID_PREFIXES[event_type], identity or plain))
        text = json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidEvent(f"the event is no JSON: {error}") from None
    _refuse_unknown(event_type, plain)
    try:
        return EVENT.validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise InvalidEvent("; ".join(f"{_place(one['loc'])}: {one['msg']}" for one in problems)) from None


def _refuse_unknown(event_type: EventType, plain: JsonObject) -> None:
    """A reader ignores fields that it does not know; a writer that has one has misspelt it."""
    from stream.adapters.unknown import SHAPES, drop_unknown

    unknown = drop_unknown(json.loads(json.dumps(plain)), SHAPES[event_type])
    if unknown:
        raise InvalidEvent(f"{', '.join(unknown)}: no {event_type} has such a field")


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc[1:])) or "event"


class Midwatch:
    """Sends events; use it in `async with`. Not for use by two threads or two event loops at once.

    `environment`, `system` and `tags` are those of every event that does not say otherwise. `kafka` are further
    arguments of aiokafka's producer: security, compression, client id (`stream.settings_clients.kafka_options` makes
    them from a configuration).
    """

    def __init__(
        self,
        bootstrap_servers: str | list[str] = "127.0.0.1:9092",
        *,
        environment: str | None = None,
        system: str | None = None,
        tags: Mapping[str, str] | None = None,
        max_pending: int = MAX_PENDING,
        kafka: Mapping[str, Any] | None = None,
        producer: Callable[[], Producer] | None = None,
    ) -> None:
        self._defaults = {"environment": environment, "system": system, "tags": dict(tags) if tags else None}
        self._options = {"bootstrap_servers": bootstrap_servers, **(kafka or {})}
        self._make = producer or self._kafka_producer
        self._room = asyncio.Semaphore(max_pending)
        self._pending: set[asyncio.Task[Stored]] = set()
        self._failed: list[str] = []
        self._failures = 0
        self._cause: BaseException | None = None
        self._producer: Producer | None = None

    def _kafka_producer(self) -> Producer:
        fixed = {"acks": "all", "enable_idempotence": True, "request_timeout_ms": round(STORE_SECONDS * 1000)}
        made: Producer = AIOKafkaProducer(**{**self._options, **fixed})
        return made

    async def __aenter__(self) -> Self:
        self._producer = self._make()
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.flush()
            else:
                await asyncio.gather(*self._pending, return_exceptions=True)
        finally:
            if self._producer is not None:
                await self._producer.stop()

    async def interaction(self, **fields: Unpack[InteractionFields]) -> Stored:
        """Send an interaction; where it is stored. Raises InvalidEvent, NotStored."""
        return await self.send("interaction", fields)

    async def authorization(self, **fields: Unpack[AuthorizationFields]) -> Stored:
        """Send a decision; where it is stored. Raises InvalidEvent, NotStored."""
        return await self.send("authorization", fields)

    async def circuit_breaker(self, **fields: Unpack[CircuitBreakerFields]) -> Stored:
        """Send a breaker's state; where it is stored. Raises InvalidEvent, NotStored."""
        return await self.send("circuit_breaker", fields)

    async def evaluation(self, **fields: Unpack[EvaluationFields]) -> Stored:
        """Send a score; where it is stored. Raises InvalidEvent, NotStored."""
        return await self.send("evaluation", fields)

    async def deployment(self, **fields: Unpack[DeploymentFields]) -> Stored:
        """Send a change; where it is stored. Raises InvalidEvent, NotStored."""
        return await self.send("deployment", fields)

    async def usage(self, **fields: Unpack[UsageFields]) -> Stored:
        """Send a model call's tokens; where it is stored. Raises InvalidEvent, NotStored."""
        return await self.send("usage", fields)

    async def send(self, event_type: EventType, fields: Mapping[str, Any]) -> Stored:
        """Send an event of any type and wait until it is stored. Raises InvalidEvent, NotStored."""
        return await self._store(self._event(event_type, fields))

    async def post(self, event_type: EventType, fields: Mapping[str, Any]) -> str:
        """Hand an event over, its id back; waits only for room. Raises InvalidEvent; failures come with `flush`."""
        event = self._event(event_type, fields)
        await self._room.acquire()
        task = asyncio.create_task(self._store(event))
        self._pending.add(task)
        task.add_done_callback(self._settle)
        return event.id

    async def flush(self) -> None:
        """Wait until all that was posted is stored. Raises NotStored for what was not, since the last call."""
        while self._pending:
            await asyncio.gather(*self._pending, return_exceptions=True)
        failed, count, cause = self._failed, self._failures, self._cause
        self._failed, self._failures, self._cause = [], 0, None
        if cause is not None:
            raise NotStored(failed, count, cause)

    def _event(self, event_type: EventType, fields: Mapping[str, Any]) -> Event:
        return make_event(event_type, {**self._defaults, **fields})

    async def _store(self, event: Event) -> Stored:
        if self._producer is None:
            raise RuntimeError("Midwatch is not connected; use it in `async with`")
        topic = TOPIC_OF_TYPE[event.type]
        try:
            sent = await self._producer.send(
                topic, canonical_json(event), timestamp_ms=round(event.time.timestamp() * 1000)
            )
            place = await asyncio.wait_for(sent, STORE_SECONDS)
        except Exception as error:
            raise NotStored([event.id], 1, error) from error
        return Stored(event.id, topic, place.partition, place.offset)

    def _settle(self, task: asyncio.Task[Stored]) -> None:
        self._room.release()
        self._pending.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._failures += 1
            self._cause = self._cause or error.__cause__ or error
            if isinstance(error, NotStored) and len(self._failed) < _FAILURES_KEPT:
                self._failed += error.events


async def send_once(kafka: Mapping[str, Any], topic: str, event: JsonObject) -> Stored:
    """Store one event that has been checked. Raises ControlError if its topic is not there, NotStored, KafkaError."""
    from stream.controls import ControlError
    from stream.restore import partitions_of

    if not await partitions_of([topic], dict(kafka)):
        raise ControlError(f"there is no topic {topic}; run: midwatch topics create")
    async with Midwatch(kafka=kafka) as midwatch:
        fields = {name: value for name, value in event.items() if name != "type"}
        return await midwatch.send(event["type"], fields)
