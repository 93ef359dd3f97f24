"""Snapshots: a shard's whole state in a compacted topic, so that a wiped Redis is a rewind and not a loss.

A snapshot holds what Redis holds (checkpoint with all hours, offsets, open inboxes), as of one committed tick. It is
cut into records below the usual size limit. Two slots are written in turn: while one is being overwritten, the other is
whole. The reader takes the newest snapshot all of whose pieces are there.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from schemas.words import DEFAULT_NAMESPACE
from stream.core.checkpoint import Checkpoint
from stream.core.layouts import LAYOUT, OLDEST
from stream.store import Birth, PartitionState

PIECE_BYTES: Final = 700_000
"""Largest piece: below the 1 MB that brokers take by default, with room for headers."""


class _Snapshot(msgspec.Struct):
    layout: int
    shards: int
    shard: int
    tick: int
    state: bytes
    hours: list[tuple[int, int, bytes]]
    parts: dict[str, tuple[int, int]]
    inboxes: list[tuple[int, bytes]]


class _Piece(msgspec.Struct, array_like=True):
    shard: int
    tick: int
    index: int
    count: int
    checksum: int
    data: bytes
    namespace: str = DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class PieceRecord:
    """A record for the snapshots topic."""

    key: bytes
    value: bytes


def to_records(
    shard: int,
    shards: int,
    slot: int,
    checkpoint: Checkpoint,
    parts: dict[str, PartitionState],
    inboxes: Sequence[tuple[int, bytes]],
    *,
    namespace: str = DEFAULT_NAMESPACE,
    layout: int = LAYOUT,
) -> list[PieceRecord]:
    """The records of a snapshot. `checkpoint` must hold all hours and be of `layout`; `slot` is 0 or 1, in turn.

    Keys bear the namespace if it is not the default: several engines may share one Kafka.
    """
    snapshot = _Snapshot(
        layout,
        shards,
        shard,
        checkpoint.tick,
        checkpoint.state,
        [(kind, hour, blob) for (kind, hour), blob in sorted(checkpoint.hours.items())],
        {name: (part.next_offset, part.newest_ms) for name, part in parts.items()},
        list(inboxes),
    )
    whole = msgspec.msgpack.encode(snapshot)
    pieces = [whole[start : start + PIECE_BYTES] for start in range(0, len(whole), PIECE_BYTES)]
    checksum = zlib.crc32(whole)
    prefix = "" if namespace == DEFAULT_NAMESPACE else f"{namespace}/"
    return [
        PieceRecord(
            f"{prefix}{shard}/{slot}/{index}".encode(),
            msgspec.msgpack.encode(_Piece(shard, checkpoint.tick, index, len(pieces), checksum, data, namespace)),
        )
        for index, data in enumerate(pieces)
    ]


def newest(
    values: Iterable[bytes],
    shards: int,
    namespace: str = DEFAULT_NAMESPACE,
    readable: Callable[[bytes], bool] = lambda _state: True,
) -> dict[int, Birth]:
    """The newest whole snapshot of each shard of an engine, as what the shard can start from.

    Pieces of another namespace or number of shards, those of a newer layout, broken ones, and those whose state is not
    `readable`, are passed over: the shard is then rebuilt from an older snapshot, or by time.
    """
    gathered: dict[tuple[int, int, int], dict[int, _Piece]] = {}
    for value in values:
        try:
            piece = msgspec.msgpack.decode(value, type=_Piece)
        except (msgspec.MsgspecError, ValueError):
            continue
        if piece.namespace == namespace:
            gathered.setdefault((piece.shard, piece.tick, piece.checksum), {})[piece.index] = piece
    births: dict[int, Birth] = {}
    for (shard, _, checksum), pieces in sorted(gathered.items(), key=lambda item: item[0]):
        whole = _whole(pieces, checksum)
        birth = None if whole is None else _birth(whole, shard, shards, readable)
        if birth is not None:
            births[shard] = birth
    return births


def _whole(pieces: Mapping[int, _Piece], checksum: int) -> bytes | None:
    """The snapshot that the pieces make, or None if one is missing or they do not belong together."""
    count = next(iter(pieces.values())).count
    if pieces.keys() != set(range(count)):
        return None
    whole = b"".join(pieces[index].data for index in range(count))
    return whole if zlib.crc32(whole) == checksum else None


def _birth(whole: bytes, shard: int, shards: int, readable: Callable[[bytes], bool]) -> Birth | None:
    try:
        snapshot = msgspec.msgpack.decode(whole, type=_Snapshot)
    except (msgspec.MsgspecError, ValueError):
        return None
    if (snapshot.shard, snapshot.shards) != (shard, shards) or not OLDEST <= snapshot.layout <= LAYOUT:
        return None
    if not readable(snapshot.state):
        return None
    return Birth(
        tick=snapshot.tick,
        state=snapshot.state,
        hours={(kind, hour): blob for kind, hour, blob in snapshot.hours},
        parts={name: PartitionState(*offset_and_newest) for name, offset_and_newest in snapshot.parts.items()},
        inboxes=snapshot.inboxes,
    )
