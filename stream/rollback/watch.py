"""What the subscriber watches: the newest verdict of each incident, and what humans say.

Verdicts are shared among subscribers by a consumer group. Where they are read from does not hang on what the group has
committed (which is for lag displays): whoever gets a partition reads back as far as a verdict can still matter, so that
it knows the newest revision of each incident, however the last reader ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError
from pydantic import ValidationError

from schemas.controls import CONTROL, Approval
from schemas.outputs import Verdict
from schemas.words import CONTROLS_TOPIC, VERDICTS_TOPIC
from stream.restore import partitions_of
from stream.rollback.book import ApprovalBook
from stream.sinks.history import read_stale

READ_MS: Final = 200
MAX_POLL_MS: Final = 3_600_000
"""The group waits this long for a subscriber that is at work on an action; one that is gone it notices by its silence.
"""

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.rollback")


class WatchError(RuntimeError):
    """A topic is missing; the message says which."""


class Watch(ConsumerRebalanceListener):
    """The verdicts of the partitions that the group has given to this subscriber."""

    def __init__(
        self, kafka: dict[str, Any], group_id: str, session_ms: int, look_back_ms: int, wall_ms: Callable[[], int]
    ) -> None:
        self._newest: dict[int, dict[str, Verdict]] = {}
        self._kafka = kafka
        self._look_back_ms = look_back_ms
        self._wall_ms = wall_ms
        self._consumer = AIOKafkaConsumer(
            **kafka,
            group_id=group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 4,
            max_poll_interval_ms=MAX_POLL_MS,
        )

    @property
    def newest(self) -> dict[str, Verdict]:
        """The newest revision of each incident."""
        return {key: verdict for part in self._newest.values() for key, verdict in part.items()}

    def newest_of(self, incident_id: str) -> Verdict | None:
        """The newest revision of an incident; None if none is known, as where its partition is not ours."""
        return next((part[incident_id] for part in self._newest.values() if incident_id in part), None)

    async def start(self) -> None:
        """Join the group. Raises WatchError, KafkaError."""
        if not await partitions_of([VERDICTS_TOPIC], self._kafka):
            raise WatchError(f"there is no topic {VERDICTS_TOPIC}; run: midwatch topics create")
        await self._consumer.start()
        self._consumer.subscribe([VERDICTS_TOPIC], listener=self)

    async def stop(self) -> None:
        """Leave the group."""
        await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Forget what is no longer ours."""
        for tp in revoked:
            self._newest.pop(tp.partition, None)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Read back as far as it matters."""
        tps = list(assigned)
        since = self._wall_ms() - self._look_back_ms
        by_time = await self._consumer.offsets_for_times(dict.fromkeys(tps, since)) if tps else {}
        ends = await self._consumer.end_offsets(tps) if tps else {}
        for tp in tps:
            found = by_time.get(tp)
            self._consumer.seek(tp, found.offset if found is not None else ends[tp])
            self._newest[tp.partition] = {}
        log.info("watching", partitions=[tp.partition for tp in tps])

    async def poll(self, timeout_ms: int) -> None:
        """Take in what came; waits up to the time-out if there is nothing. Raises KafkaError."""
        for tp, records in (await self._consumer.getmany(timeout_ms=timeout_ms)).items():
            for record in records:
                self._take(tp.partition, record.value or b"", stale=bool(read_stale(record.headers)))

    async def is_current(self) -> bool:
        """Whether all that was written before this call has been taken in. Raises KafkaError."""
        tps = list(self._consumer.assignment())
        ends = await self._consumer.end_offsets(tps) if tps else {}
        for tp in tps:
            if tp.partition not in self._newest or await self._consumer.position(tp) < ends[tp]:
                return False
        return set(tps) == set(self._consumer.assignment())

    async def commit(self) -> None:
        """Show the group how far we are."""
        try:
            await self._consumer.commit()
        except CommitFailedError:
            log.info("commit_refused")  # The group has shared its partitions anew; nothing hangs on it.

    def prune(self, oldest: datetime) -> None:
        """Forget incidents of which nothing was heard since."""
        for part, verdicts in self._newest.items():
            self._newest[part] = {key: one for key, one in verdicts.items() if one.decided_at >= oldest}

    def _take(self, partition: int, value: bytes, *, stale: bool = False) -> None:
        try:
            verdict = Verdict.model_validate_json(value)
        except ValidationError:
            log.warning("no_verdict", topic=VERDICTS_TOPIC, partition=partition)
            return
        verdicts = self._newest.setdefault(partition, {})
        known = verdicts.get(verdict.incident_id)
        if known is not None and known.revision >= verdict.revision + (not stale):
            return
        if stale and verdict.recommendation.kind == "rollback" and verdict.status != "resolved":
            # The engine is catching up: it may take this back in what it has not evaluated yet. What it said before is
            # over as well. If it still stands in the present, it is said again, unmarked.
            verdicts.pop(verdict.incident_id, None)
            return
        verdicts[verdict.incident_id] = verdict


class Controls:
    """The approvals on `midwatch.controls`; every subscriber reads all of them."""

    def __init__(self, kafka: dict[str, Any], book: ApprovalBook) -> None:
        self.book = book
        self._kafka = kafka
        self._tps: list[TopicPartition] = []
        self._consumer = AIOKafkaConsumer(**kafka, enable_auto_commit=False, auto_offset_reset="earliest")

    async def start(self) -> None:
        """Begin at the topic's beginning. Raises WatchError, KafkaError."""
        self._tps = await partitions_of([CONTROLS_TOPIC], self._kafka)
        if not self._tps:
            raise WatchError(f"there is no topic {CONTROLS_TOPIC}; run: midwatch topics create")
        await self._consumer.start()
        self._consumer.assign(self._tps)
        await self._consumer.seek_to_beginning(*self._tps)

    async def stop(self) -> None:
        """Let go of the client."""
        await self._consumer.stop()

    async def catch_up(self) -> None:
        """Take in all that was written before this call. Raises KafkaError."""
        ends = await self._consumer.end_offsets(self._tps)
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await self._consumer.getmany(timeout_ms=READ_MS)).values():
                for record in records:
                    self._take(record.value)
            await asyncio.sleep(0)

    def _take(self, value: bytes | None) -> None:
        if value is None:
            return
        try:
            control = CONTROL.validate_json(value)
        except ValidationError:
            return  # The engine says so, with a dead letter.
        if isinstance(control, Approval):
            self.book.apply(control)
