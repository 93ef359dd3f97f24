"""The hours of all series of one kind: 28 days of them, packed but for those that counts still come to.

A stored hour and one that is over are the same bytes. So a shard that is loaded leaves its hours as they come, a
checkpoint and a snapshot hand them on as they are, and the worker holds a fifth of what it would hold of them unpacked.
Whoever reads an hour gets it unpacked: `look` for a single pass over many hours, `get` for questions about the same few
hours again and again, which stay unpacked until `cool`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import Counts
from stream.core.deltas import CEILING

STRATEGY: Final = zlib.Z_RLE
"""Of counts, runs are what can be compressed: this looks for no others, takes a quarter of the time, and 2 % less."""


class Array(msgspec.Struct, array_like=True):
    """An array as it is stored."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class HourBlock:
    """Counts of one hour: `rows` [k] ascending, `counts` [k, C]."""

    __slots__ = ("counts", "rows")

    def __init__(self, rows: NDArray[np.int32], counts: NDArray[np.integer]) -> None:
        self.rows = rows
        self.counts = counts

    @classmethod
    def empty(cls, width: int) -> HourBlock:
        """An hour in which nothing came."""
        return cls(np.zeros(0, np.int32), np.zeros((0, width), np.uint8))

    def plus(self, rows: NDArray[np.int64], counts: Counts) -> HourBlock:
        """This block and further counts (rows may repeat)."""
        every = np.concatenate([self.rows.astype(np.int64), rows])
        unique, inverse = np.unique(every, return_inverse=True)
        total = np.zeros((len(unique), self.counts.shape[1]), np.int64)
        np.add.at(total, inverse, np.concatenate([self.counts.astype(np.int64), counts]))
        return HourBlock(unique.astype(np.int32), narrow(np.minimum(total, CEILING)))

    def keep(self, renumber: NDArray[np.int64]) -> HourBlock:
        """The block after rows were dropped: `renumber` [S] gives each row's new number, -1 if dropped."""
        new = renumber[self.rows]
        return HourBlock(new[new >= 0].astype(np.int32), self.counts[new >= 0])

    def of_row(self, row: int) -> Counts | None:
        """[C] the counts of one row; None if it had no event."""
        at = int(np.searchsorted(self.rows, row))
        if at == len(self.rows) or self.rows[at] != row:
            return None
        counts: Counts = self.counts[at].astype(np.int64)
        return counts


class Hours(MutableMapping[int, HourBlock]):
    """Blocks by hour. What is iterated over comes in no stated order."""

    def __init__(self, found: Iterable[tuple[int, HourBlock | bytes]] = ()) -> None:
        self._open: dict[int, HourBlock] = {}
        self._packed: dict[int, bytes] = {}
        self._warm: dict[int, HourBlock] = {}
        self._changed: set[int] = set()
        for hour, one in found:
            if isinstance(one, bytes):
                self._packed[hour] = one
            else:
                self._open[hour] = one

    def look(self, hour: int) -> HourBlock | None:
        """The block of an hour; a packed one is unpacked for this look alone."""
        block = self._open.get(hour) or self._warm.get(hour)
        if block is not None:
            return block
        packed = self._packed.get(hour)
        return None if packed is None else unpack_block(packed)

    def __getitem__(self, hour: int) -> HourBlock:
        block = self.look(hour)
        if block is None:
            raise KeyError(hour)
        if hour not in self._open:
            self._warm[hour] = block
        return block

    def __setitem__(self, hour: int, block: HourBlock) -> None:
        self._forget(hour)
        self._open[hour] = block
        self._changed.add(hour)

    def __delitem__(self, hour: int) -> None:
        if hour not in self:
            raise KeyError(hour)
        self._forget(hour)

    def _forget(self, hour: int) -> None:
        for held in (self._open, self._packed, self._warm):
            held.pop(hour, None)
        self._changed.discard(hour)

    def __contains__(self, hour: object) -> bool:
        return hour in self._open or hour in self._packed

    def __iter__(self) -> Iterator[int]:
        yield from self._open
        yield from self._packed

    def __len__(self) -> int:
        return len(self._open) + len(self._packed)

    def looks(self) -> Iterator[tuple[int, HourBlock]]:
        """Every hour with its block, each unpacked for this look alone."""
        for hour in (*self._open, *self._packed):
            block = self.look(hour)
            if block is not None:
                yield hour, block

    def bytes_of(self, hour: int) -> bytes:
        """The block of an hour as it is stored. Raises KeyError."""
        packed = self._packed.get(hour)
        return pack_block(self._open[hour]) if packed is None else packed

    def clear(self) -> None:
        """Forget every hour."""
        for held in (self._open, self._packed, self._warm):
            held.clear()
        self._changed.clear()

    def pack_before(self, hour: int) -> None:
        """Pack the hours before this one that counts have come to."""
        for past in [one for one in self._changed if one < hour]:
            packed = pack_block(self._open[past])
            self._forget(past)
            self._packed[past] = packed

    def cool(self) -> None:
        """Pack away what was unpacked to be read."""
        self._warm.clear()


def narrow(counts: Counts) -> NDArray[np.integer]:
    """The counts in the smallest integers that hold them all."""
    top = int(counts.max(initial=0))
    for kind in (np.uint8, np.uint16, np.uint32):
        if top <= np.iinfo(kind).max:
            return counts.astype(kind)
    return counts


def pack_block(block: HourBlock) -> bytes:
    """Rows as differences and counts one counter after another, each as planes of bytes.

    Most numbers are small, so the planes of their high bytes are nearly all zeros and compress to nothing.
    """
    gaps = np.diff(block.rows, prepend=0).astype(np.int32)
    parts = (_pack_planes(gaps), _pack_planes(block.counts.T))
    made = zlib.compressobj(strategy=STRATEGY)
    return made.compress(msgspec.msgpack.encode(parts)) + made.flush()


def unpack_block(blob: bytes) -> HourBlock:
    """The inverse of `pack_block`. Raises ValueError, zlib.error or MsgspecError for bytes that are none of ours."""
    gaps, counts = msgspec.msgpack.decode(zlib.decompress(blob), type=tuple[Array, Array])
    return HourBlock(np.cumsum(_unpack_planes(gaps)).astype(np.int32), np.ascontiguousarray(_unpack_planes(counts).T))


def check_block(blob: bytes) -> None:
    """Raise what `unpack_block` would raise, for a part of its price."""
    gaps, counts = msgspec.msgpack.decode(zlib.decompress(blob), type=tuple[Array, Array])
    for one, shape in ((gaps, gaps.shape[:1]), (counts, (*counts.shape[:1], *gaps.shape[:1]))):
        if one.shape != shape or len(one.data) != math.prod(shape) * np.dtype(one.dtype).itemsize:
            raise ValueError(f"rows {gaps.shape} and counts {counts.shape} do not fit {len(one.data)} bytes")


def _pack_planes(array: NDArray[Any]) -> Array:
    """The first bytes of all items, then the second bytes, and so on."""
    items = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize)
    return Array(array.dtype.str, array.shape, items.T.tobytes())


def _unpack_planes(packed: Array) -> NDArray[Any]:
    dtype = np.dtype(packed.dtype)
    planes = np.frombuffer(packed.data, np.uint8).reshape(dtype.itemsize, -1)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(packed.shape)
