"""Telling the engine: controls written to their topic, and read back from it.

A control is stored (acks=all) before the command says so. Its time is the wall clock's, or, where telemetry alone moves
time, that of the newest tick that the engine says it has evaluated.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer
from pydantic import BaseModel, ValidationError

from schemas.base import format_time
from schemas.canonical import canonical_json, content_id, jsonable
from schemas.controls import CONTROL, LONGEST, Acknowledgement, Approval, Silence, key_of
from schemas.outputs import Verdict
from schemas.words import CONTROLS_TOPIC, HEARTBEATS_TOPIC
from stream.core.controls import ControlBook, record_of
from stream.core.ticks import MINUTE_MS, datetime_of, ms_of, time_of
from stream.restore import last_ticks, partitions_of, read_values
from stream.settings import Settings
from stream.settings_clients import kafka_options
from stream.verdicts import follow

MOMENT: Final = timedelta(milliseconds=1)


class ControlError(RuntimeError):
    """What was asked for cannot be done; the message says why."""


class OrderError(ControlError):
    """What was asked for is no silence that the engine takes."""


@dataclass(frozen=True, slots=True)
class SilenceOrder:
    """A silence as it is asked for. `starts_at` None: at once."""

    environment: str
    system: str
    flow: str | None
    agent: str | None
    budget: str | None
    detector: str | None
    starts_at: datetime | None
    ends_at: datetime | timedelta
    """When it ends, or how long after its start."""
    kind: str
    reason: str
    by: str


def make_silence(order: SilenceOrder, now: datetime) -> Silence:
    """The control event. Raises OrderError where the order is none that the engine takes."""
    starts = order.starts_at or now
    ends = order.ends_at if isinstance(order.ends_at, datetime) else starts + order.ends_at
    if ends <= now:
        raise OrderError(f"it would end at {format_time(ends)}, which is over: it is {format_time(now)} now")
    if ends <= starts:
        raise OrderError(f"it would end at {format_time(ends)}, before it starts at {format_time(starts)}")
    if ends - now > LONGEST:
        latest = format_time(now + LONGEST)
        raise OrderError(
            f"it would end at {format_time(ends)}; a silence ends at most {LONGEST.days} days from now ({latest}): "
            "silence for less, and again if need be"
        )
    body = {
        "time": now,
        "environment": order.environment,
        "system": order.system,
        "flow": order.flow,
        "agent": order.agent,
        "budget": order.budget,
        "detector": order.detector,
        "starts_at": starts,
        "ends_at": ends,
        "kind": order.kind,
        "reason": order.reason,
        "created_by": order.by,
    }
    try:
        silence = Silence.model_validate({"id": "new", **body})
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors()]
        raise OrderError("; ".join(problems).replace("Value error, ", "")) from None
    return silence.model_copy(update={"id": content_id("sil", {**jsonable(silence), "id": ""})})


def holds_from(control: Silence | Acknowledgement) -> datetime:
    """The first tick at which the engine can obey it."""
    visible = ms_of(control.time) // MINUTE_MS + 1
    if isinstance(control, Acknowledgement) or control.is_expired:
        return time_of(visible)
    return time_of(max(visible, -(-ms_of(control.starts_at) // MINUTE_MS)))


async def engine_now(settings: Settings) -> datetime:
    """The time that a control is given. Raises ControlError if telemetry moves time and no engine has said how far."""
    if settings.engine.clock == "wall":
        return datetime_of(time.time_ns() // 1_000_000)
    beats = await read_values(HEARTBEATS_TOPIC, kafka_options(settings.kafka))
    ticks = last_ticks(beats, settings.engine.shards, settings.redis.namespace)
    if not ticks:
        raise ControlError(
            "engine.clock is stream, and no heartbeat says what time it is there: is `midwatch run` reading the topics?"
        )
    return time_of(max(ticks.values()))


async def store(settings: Settings, topic: str, key: str, value: BaseModel, at: datetime) -> None:
    """Write one record of a compacted topic; returns once every replica that must has it.

    Raises ControlError if the topic is not there, KafkaError if it cannot be written.
    """
    options = kafka_options(settings.kafka)
    if not await partitions_of([topic], options):
        raise ControlError(f"there is no topic {topic}; run: midwatch topics create")
    producer = AIOKafkaProducer(**options, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, canonical_json(value), key=key.encode(), timestamp_ms=ms_of(at))
    finally:
        await producer.stop()


async def publish_control(settings: Settings, control: Silence | Acknowledgement | Approval) -> None:
    """Write a control to its topic, under the key of what it is about. Raises ControlError, KafkaError."""
    await store(settings, CONTROLS_TOPIC, key_of(control), control, control.time)


async def known(settings: Settings) -> tuple[dict[str, Silence], dict[str, Acknowledgement]]:
    """The last word about each silence (by id) and incident, as it stands on the topic."""
    found = []
    for value in await read_values(CONTROLS_TOPIC, kafka_options(settings.kafka)):
        try:
            control = CONTROL.validate_json(value)
        except ValidationError:
            continue  # the engine refuses it as well, with a dead letter
        if not isinstance(control, Approval):
            found.append(control)
    return last_words(found)


def last_words(
    controls: Sequence[Silence | Acknowledgement],
) -> tuple[dict[str, Silence], dict[str, Acknowledgement]]:
    """Of several controls about one thing the one that holds, by the engine's own rule."""
    book = ControlBook()
    by_record = {}
    for control in controls:
        record = record_of(control)
        by_record[msgspec.msgpack.encode(record)] = control
        book.apply(record)
    silences, acknowledgements = {}, {}
    for record in book.records():
        control = by_record[msgspec.msgpack.encode(record)]
        if isinstance(control, Silence):
            silences[control.id] = control
        else:
            acknowledgements[control.incident_id] = control
    return silences, acknowledgements


async def add_silence(settings: Settings, order: SilenceOrder) -> Silence:
    """Silence what the order says. Raises ControlError, KafkaError."""
    silence = make_silence(order, await engine_now(settings))
    await publish_control(settings, silence)
    return silence


async def expire_silence(settings: Settings, identity: str) -> Silence:
    """End a silence. Raises ControlError if there is none of this id, or if it is over."""
    now = await engine_now(settings)
    silences, _ = await known(settings)
    silence = silences.get(identity)
    if silence is None:
        raise ControlError(f"there is no silence {identity}; see: midwatch silences list --all")
    if silence.is_expired or silence.ends_at <= now:
        raise ControlError(f"silence {identity} is over since {format_time(silence.ends_at)}")
    at = max(now, silence.time + MOMENT)
    ended = silence.model_copy(update={"time": at, "ends_at": at})
    await publish_control(settings, ended)
    return ended


async def acknowledge(
    settings: Settings, incident_id: str, by: str, note: str | None, *, withdraw: bool = False
) -> Acknowledgement:
    """Say that somebody has an incident in hand, or no longer. Raises ControlError, KafkaError."""
    verdict = await find_verdict(settings, incident_id)
    if verdict.status == "resolved":
        raise ControlError(f"incident {verdict.incident_id} is over since {format_time(verdict.decided_at)}")
    _, acknowledgements = await known(settings)
    last = acknowledgements.get(verdict.incident_id)
    if withdraw and (last is None or last.withdrawn):
        raise ControlError(f"nobody has acknowledged incident {verdict.incident_id}")
    at = await engine_now(settings)
    if last is not None:
        at = max(at, last.time + MOMENT)
    body = {
        "time": at,
        "environment": verdict.scope.environment,
        "system": verdict.scope.system,
        "incident_id": verdict.incident_id,
        "by": by,
        "note": note,
        "withdrawn": withdraw,
    }
    control = Acknowledgement.model_validate({"id": "new", **body})
    control = control.model_copy(update={"id": content_id("ack", {**jsonable(control), "id": ""})})
    await publish_control(settings, control)
    return control


async def find_verdict(settings: Settings, identity: str) -> Verdict:
    """The verdict of this id, or the last one of the incident of this id. Raises ControlError, VerdictsMissing."""
    found: Verdict | None = None
    async for published in follow(settings.kafka, keep_on=False):
        verdict = published.verdict
        if verdict is not None and identity in (verdict.verdict_id, verdict.incident_id):
            found = verdict
            if identity == verdict.verdict_id:
                break
    if found is None:
        raise ControlError(f"no verdict and no incident {identity} is on the topic; see: midwatch verdicts")
    return found
