"""Files of others' scores: rows and log records to evaluation events, and those to Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from evaluation.publish import TOPIC
from schemas.base import JsonObject
from schemas.canonical import canonical_json
from stream.adapters import Decoder
from stream.adapters.decoder import Limits
from stream.settings_clients import kafka_options
from stream.settings_sections import KafkaSettings

ANY_AGE: Final = Limits(max_future_ms=None, max_age_ms=None)
BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: its number from 1, and the events in it or why there are none."""

    number: int
    events: tuple[JsonObject, ...]
    problem: str = ""


def read_rows(path: Path, defaults: Mapping[str, str]) -> Iterator[Row]:
    """The rows of a file: JSON (an array, or an object with `rows`) or JSON lines. Bad rows say why.

    `defaults` stand in for what a row does not say: environment, system, flow, version, time.
    Raises OSError, UnicodeDecodeError.
    """
    decoder = Decoder(ANY_AGE)
    for number, row in enumerate(_objects(path), start=1):
        if not isinstance(row, dict):
            yield Row(number, (), "no JSON object" if not isinstance(row, str) else row)
            continue
        known = {key.rpartition(".")[2] for key in row}
        attributes = row.get("attributes")
        inner = attributes if isinstance(attributes, dict) else {}
        whole = {**{key: value for key, value in defaults.items() if key not in known and key not in inner}, **row}
        batch = decoder.decode_batch([(json.dumps(whole).encode(), (), -1)])
        problem = "; ".join(rejection.detail for _, rejection in batch.rejections)
        yield Row(number, tuple(_event(event) for event in batch.events), problem)


def _event(event: Any) -> JsonObject:
    from msgspec import to_builtins

    from stream.core.ticks import rfc3339

    plain: JsonObject = to_builtins(event)
    return {**{key: value for key, value in plain.items() if value is not None}, "time": rfc3339(event.time)}


def _objects(path: Path) -> Iterator[Any]:
    text = path.read_text(encoding="utf-8", errors="strict")
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and isinstance(whole.get("rows"), list):
        yield from whole["rows"]
    elif isinstance(whole, list):
        yield from whole
    elif whole is not None:
        yield whole
    else:
        for line in text.splitlines():
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    yield f"no JSON: {error}"


async def publish(events: Sequence[JsonObject], kafka: KafkaSettings) -> None:
    """Send events to the topic of evaluations; returns when all are stored. Raises what Kafka answers."""
    producer = AIOKafkaProducer(**kafka_options(kafka), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for start in range(0, len(events), BATCH):
            sent = [await producer.send(TOPIC, value=canonical_json(event)) for event in events[start : start + BATCH]]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()
