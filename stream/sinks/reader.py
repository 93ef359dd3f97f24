"""The Kafka side of one sink: its own consumer group on `midwatch.verdicts`, its lanes, and its commits.

The group is `GROUP_ID-sink-NAME`, so each destination has an offset of its own. A partition that comes in hand is first
read back, without sending, up to what is committed: then it is known what stands open at the destination. When
partitions go, what is being sent may end and is committed, and all else is let go of.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from schemas.words import VERDICTS_TOPIC
from stream.settings_clients import kafka_options
from stream.settings_sections import KafkaSettings
from stream.sinks.base import SinkSettings
from stream.sinks.course import Course, Filter, quiets
from stream.sinks.history import HISTORY_MS, read_history, read_stale, read_verdict
from stream.sinks.lanes import Lanes, Waiting

MOST_WAITING: Final = 2000
"""Verdicts read ahead; beyond, reading waits for the destination."""

BATCH_RECORDS: Final = 200
POLL_MS: Final = 250
QUIESCE_SECONDS: Final = 20.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.sinks")


def group_of(kafka: KafkaSettings, name: str) -> str:
    """The consumer group of a sink."""
    return f"{kafka.group_id}-sink-{name}"


class Reader(ConsumerRebalanceListener):
    """Fills `lanes` and keeps `course`; `sending` is held by whoever sends."""

    def __init__(self, name: str, settings: SinkSettings, kafka: KafkaSettings, wall_ms: Callable[[], int]) -> None:
        self.lanes = Lanes()
        self.course = Course()
        self.sending = asyncio.Lock()
        self.news = asyncio.Event()
        self.note: dict[str, str] = {}
        """What stands beside the offsets, for `midwatch sinks list`."""
        self._name = name
        self._settings = settings
        self._filter = Filter(settings)
        self._wall_ms = wall_ms
        self._options = {**kafka_options(kafka), "client_id": f"{kafka.client_id}-sink-{name}"}
        self._consumer = AIOKafkaConsumer(
            **self._options,
            group_id=group_of(kafka, name),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_interval_ms=kafka.session_timeout_ms // 4,
            max_poll_interval_ms=600_000,
        )
        self._committed: dict[TopicPartition, tuple[int, str]] = {}
        self._resuming = False
        self._backlog: dict[tuple[str, int], int] = {}

    async def start(self) -> None:
        """Join the group."""
        await self._consumer.start()
        self._consumer.subscribe([VERDICTS_TOPIC], listener=self)

    async def stop(self) -> None:
        """Commit what is done and leave the group."""
        try:
            await asyncio.wait_for(self.commit(), 5)
        except (KafkaError, TimeoutError):
            log.warning("sink_offsets_not_committed", sink=self._name)
        await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let what is being sent end, commit, and let go."""
        self._resuming = True
        if not list(revoked):
            return
        try:
            async with asyncio.timeout(QUIESCE_SECONDS), self.sending:
                await self.commit()
        except (KafkaError, TimeoutError):
            log.warning("sink_offsets_not_committed", sink=self._name)
        self._let_go()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """They are taken in hand by `poll`, outside of the client's own routine."""
        del assigned
        self._let_go()
        self._resuming = False

    def _let_go(self) -> None:
        self.lanes.clear()
        self.course = Course()
        self._committed.clear()
        self._backlog.clear()

    def knows_what_came(self, place: tuple[str, int]) -> bool:
        """Whether all that stood on a partition when it came in hand was read, or as much as is ever read ahead."""
        return self.lanes.read_to(place) >= self._backlog.get(place, 0) or len(self.lanes) >= MOST_WAITING

    async def poll(self) -> None:
        """Read on, unless a rebalance is under way or enough waits."""
        if not self._resuming:
            assigned = sorted(self._consumer.assignment())
            if new := [one for one in assigned if not self.lanes.holds((one.topic, one.partition))]:
                await self._take_in_hand(new)
        full = len(self.lanes) >= MOST_WAITING
        held = [one for one in self._consumer.assignment() if self.lanes.holds((one.topic, one.partition))]
        if full or not held:
            await asyncio.sleep(POLL_MS / 1000)
            return
        batch = await self._consumer.getmany(*held, timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
        for partition, records in batch.items():
            place = (partition.topic, partition.partition)
            for record in records:
                if self.lanes.holds(place):
                    verdict = read_verdict(record.value)
                    value = record.value or b""
                    stale = read_stale(record.headers)
                    self.lanes.add(Waiting(place, record.offset, value, record.timestamp, verdict, stale))
        if batch:
            self.news.set()

    async def _take_in_hand(self, partitions: list[TopicPartition]) -> None:
        course, now = self.course, self._wall_ms()
        offsets = {one: await self._start_of(one) for one in partitions}
        ends = await self._consumer.end_offsets(partitions)
        known = await read_history(self._options, offsets, now - HISTORY_MS)
        if course is not self.course or self._resuming:
            return  # a rebalance came in between
        for verdict, at_ms, stale in known:
            heard = course.heard(verdict.incident_id)
            if stale and not quiets(verdict):
                continue
            told = self._filter.takes(verdict) or (heard is not None and heard.loud)
            course.note(verdict, at_ms, told=told)
        for one, offset in offsets.items():
            self._consumer.seek(one, offset)
            self._backlog[one.topic, one.partition] = ends[one]
            self.lanes.begin((one.topic, one.partition), offset)
        log.info("sink_partitions", sink=self._name, partitions=len(partitions), known=len(known))
        self.news.set()

    async def _start_of(self, partition: TopicPartition) -> int:
        """Where to go on; at the very first start it is committed, so that a crash does not begin anew."""
        offset: int | None = await self._consumer.committed(partition)
        if offset is not None:
            return offset
        at = self._consumer.end_offsets if self._settings.start_at == "latest" else self._consumer.beginning_offsets
        first: int = (await at([partition]))[partition]
        await self._consumer.commit({partition: OffsetAndMetadata(first, "")})
        return first

    async def commit(self) -> None:
        """Commit what is done, with the note beside it. Raises KafkaError."""
        note = json.dumps(self.note, sort_keys=True) if self.note else ""
        wanted = {TopicPartition(*place): (offset, note) for place, offset in self.lanes.committable().items()}
        changed = {one: value for one, value in wanted.items() if self._committed.get(one) != value}
        if changed:
            await self._consumer.commit({one: OffsetAndMetadata(*value) for one, value in changed.items()})
            self._committed.update(changed)

    async def lag(self) -> int:
        """Verdicts on the topic that are not yet done with, of the partitions in hand."""
        places = self.lanes.committable()
        if not places:
            return 0
        ends: dict[Any, int] = await self._consumer.end_offsets([TopicPartition(*place) for place in places])
        return sum(max(0, ends[TopicPartition(*place)] - done) for place, done in places.items())
