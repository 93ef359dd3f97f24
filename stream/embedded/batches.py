"""Record batches (message format 2) as bytes: what is read of their header, and the one field that the broker rewrites.

Layout: Kafka documentation, "Record Batch". The records inside stay as the producer sent them, compressed or not.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from aiokafka.record.memory_records import MemoryRecords

from stream.embedded.codes import Code, Refused

_HEADER = struct.Struct(">qiibIhiqqqhii")
_PLACE = struct.Struct(">qii")
_PREFIX_BYTES = 12
_MAGIC = 2
_TRANSACTIONAL = 0x10
_CONTROL = 0x20
NO_PRODUCER = -1


@dataclass(frozen=True, slots=True)
class Batch:
    """One record batch.

    Attributes:
        data: the whole batch, header included.
        records: how many records it holds.
        max_timestamp: the latest record time in it, ms since the epoch.
        producer_id: of an idempotent producer, or `NO_PRODUCER`.
        producer_epoch: that goes with the producer id.
        base_sequence: sequence number of the first record.
    """

    data: bytes
    records: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int

    def placed_at(self, offset: int) -> bytes:
        """The batch's bytes with `offset` as its base offset.

        The checksum does not cover this field, so it stays valid.
        """
        return _PLACE.pack(offset, len(self.data) - _PREFIX_BYTES, 0) + self.data[_PLACE.size :]


def split_batches(data: bytes) -> Iterator[Batch]:
    """The batches of one partition of a Produce request.

    Raises:
        Refused: CORRUPT_MESSAGE, when the bytes are no whole batches of format 2; INVALID_REQUEST, when a batch belongs
            to a transaction or is a control batch.
    """
    at = 0
    while at < len(data):
        if len(data) - at < _HEADER.size:
            raise Refused(Code.CORRUPT_MESSAGE, f"{len(data) - at} bytes are no record batch")
        batch = _read_batch(data, at)
        yield batch
        at += len(batch.data)


def _read_batch(data: bytes, at: int) -> Batch:
    _, length, _, magic, _, attributes, last_delta, _, newest, producer, epoch, sequence, records = _HEADER.unpack_from(
        data, at
    )
    end = at + _PREFIX_BYTES + length
    if magic != _MAGIC:
        raise Refused(Code.CORRUPT_MESSAGE, f"message format {magic}; only format 2 is kept")
    if end > len(data) or end - at < _HEADER.size or records < 1 or last_delta != records - 1:
        raise Refused(Code.CORRUPT_MESSAGE, f"a batch of {length} bytes and {records} records does not add up")
    if attributes & (_TRANSACTIONAL | _CONTROL):
        raise Refused(Code.INVALID_REQUEST, "the embedded broker has no transactions")
    return Batch(data[at:end], records, newest, producer, epoch, sequence)


def first_record_at(data: bytes, timestamp: int, least_offset: int) -> tuple[int, int] | None:
    """(timestamp, offset) of the first record that is not older than `timestamp` (ms), from `least_offset` on.

    Args:
        data: a batch as `placed_at` gives it.
        timestamp: in ms since the epoch.
        least_offset: records before it are deleted, though their batch is kept.
    """
    for record in MemoryRecords(data).next_batch():
        if record.timestamp >= timestamp and record.offset >= least_offset:
            return record.timestamp, record.offset
    return None
