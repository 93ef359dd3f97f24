"""The fast way of fetching gives what the client's own does: the same records, the same positions, the same refusal."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.fetch import BatchSource, RecordSource, is_known, source_of, stretches
from stream.ingest import Record
from stream.settings_sections import KafkaSettings

TP = TopicPartition("agent.interactions", 0)
CODECS = [
    DefaultRecordBatch.CODEC_NONE,
    DefaultRecordBatch.CODEC_GZIP,
    DefaultRecordBatch.CODEC_SNAPPY,
    DefaultRecordBatch.CODEC_LZ4,
    DefaultRecordBatch.CODEC_ZSTD,
]
ABORT, COMMIT = b"\x00\x00\x00\x00", b"\x00\x00\x00\x01"
_CRC, _ATTRIBUTES = slice(17, 21), slice(21, 23)
_HEADER_LAST_DELTA = slice(23, 27)
_CONTROL = 0x20

headers = st.lists(st.tuples(st.sampled_from(["ce_id", "h"]), st.binary(max_size=5)), max_size=2)
values = st.none() | st.binary(max_size=40) | st.integers(20_000, 40_000).map(bytes)
records = st.lists(st.tuples(values, headers), min_size=1, max_size=6)
batch_of = st.fixed_dictionaries(
    {
        "records": records,
        "codec": st.sampled_from(CODECS),
        "gap": st.sampled_from([0, 0, 0, 3]),
        "removed_at_end": st.sampled_from([0, 0, 2]),
        "producer": st.sampled_from([-1, 7, 8]),
        "kind": st.sampled_from(["plain", "plain", "transactional", "abort", "commit"]),
        "corrupt": st.sampled_from([False] * 12 + [True]),
    }
)


def sealed(batch: bytearray) -> bytearray:
    """A batch with the checksum of what it holds now."""
    batch[_CRC] = calc_crc32c(bytes(batch[_ATTRIBUTES.start :])).to_bytes(4, "big")
    return batch


def packed(spec: dict[str, Any], base: int) -> bytearray:
    """One batch from `base` on, as a broker would send it."""
    control = spec["kind"] in ("abort", "commit")
    producer = spec["producer"] if not control or spec["producer"] > 0 else 7
    transactional = int(control or (spec["kind"] == "transactional" and producer > 0))
    builder = DefaultRecordBatchBuilder(2, 0 if control else spec["codec"], transactional, producer, 0, 0, 10_000_000)
    if control:
        builder.append(0, 1000, ABORT if spec["kind"] == "abort" else COMMIT, b"\x00" * 6, [])
    else:
        for number, (value, heads) in enumerate(spec["records"]):
            builder.append(number, 1000 + number, None, value, heads)
    batch = bytearray(builder.build())
    batch[:8] = base.to_bytes(8, "big")
    if control:
        batch[_ATTRIBUTES] = (int.from_bytes(batch[_ATTRIBUTES], "big") | _CONTROL).to_bytes(2, "big")
    else:
        last = int.from_bytes(batch[_HEADER_LAST_DELTA], "big") + spec["removed_at_end"]
        batch[_HEADER_LAST_DELTA] = last.to_bytes(4, "big")
    sealed(batch)
    if spec["corrupt"]:
        batch[-1] ^= 0xFF
    return batch


def log_of(specs: Sequence[dict[str, Any]]) -> tuple[bytes, list[int]]:
    """The batches behind each other, and where each begins."""
    data, base, bases = bytearray(), 0, []
    for spec in specs:
        base += spec["gap"]
        bases.append(base)
        batch = packed(spec, base)
        data += batch
        base += int.from_bytes(batch[_HEADER_LAST_DELTA], "big") + 1
    return bytes(data), bases


Seen = tuple[int, int, bytes | None, list[tuple[str, bytes]]]


def seen(record: Record) -> Seen:
    return record.offset, record.timestamp, record.value, list(record.headers)


def unread(data: bytes, first: int, aborted: list[tuple[int, int]], isolation: int) -> PartitionRecords:
    return PartitionRecords(TP, MemoryRecords(data), list(aborted), first, None, None, True, isolation)


def slowly(found: PartitionRecords) -> tuple[list[Seen], int, bool]:
    """What the client gives by itself: records, position behind them, and whether it then finds a batch corrupt."""
    given_out: list[Seen] = []
    try:
        for record in found:
            given_out.append(seen(record))
    except CorruptRecordException:
        return given_out, found.next_fetch_offset, True
    return given_out, found.next_fetch_offset, False


def quickly(found: PartitionRecords, most: int, piece: int) -> tuple[list[Seen], int, bool]:
    given_out: list[Seen] = []
    try:
        for batches in stretches(found, most):
            for some in batches.pieces(piece):
                assert 0 < len(some) <= piece
                given_out += map(seen, some)
    except CorruptRecordException:
        return given_out, found.next_fetch_offset, True
    return given_out, found.next_fetch_offset, False


@settings(deadline=None, max_examples=80)
@given(
    st.lists(batch_of, max_size=6),
    st.integers(0, 8),
    st.lists(st.tuples(st.sampled_from([7, 8]), st.integers(0, 20)), max_size=3),
    st.sampled_from([fetcher.READ_COMMITTED, fetcher.READ_UNCOMMITTED]),
    st.sampled_from([1, 3, 1000]),
    st.sampled_from([1, 2, 500]),
    st.integers(0, 30),
)
def test_batches_hold_what_the_client_gives_record_by_record(
    specs: list[dict[str, Any]],
    first: int,
    aborted: list[tuple[int, int]],
    isolation: int,
    most: int,
    piece: int,
    cut: int,
) -> None:
    """Compressed, transactional, aborted, control, compacted, corrupt and truncated batches, tombstones, headers."""
    data, _ = log_of(specs)
    data = data[: len(data) - cut] if specs else data
    wanted = slowly(unread(data, first, aborted, isolation))
    assert quickly(unread(data, first, aborted, isolation), most, piece) == wanted


def test_a_corrupt_batch_does_not_take_those_before_it_along() -> None:
    """All up to it is given out, with the position behind that; only then it is refused."""
    plain = {"codec": 0, "gap": 0, "removed_at_end": 0, "producer": -1, "kind": "plain", "corrupt": False}
    last = plain | {"records": [(b"c", [])], "corrupt": True}
    data, bases = log_of([plain | {"records": [(b"a", []), (b"b", [])]}] * 2 + [last])
    found = unread(data, 0, [], fetcher.READ_COMMITTED)
    loop = stretches(found, 1000)
    assert [record.offset for some in next(loop).pieces(500) for record in some] == [0, 1, 2, 3]
    assert found.next_fetch_offset == bases[2] == 4
    with pytest.raises(CorruptRecordException):
        next(loop)


def test_batches_of_the_old_formats_are_read() -> None:
    """What a topic holds from before Kafka 0.11 comes out as well."""
    builder = LegacyRecordBatchBuilder(1, 0, 10_000)
    for number in range(3):
        builder.append(number, 1000 + number, None, b"v%d" % number)
    data = bytes(builder.build())
    wanted = slowly(unread(data, 1, [], fetcher.READ_COMMITTED))
    assert len(wanted[0]) == 2
    assert quickly(unread(data, 1, [], fetcher.READ_COMMITTED), 1000, 500) == wanted


class FakeConsumer:
    """As much of a consumer as a source needs: results that arrive in its fetcher, given out one stretch a call."""

    def __init__(self) -> None:
        self._fetcher = type("Fetcher", (), {"_records": {}, "_proc_fetch_request": self.answer})()
        self.errors: list[Exception] = []
        self.states: dict[TopicPartition, Any] = {}
        self.answered: set[TopicPartition] = set()
        self.polled_ms: int | None = None
        self.seconds = 1_767_607_200.0
        """What both clocks say."""

    async def answer(self, assignment: Any, _node_id: int, _request: Any) -> bool:
        """What the client does with an answer, as far as it is noted."""
        self.seconds += 0.01
        for tp in self.answered:
            assignment.state_value(tp).timestamp = 1
        return bool(self.answered)

    def last_poll_timestamp(self, _tp: TopicPartition) -> int | None:
        return self.polled_ms

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        for tp, result in list(self._fetcher._records.items()):
            stretch = next(result._partition_records, None)
            if stretch is not None:
                return {tp: [stretch]}
            del self._fetcher._records[tp]
        if self.errors:
            raise self.errors.pop(0)
        return {}


def arrival(count: int) -> FetchResult:
    plain = {"codec": 3, "gap": 0, "removed_at_end": 0, "producer": -1, "kind": "plain", "corrupt": False}
    data, _ = log_of([plain | {"records": [(b"v", [])] * 10}] * count)
    records = unread(data, 0, [], fetcher.READ_COMMITTED)
    return FetchResult(TP, assignment=None, partition_records=records, backoff=0)


async def test_a_fetch_is_bounded_and_goes_on_where_it_stopped() -> None:
    """No more than a batch beyond the bound is taken at once, and nothing is left out."""
    consumer = FakeConsumer()
    source = BatchSource(consumer, 25, lambda: 100)
    consumer._fetcher._records[TP] = arrival(6)
    sizes, offsets = [], []
    while found := await source.fetch(10):
        sizes.append(found[TP].records)  # type: ignore[union-attr]
        offsets += [record.offset for some in found[TP].pieces(7) for record in some]  # type: ignore[union-attr]
    assert sizes == [30, 30]
    assert offsets == list(range(60))


async def test_an_error_behind_records_waits_for_the_next_fetch() -> None:
    """What came before the error counts; the error is not lost either."""
    consumer = FakeConsumer()
    source = BatchSource(consumer, 1000, lambda: 100)
    consumer._fetcher._records[TP] = arrival(1)
    consumer.errors.append(CorruptRecordException("bad"))
    assert (await source.fetch(10))[TP].records == 10  # type: ignore[union-attr]
    with pytest.raises(CorruptRecordException):
        await source.fetch(10)
    assert await source.fetch(10) == {}


def test_a_client_of_another_version_is_used_through_its_public_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Private parts are relied on only where they are known; the configuration can refuse them altogether."""
    assert is_known("0.14.0")
    assert not is_known("0.15.0")
    assert isinstance(source_of(FakeConsumer(), KafkaSettings(), lambda: 100), BatchSource)
    assert isinstance(source_of(FakeConsumer(), KafkaSettings(fetch="records"), lambda: 100), RecordSource)
    monkeypatch.setattr("stream.fetch.version", lambda _name: "0.15.1")
    assert isinstance(source_of(FakeConsumer(), KafkaSettings(), lambda: 100), RecordSource)


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    """One whose answers take ten milliseconds by the clocks that a source reads."""
    found = FakeConsumer()
    clocks = SimpleNamespace(time=lambda: found.seconds, monotonic=lambda: found.seconds)
    monkeypatch.setattr("stream.fetch.time", clocks)
    return found


async def test_when_a_partition_was_asked_for_is_noted_if_it_is_answered(consumer: FakeConsumer) -> None:
    """Only what the broker answered counts, and as of when it was asked: what came meanwhile may not be in there."""
    other = TopicPartition("agent.usage", 1)
    waits = [100]
    source = BatchSource(consumer, 1000, lambda: waits[0])
    states = {tp: SimpleNamespace(timestamp=None) for tp in (TP, other)}
    assignment = SimpleNamespace(state_value=states.get)
    request = SimpleNamespace(topics=[(tp.topic, [(tp.partition, 0, 1)]) for tp in (TP, other)])
    assert source.asked_ago_ms(TP) is None
    consumer.answered = {TP}
    assert await consumer._fetcher._proc_fetch_request(assignment, 1, request) is True
    assert source.asked_ago_ms(TP) == pytest.approx(10, abs=0.1), "it was sent before the answer"
    assert source.asked_ago_ms(other) is None, "the broker said nothing of it"
    states.pop(other)
    consumer.answered, waits[0] = set(), 10
    assert await consumer._fetcher._proc_fetch_request(assignment, 1, request) is False
    assert source.asked_ago_ms(TP) == pytest.approx(20, abs=0.1), "the answer was passed over, or failed"
    assert source.asked_ago_ms(other) is None, "it went to another worker meanwhile"
    assert consumer._fetcher._fetch_max_wait_ms == 10, "the next fetch, which the client sends at once, waits as long"


def test_the_public_interface_tells_when_the_answer_came(consumer: FakeConsumer) -> None:
    """The fetch may have waited as long as it may; of a partition that was never answered nothing is known."""
    source = RecordSource(consumer, 10, 250)
    assert source.asked_ago_ms(TP) is None
    now_ms = round(consumer.seconds * 1000)
    consumer.polled_ms = now_ms - 1000
    assert source.asked_ago_ms(TP) == 1250
    consumer.polled_ms = now_ms + 3_600_000
    assert source.asked_ago_ms(TP) is None, "the clock was put back meanwhile"
