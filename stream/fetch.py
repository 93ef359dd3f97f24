"""Records from Kafka, as ingest takes them: through the client's public interface, or whole batches at a time.

aiokafka's `getmany` makes an object of eleven fields for every record, in Python, of which ingest reads four; that
takes longer than unpacking the batch does. `BatchSource` takes batches, and the records as the client's own compiled
parser finds them in there. It does so by putting its own loop over record batches in the place of the client's
(`PartitionRecords._unpack_records`), and around the client's step of a fetch (`Fetcher._proc_fetch_request`) it notes
when that was sent and how long the next may wait. Those are private parts of the client: positions, rebalances, pauses,
prefetching and errors stay its business. Where the installed client is not one whose insides are known, or the
configuration says so, `RecordSource` is taken, which gives the same records.
"""

# The client's private parts are what this is about.
# ruff: noqa: SLF001

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from typing import Any, Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, KafkaError

from stream.ingest import Record, Records
from stream.settings_sections import KafkaSettings

KNOWN_CLIENTS: Final = ("0.14.",)
"""Versions of aiokafka whose insides `BatchSource` was written and tested against, by how they begin."""

STRETCH: Final = 1000
"""Batches are handed on when they hold so many records, or all that a fetch brought."""

Fetched = dict[TopicPartition, Records]

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.ingest")


class Source(Protocol):
    """Where ingest takes its records from."""

    async def fetch(self, timeout_ms: int) -> Fetched:
        """What there is, up to the source's bound, by partition in the order of offsets; nothing if none comes in time.

        Raises:
            KafkaError: as the client's `getmany` does.
        """
        ...

    def asked_ago_ms(self, tp: TopicPartition) -> float | None:
        """How long ago the newest fetch that was answered for a partition was sent, or earlier; None if none was.

        All that the broker had stored by then is in the answer: the high watermark, and the records up to it.
        """
        ...


class RecordSource:
    """A consumer's public `getmany`. The consumer's fetches wait for `max_wait_ms` at most."""

    def __init__(self, consumer: AIOKafkaConsumer, max_records: int, max_wait_ms: int) -> None:
        self._consumer = consumer
        self._max_records = max_records
        self._max_wait_ms = max_wait_ms

    async def fetch(self, timeout_ms: int) -> Fetched:
        """See `Source`."""
        return dict(await self._consumer.getmany(timeout_ms=timeout_ms, max_records=self._max_records))

    def asked_ago_ms(self, tp: TopicPartition) -> float | None:
        """See `Source`. The client says when the answer came; it may have waited as long as it may."""
        answered: float | None = self._consumer.last_poll_timestamp(tp)
        if not answered:
            return None
        # Both by this process's own clock, which may be wrong, or put back meanwhile: then it says nothing.
        ago = time.time() * 1000 - answered
        return ago + self._max_wait_ms if ago >= 0 else None


class Batches:
    """Record batches of one partition, in order, checked but still packed. To be read once.

    They are unpacked a piece at a time, so that a record is decoded while it is in the processor's cache.
    """

    def __init__(self) -> None:
        self.records = 0
        self._batches: list[tuple[Any, int]] = []

    def add(self, batch: Any, first: int) -> None:
        """Take a batch, of which the records from offset `first` on are wanted."""
        self._batches.append((batch, first))
        # A batch of a format before 2 does not say where it begins.
        self.records += batch.next_offset - getattr(batch, "base_offset", batch.next_offset - 1)

    def extend(self, other: Batches) -> None:
        """Take what comes behind these."""
        self._batches += other._batches
        self.records += other.records

    def pieces(self, most: int) -> Iterator[list[Record]]:
        """The records in the order of offsets, `most` at a time.

        Whoever lets go of a piece before asking for the next gives that the same memory, which is in the processor's
        cache: nothing here holds on to it.
        """
        waiting: list[Record] = []
        for batch, first in self._batches:
            records = islice(batch, None)  # the batch itself must not be asked for an iterator twice
            while got := list(islice(records, most - len(waiting))):
                if got[0].offset < first:
                    # A compressed batch comes whole, though what was asked for may begin in its middle.
                    got = [one for one in got if one.offset >= first]
                waiting = waiting + got if waiting else got
                del got
                if len(waiting) == most:
                    yield waiting
                    waiting = []
        if waiting:
            yield waiting


class BatchSource:
    """Takes a started consumer's record batches as they come. From then on its `getmany` gives nothing else.

    `max_records` is kept to within a batch, and counts the offsets of records that compaction removed. `wait_ms` says
    how long a fetch that is about to be sent may wait for data.
    """

    def __init__(self, consumer: AIOKafkaConsumer, max_records: int, wait_ms: Callable[[], int]) -> None:
        self._consumer = consumer
        self._max_records = max_records
        self._wait_ms = wait_ms
        self._failed: KafkaError | None = None
        self._asked: dict[TopicPartition, float] = {}
        consumer._fetcher._records = _Arriving(min(STRETCH, max_records))
        self._send = consumer._fetcher._proc_fetch_request
        consumer._fetcher._proc_fetch_request = self._ask

    async def fetch(self, timeout_ms: int) -> Fetched:
        """See `Source`."""
        if self._failed is not None:
            error, self._failed = self._failed, None
            raise error
        found: dict[TopicPartition, Batches] = {}
        while sum(batches.records for batches in found.values()) < self._max_records:
            try:
                # For the client a stretch is a record: it moves the position on by what is in it.
                got = await self._consumer.getmany(timeout_ms=0 if found else timeout_ms, max_records=1)
            except KafkaError as error:
                if not found:
                    raise
                self._failed = error  # the client says it once; what came before it counts
                break
            if not got:
                break
            for tp, (stretch,) in got.items():
                found.setdefault(tp, Batches()).extend(stretch)
        return dict(found)

    def asked_ago_ms(self, tp: TopicPartition) -> float | None:
        """See `Source`."""
        asked = self._asked.get(tp)
        return None if asked is None else (time.monotonic() - asked) * 1000

    async def _ask(self, assignment: Any, node_id: int, request: Any) -> bool:
        """The client's own step of a fetch, with a note of when it was sent for the partitions that were answered."""
        asked = {TopicPartition(topic, one[0]) for topic, those in request.topics for one in those}
        sent = time.monotonic()
        arrived: bool = await self._send(assignment, node_id, request)
        for tp in asked:
            state = assignment.state_value(tp)
            if state and state.timestamp is not None:
                # The client puts a time there when it takes an answer in. Taken away again: the next is the next one's.
                self._asked[tp], state.timestamp = sent, None
        self._consumer._fetcher._fetch_max_wait_ms = self._wait_ms()
        return arrived


class _Arriving(dict[TopicPartition, Any]):
    """What the client has fetched and not yet given out; every arrival gets the loop over batches below."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        if type(result) is FetchResult:
            unread = result._partition_records
            unread._records_iterator = stretches(unread, self._most)
        super().__setitem__(tp, result)


def stretches(unread: PartitionRecords, most: int) -> Iterator[Batches]:
    """The batches of one fetched partition, `most` records or more at a time; the client's own rules, batch by batch.

    Checksums are verified, control batches and aborted transactions are passed over. `next_fetch_offset` is kept as
    the client does.

    Raises:
        CorruptRecordException: a batch is not what its checksum says; all before it has been given out.
    """
    waiting = Batches()
    while unread._records.has_next():
        batch = unread._records.next_batch()
        if unread._check_crcs and not batch.validate_crc():
            if waiting.records:
                yield waiting
            raise CorruptRecordException(f"Invalid CRC - {unread._tp}")
        if not _is_passed_over(unread, batch):
            waiting.add(batch, unread.next_fetch_offset)
        # The last offset of a batch stays in its header when compaction removes the record.
        unread.next_fetch_offset = batch.next_offset
        if waiting.records >= most:
            yield waiting
            waiting = Batches()
    if waiting.records:
        yield waiting


def _is_passed_over(unread: PartitionRecords, batch: Any) -> bool:
    """Whether nothing in a batch counts: it is a control batch, or its transaction was aborted."""
    if unread._isolation_level == READ_COMMITTED and batch.producer_id is not None:
        unread._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and unread._contains_abort_marker(batch):
            unread._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in unread._aborted_producers:
            return True
    return bool(batch.is_control_batch)


def is_known(client_version: str) -> bool:
    """Whether the client's insides are those that `BatchSource` builds on."""
    return client_version.startswith(KNOWN_CLIENTS)


def source_of(consumer: AIOKafkaConsumer, kafka: KafkaSettings, wait_ms: Callable[[], int]) -> Source:
    """The source for a consumer that is started and has fetched nothing yet; how long fetches wait, if that can be."""
    public = RecordSource(consumer, kafka.max_batch_records, kafka.fetch_max_wait_ms)
    if kafka.fetch == "records":
        return public
    installed = version("aiokafka")
    if not is_known(installed):
        log.warning("fetching_by_record", aiokafka=installed, known=KNOWN_CLIENTS)
        return public
    return BatchSource(consumer, kafka.max_batch_records, wait_ms)
