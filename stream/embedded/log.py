"""The log of one partition: batches in memory, found by offset or by time, bounded in bytes."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from stream.embedded.batches import Batch, first_record_at
from stream.embedded.codes import Code, Refused
from stream.embedded.producers import Producers

UNLIMITED = -1
_TRIM_FRACTION = 8
"""An eighth of the bound is dropped at a time, as Kafka drops whole segments: appends stay cheap."""


class _Kept(NamedTuple):
    data: bytes
    max_timestamp: int


class PartitionLog:
    """Batches of one partition, oldest first.

    Attributes:
        start_offset: the oldest offset that can be read.
        end_offset: the offset that the next record will get; without replicas and transactions this is also the high
            watermark and the last stable offset.
        retention_bytes: how many bytes are kept, `UNLIMITED` for all; the newest batch always stays.
    """

    def __init__(self, retention_bytes: int) -> None:
        self.retention_bytes = retention_bytes
        self.start_offset = 0
        self.end_offset = 0
        self._bases: list[int] = []
        self._kept: list[_Kept] = []
        self._bytes = 0
        self._producers = Producers()
        self._waiting: set[asyncio.Event] = set()

    def append(self, batches: Sequence[Batch]) -> int:
        """Keep the batches; the base offset of the first, which for a batch sent twice is the one it has already.

        Raises:
            Refused: a batch is out of its producer's sequence; those before it are kept.
        """
        offsets = [self._append(batch) for batch in batches]
        self._trim()
        self.wake()
        return offsets[0]

    def _append(self, batch: Batch) -> int:
        duplicate = self._producers.duplicate_of(batch)
        if duplicate is not None:
            return duplicate
        offset = self.end_offset
        self._bases.append(offset)
        self._kept.append(_Kept(batch.placed_at(offset), batch.max_timestamp))
        self._bytes += len(batch.data)
        self.end_offset += batch.records
        self._producers.appended(batch, offset)
        return offset

    def _trim(self) -> None:
        if self.retention_bytes == UNLIMITED or self._bytes <= self.retention_bytes:
            return
        target = self.retention_bytes - self.retention_bytes // _TRIM_FRACTION
        dropped, left = 0, self._bytes
        while left > target and dropped < len(self._kept) - 1:
            left -= len(self._kept[dropped].data)
            dropped += 1
        self._drop(dropped)

    def _drop(self, batches: int) -> None:
        self._bytes -= sum(len(kept.data) for kept in self._kept[:batches])
        del self._bases[:batches], self._kept[:batches]
        oldest = self._bases[0] if self._bases else self.end_offset
        self.start_offset = max(self.start_offset, oldest)

    def delete_before(self, offset: int) -> int:
        """Make `offset` the oldest that can be read (-1: drop everything); the new start offset.

        Raises:
            Refused: OFFSET_OUT_OF_RANGE, beyond the end.
        """
        offset = self.end_offset if offset == -1 else offset
        if not 0 <= offset <= self.end_offset:
            raise Refused(Code.OFFSET_OUT_OF_RANGE, f"offset {offset} is beyond the end, {self.end_offset}")
        if offset == self.end_offset:
            self._drop(len(self._kept))
        else:
            self._drop(max(0, bisect_right(self._bases, offset) - 1))
        self.start_offset = max(self.start_offset, offset)
        return self.start_offset

    def read(self, offset: int, max_bytes: int, *, at_least_one: bool) -> list[bytes]:
        """Whole batches from the one that holds `offset`, up to `max_bytes`; the first may be larger if `at_least_one`.

        Raises:
            Refused: OFFSET_OUT_OF_RANGE, outside `start_offset` to `end_offset`.
        """
        if not self.start_offset <= offset <= self.end_offset:
            raise Refused(
                Code.OFFSET_OUT_OF_RANGE, f"offset {offset} is outside {self.start_offset} to {self.end_offset}"
            )
        found: list[bytes] = []
        if offset == self.end_offset:
            return found
        size = 0
        for index in range(bisect_right(self._bases, offset) - 1, len(self._kept)):
            data = self._kept[index].data
            if size + len(data) > max_bytes and (found or not at_least_one):
                break
            found.append(data)
            size += len(data)
        return found

    def at_time(self, timestamp: int) -> tuple[int, int] | None:
        """(timestamp, offset) of the first record, by offset, not older than `timestamp` (ms); None if all are."""
        for kept in self._kept:
            if kept.max_timestamp >= timestamp:
                found = first_record_at(kept.data, timestamp, self.start_offset)
                if found is not None:
                    return found
        return None

    def watch(self, event: asyncio.Event) -> None:
        """Set `event` at the next append."""
        self._waiting.add(event)

    def unwatch(self, event: asyncio.Event) -> None:
        """Undo `watch`."""
        self._waiting.discard(event)

    def wake(self) -> None:
        """Set the event of everyone who watches."""
        for event in self._waiting:
            event.set()
