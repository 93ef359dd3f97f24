"""What the adapters understand of records that are on a topic, without taking part in their consumption.

No group is joined and nothing is committed: the engine does not notice that somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.base import JsonObject
from schemas.words import CONTROLS_TOPIC
from stream.adapters import Decoder, NativeEvent, Rejection, decode_controls
from stream.adapters.controls import Control
from stream.adapters.formats import format_of
from stream.adapters.packed import gunzip, is_gzip
from stream.adapters.payload import Payload, without_registry_prefix
from stream.adapters.rejection import RejectedRecord
from stream.assembly import record_limits
from stream.core.spans import Role, Root, SpanFact, TracedSpan
from stream.core.ticks import ms_of, rfc3339
from stream.restore import partitions_of
from stream.settings import Settings
from stream.settings_clients import kafka_options

READ_TIMEOUT_MS: Final = 1000
MOST: Final = 100_000
"""Most records that are read from a partition at once: with --since a topic may hold any number."""

DIMENSIONS: Final[dict[str, tuple[str, ...]]] = {
    "interaction": ("flow", "outcome"),
    "authorization": ("agent", "action", "decision"),
    "circuit_breaker": ("dependency", "instance", "state"),
    "evaluation": ("flow", "criterion", "score"),
    "deployment": ("component", "version", "phase", "canary_percent"),
    "usage": ("model", "agent"),
    "silence": ("flow", "agent", "budget"),
    "acknowledgement": ("incident_id",),
}
"""By type: the fields that name its series, and what it says of it."""


class TopicMissing(RuntimeError):
    """The topic is not there."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of a record: its type, its id, whose it is, what it says."""

    type: str
    id: str
    series: str
    says: Mapping[str, Any]

    @classmethod
    def of(cls, event: NativeEvent | TracedSpan | Control) -> Seen:
        """What is shown of an event, or of a span that is a part of one; never its texts."""
        if isinstance(event, TracedSpan):
            return cls("span", event.id, f"{event.environment}/{event.system}", _span(event.fact))
        kind = str(getattr(event, "type", None) or type(event).__struct_config__.tag)  # type: ignore[union-attr]
        says = {name: getattr(event, name) for name in DIMENSIONS[kind] if getattr(event, name) is not None}
        return cls(kind, event.id, f"{event.environment}/{event.system}", says)

    def to_json(self) -> JsonObject:
        """Plain JSON types."""
        return {"type": self.type, "id": self.id, "series": self.series, **self.says}


@dataclass(frozen=True, slots=True)
class Insight:
    """What was understood of one record."""

    partition: int
    offset: int
    time: str | None
    size: int | None
    """Bytes of its value; None for a tombstone."""
    format: str
    events: Sequence[Seen] = ()
    refused: Sequence[Rejection] = ()
    passed_over: int = 0
    unknown_fields: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """Plain JSON types."""
        return {
            "partition": self.partition,
            "offset": self.offset,
            "time": self.time,
            "size": self.size,
            "format": self.format,
            "events": [seen.to_json() for seen in self.events],
            "refused": [{"reason": why.reason, "detail": why.detail} for why in self.refused],
            "passed_over": self.passed_over,
            "unknown_fields": dict(self.unknown_fields),
        }


class Inspector:
    """Looks at records of one topic as ingest would."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._decoder = Decoder(record_limits(settings), settings.adapters.origin(), settings.otlp.reader())
        self._topic = topic

    def look(self, record: ConsumerRecord) -> Insight:
        """What a record holds. Raises nothing on data."""
        value: bytes | None = record.value
        place = (record.partition, record.offset, _time(record.timestamp), None if value is None else len(value))
        if value is None:
            return Insight(*place, "tombstone")
        before, passed = self._counts()
        batch = [(value, record.headers, record.timestamp)]
        found: Sequence[NativeEvent | TracedSpan | Control]
        unsaid = 0
        if self._topic == CONTROLS_TOPIC:
            controls = decode_controls(batch, self._decoder.limits, self._decoder.counters)
            found, rejections = controls.controls, controls.rejections
        else:
            decoded = self._decoder.decode_batch(batch)
            # What has no trace's id shows that there was other telemetry, and nothing of it.
            found = [one for one in decoded.events if not isinstance(one, TracedSpan) or one.trace_id]
            unsaid, rejections = len(decoded.events) - len(found), decoded.rejections
        after, passed_now = self._counts()
        return Insight(
            *place,
            format=self._format(value, record.headers),
            events=[Seen.of(event) for event in found],
            refused=[why for _, why in rejections],
            passed_over=passed_now - passed + unsaid,
            unknown_fields={
                name: number - before.get(name, 0) for name, number in after.items() if number > before.get(name, 0)
            },
        )

    def _counts(self) -> tuple[dict[str, int], int]:
        counters = self._decoder.counters
        fields = {f"{kind}.{name}": number for (kind, name), number in counters.unknown_fields.counts.items()}
        return fields, counters.passed_over.total()

    def _format(self, value: bytes, headers: Sequence[tuple[str, bytes]]) -> str:
        limits = self._decoder.limits
        try:
            content = without_registry_prefix(value)
            content = gunzip(content, limits.max_bytes) if is_gzip(content) else content
            return format_of(Payload(content, headers, limits.max_depth)).name
        except RejectedRecord:
            return "unreadable"


async def inspect_topic(settings: Settings, topic: str, last: int | None, since: datetime | None) -> list[Insight]:
    """The last records of a topic, or those since a time, oldest first. Raises TopicMissing, KafkaError."""
    options = kafka_options(settings.kafka)
    partitions = await partitions_of([topic], options)
    if not partitions:
        raise TopicMissing(f"there is no topic {topic}; `midwatch topics create` makes Midwatch's own")
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        records = await _read(consumer, partitions, last, since)
    finally:
        await consumer.stop()
    records.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
    inspector = Inspector(settings, topic)
    return [inspector.look(record) for record in records[-last if last is not None else 0 :]]


async def _read(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], last: int | None, since: datetime | None
) -> list[ConsumerRecord]:
    """The records of all partitions from where they are wanted up to the present end."""
    consumer.assign(partitions)
    begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    starts = {tp: max(begins[tp], ends[tp] - (last if last is not None else MOST)) for tp in partitions}
    if since is not None:
        asked = await consumer.offsets_for_times(dict.fromkeys(partitions, ms_of(since)))
        for tp, found in asked.items():
            starts[tp] = max(starts[tp], found.offset if found is not None else ends[tp])
    for tp, offset in starts.items():
        consumer.seek(tp, offset)
    records: list[ConsumerRecord] = []
    waiting = {tp for tp in partitions if starts[tp] < ends[tp]}
    while waiting:
        for tp, batch in (await consumer.getmany(*waiting, timeout_ms=READ_TIMEOUT_MS)).items():
            records += [record for record in batch if record.offset < ends[tp]]
        waiting = {tp for tp in waiting if await consumer.position(tp) < ends[tp]}
    return records


def _span(fact: SpanFact) -> JsonObject:
    """What a span does, of whom, and what the rules recognised in it."""
    says = {
        "role": Role(fact.role).name.lower(),
        "name": fact.name,
        "agent": fact.agent,
        "root": Root(fact.root).name.lower() if fact.root else "",
        "marks": ", ".join(mark[0] for mark in fact.marks),
    }
    return {name: value for name, value in says.items() if value}


def _time(timestamp: int) -> str | None:
    return rfc3339(timestamp) if timestamp >= 0 else None


def summary(insights: Iterable[Insight]) -> JsonObject:
    """Counts by format: records, events by type, refusals by reason, parts passed over; and unknown fields."""
    formats: dict[str, JsonObject] = {}
    unknown: dict[str, int] = {}
    for one in insights:
        row = formats.setdefault(one.format, {"records": 0, "events": {}, "refused": {}, "passed_over": 0})
        row["records"] += 1
        row["passed_over"] += one.passed_over
        for seen in one.events:
            row["events"][seen.type] = row["events"].get(seen.type, 0) + 1
        for why in one.refused:
            row["refused"][why.reason] = row["refused"].get(why.reason, 0) + 1
        for name, number in one.unknown_fields.items():
            unknown[name] = unknown.get(name, 0) + number
    return {"formats": dict(sorted(formats.items())), "unknown_fields": dict(sorted(unknown.items()))}
