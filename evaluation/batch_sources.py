"""Where the interactions of a batch come from: a file of JSON lines, or a range of time on Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.adapters import Decoded, Decoder
from stream.adapters.native import Interaction
from stream.assembly import record_limits
from stream.restore import READ_TIMEOUT_MS, partitions_of
from stream.settings import Settings
from stream.settings_clients import kafka_options

BATCH: Final = 1_000
MAX_LINE: Final = 4_000_000
BAD_KEPT: Final = 10
SILENT_POLLS: Final = 30
"""Answers without a record after which Kafka counts as silent; each is waited for `READ_TIMEOUT_MS`."""


class SourceError(ValueError):
    """There is nothing that could be read; says what and why."""


@dataclass(frozen=True, slots=True)
class Range:
    """From when to when, in milliseconds since 1970; the end is not part of it. None for any time."""

    since_ms: int | None = None
    until_ms: int | None = None

    def has(self, event: Interaction) -> bool:
        """Whether an interaction lies in it, by its own time."""
        return (self.since_ms is None or event.time >= self.since_ms) and (
            self.until_ms is None or event.time < self.until_ms
        )


@dataclass(slots=True)
class SourceRead:
    """What was read: interactions in the range, those outside, other events, and records that are no event."""

    interactions: int = 0
    outside: int = 0
    others: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    cut: bool = False
    """There was more than the most that is read."""

    def take(self, decoded: Decoded, places: Sequence[str], when: Range, take: Callable[[Interaction], None]) -> None:
        """Hand on the interactions of a batch, and count the rest."""
        for position, rejection in decoded.rejections:
            self.rejected[rejection.reason] += 1
            if len(self.bad) < BAD_KEPT:
                self.bad.append(f"{places[position]}: {rejection.reason}: {rejection.detail}")
        for event in decoded.events:
            if not isinstance(event, Interaction):
                self.others += 1
            elif when.has(event):
                self.interactions += 1
                take(event)
            else:
                self.outside += 1


def read_file(path: Path, settings: Settings, when: Range, take: Callable[[Interaction], None]) -> SourceRead:
    """Hand every interaction of a file to `take`, in its order, a batch of lines at a time. Raises OSError."""
    decoder, found = Decoder(record_limits(settings, by_age=False)), SourceRead()
    with path.open("rb") as file:
        numbered = enumerate(_lines(file), 1)
        while piece := list(islice(numbered, BATCH)):
            kept = [(number, line) for number, line in piece if line.strip()]
            decoded = decoder.decode_batch([(line, (), -1) for _, line in kept])
            found.take(decoded, [f"{path}, line {number}" for number, _ in kept], when, take)
    return found


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines; of one that is too long its beginning, which no event is."""
    while line := file.readline(MAX_LINE):
        yield line
        while len(line) == MAX_LINE and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE)


async def read_range(settings: Settings, when: Range, most: int, take: Callable[[Interaction], None]) -> SourceRead:
    """Hand the interactions of a range on Kafka to `take`: at most `most` records, up to the topics' present end.

    A record may be older than its event, by `engine.max_future_seconds` at most: reading starts that much earlier.
    Joins no consumer group and commits nothing. Raises SourceError, KafkaError.
    """
    kafka = kafka_options(settings.kafka)
    partitions = await partitions_of(settings.sampling.topics, kafka)
    if not partitions:
        raise SourceError(f"there is none of the topics {', '.join(settings.sampling.topics)} (sampling.topics)")
    found, decoder = SourceRead(), Decoder(record_limits(settings, by_age=False))
    consumer = AIOKafkaConsumer(**kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await _seek(consumer, partitions, (when.since_ms or 0) - settings.engine.max_future_seconds * 1000)
        waiting = {tp for tp in partitions if await consumer.position(tp) < ends[tp]}
        silent, read = 0, 0
        while waiting and not found.cut:
            batches = await consumer.getmany(*waiting, timeout_ms=READ_TIMEOUT_MS, max_records=BATCH)
            for tp, records in batches.items():
                fresh = [one for one in records if one.offset < ends[tp]]
                decoded = decoder.decode_batch([(one.value, one.headers, one.timestamp) for one in fresh])
                found.take(decoded, [f"{tp.topic}/{tp.partition}@{one.offset}" for one in fresh], when, take)
                read += len(fresh)
            found.cut = read >= most
            waiting = {tp for tp in waiting if await consumer.position(tp) < ends[tp]}
            silent = 0 if batches else silent + 1
            if waiting and silent >= SILENT_POLLS:
                raise SourceError(f"Kafka gave no record of {_named(waiting)} for {SILENT_POLLS} s")
        found.cut = found.cut and bool(waiting)
        return found
    finally:
        await consumer.stop()


async def _seek(consumer: AIOKafkaConsumer, partitions: list[TopicPartition], since_ms: int) -> None:
    starts = await consumer.offsets_for_times(dict.fromkeys(partitions, max(since_ms, 0)))
    for tp in partitions:
        start = starts.get(tp)
        if start is None:
            await consumer.seek_to_end(tp)
        else:
            consumer.seek(tp, start.offset)


def _named(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(sorted(f"{tp.topic}/{tp.partition}" for tp in partitions))
