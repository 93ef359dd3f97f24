"""A shard's whole state as bytes, and back: what a checkpoint holds.

Hours are packed one block an hour and kind, so that they can be stored, and expire, on their own; everything else goes
into one blob. The layout carries a version; a blob of another version is refused with a clear error, and the windows
are then rebuilt from Kafka.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import State
from schemas.series import KINDS, SeriesKey, SeriesKind
from stream.core.deltas import KIND_CODE, Delta, pack, unpack
from stream.core.machine import ShardMachine
from stream.core.windows import RING, HourBlock
from triage.incidents import Incidents

LAYOUT: Final = 1
"""Version of the layout. Raise it when the meaning of a checkpoint changes."""

_LEVEL: Final = 1
"""The state is written every few ticks: speed counts."""

_HOUR_LEVEL: Final = 6
"""An hour is written for an hour and kept for 28 days: size counts."""


class LayoutError(ValueError):
    """A checkpoint of a layout that this version cannot read."""


class DamagedError(LayoutError):
    """Bytes that are no checkpoint, or half of one: nobody can read them."""


class _Array(msgspec.Struct, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class _Kind(msgspec.Struct):
    dims: list[tuple[str, str, tuple[str, ...]]]
    first_minute: _Array
    last_minute: _Array
    ring: _Array


class _State(msgspec.Struct):
    layout: int
    tick: int
    last_seen: int
    kinds: dict[str, _Kind]
    detectors: dict[str, dict[str, _Array]]
    evidence: bytes
    score_ids: dict[str, int]
    incidents: bytes
    hours: list[tuple[int, int]]
    traces: bytes = b""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`state` is the blob without hours; `hours` the blocks by (kind code, hour) that changed since the last one."""

    tick: int
    state: bytes
    hours: dict[tuple[int, int], bytes]


def save(machine: ShardMachine, *, all_hours: bool = False) -> Checkpoint:
    """The machine's state. Does not mark the hours as clean: call `mark_clean` once they are stored."""
    kinds: dict[str, _Kind] = {}
    hours: dict[tuple[int, int], bytes] = {}
    for kind, windows in machine.windows.items():
        kinds[kind] = _Kind(
            [(key.environment, key.system, key.dims) for key in windows.keys],
            _pack_array(windows.first_minute),
            _pack_array(windows.last_minute),
            _pack_array(_oldest_first(windows.ring, windows.tick)),
        )
        for hour in sorted(windows.hour_blocks if all_hours else windows.dirty_hours & windows.hour_blocks.keys()):
            hours[KIND_CODE[kind], hour] = _pack_block(windows.hour_blocks[hour])
    state = _State(
        LAYOUT,
        machine.tick,
        machine.last_seen,
        kinds,
        {
            f"{name}/{kind}": {field: _pack_array(array) for field, array in arrays.items()}
            for (name, kind), arrays in machine.states.items()
        },
        pack(Delta((), tuple(machine.evidence.records()))),
        dict(sorted(machine.evidence.score_ids.items())),
        msgspec.json.encode(machine.incidents.to_json()),
        sorted((KIND_CODE[kind], hour) for kind, windows in machine.windows.items() for hour in windows.hour_blocks),
        machine.traces.save(),
    )
    return Checkpoint(machine.tick, zlib.compress(msgspec.msgpack.encode(state), _LEVEL), hours)


def mark_clean(machine: ShardMachine) -> None:
    """Say that every hour has been stored."""
    for windows in machine.windows.values():
        windows.dirty_hours.clear()


def hours_in(state: bytes) -> list[tuple[int, int]]:
    """The hours, by (kind code, hour), that belong to a saved state. Raises LayoutError."""
    return _read(state).hours


def _read(state: bytes) -> _State:
    try:
        saved = msgspec.msgpack.decode(zlib.decompress(state), type=_State)
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise DamagedError(f"the checkpoint cannot be read ({error})") from error
    if saved.layout != LAYOUT:
        raise LayoutError(f"the checkpoint has layout {saved.layout}, this version reads layout {LAYOUT}")
    return saved


Blocks = Mapping[tuple[int, int], HourBlock]
"""Hours, unpacked, by (kind code, hour)."""


def unpack_hour(blob: bytes) -> HourBlock:
    """One stored hour. Raises LayoutError for bytes that are none of ours."""
    try:
        return _unpack_block(blob)
    except (ValueError, TypeError, IndexError, zlib.error, msgspec.MsgspecError) as error:
        raise DamagedError(f"an hour cannot be read ({error})") from error


def load(machine: ShardMachine, state: bytes, hours: Mapping[tuple[int, int], bytes]) -> None:
    """Bring a fresh machine to the state that was saved.

    A detector that was not there, or whose memory had another form, starts with a fresh one. Raises LayoutError for a
    layout of another version and for bytes that are none of ours; the machine is then of no use. An hour that is not
    given has expired and counts as empty.
    """
    load_blocks(machine, state, {place: unpack_hour(blob) for place, blob in hours.items()})


def load_blocks(machine: ShardMachine, state: bytes, blocks: Blocks) -> None:
    """`load` with hours that are unpacked already, for who keeps them from one reading to the next."""
    saved = _read(state)
    try:
        _load(machine, saved, blocks)
    except (ValueError, TypeError, IndexError, KeyError, zlib.error, msgspec.MsgspecError) as error:
        raise DamagedError(f"the checkpoint of tick {saved.tick} cannot be read ({error})") from error


def _load(machine: ShardMachine, saved: _State, hours: Blocks) -> None:
    machine.tick, machine.last_seen = saved.tick, saved.last_seen
    blocks: dict[SeriesKind, list[tuple[int, HourBlock]]] = {kind: [] for kind in KINDS}
    for code, hour in saved.hours:
        kind_blocks, block = blocks[KINDS[code]], hours.get((code, hour))
        # An hour that is not there has expired: an engine that was off for long comes back without its oldest ones.
        if block is not None:
            kind_blocks.append((hour, block))
    for kind, windows in machine.windows.items():
        windows.tick = saved.tick
        part = saved.kinds.get(kind)
        if part is None:
            continue
        keys = [SeriesKey(kind, environment, system, dims) for environment, system, dims in part.dims]
        windows.restore(
            keys,
            _unpack_array(part.first_minute),
            _unpack_array(part.last_minute),
            _by_slot(_unpack_array(part.ring), saved.tick),
            blocks[kind],
        )
    for name, kind in machine.states:
        packed = saved.detectors.get(f"{name}/{kind}", {})
        arrays = {field: _unpack_array(array) for field, array in packed.items()}
        if _form(arrays) == _form(machine.states[name, kind]):
            machine.states[name, kind] = arrays
    for record in unpack(saved.evidence).records:
        machine.evidence.apply(record)
    machine.evidence.dropped.clear()
    machine.evidence.score_ids = saved.score_ids
    machine.traces.load(saved.traces)
    machine.incidents = Incidents.from_json(
        machine.incidents.settings, machine.engine, msgspec.json.decode(saved.incidents), machine.checks
    )


def _form(state: State) -> dict[str, tuple[int, ...]]:
    """What tells one form of a detector's memory from another: names, and shapes but for the rows."""
    return {name: array.shape[1:] for name, array in state.items()}


def _oldest_first(ring: NDArray[Any], tick: int) -> NDArray[Any]:
    """The ring in time order, series-major: equal counts stand together and compress well."""
    return ring[np.arange(tick - RING, tick) % RING].transpose(1, 2, 0)


def _by_slot(saved: NDArray[Any], tick: int) -> NDArray[Any]:
    ring = np.empty((RING, *saved.shape[:2]), saved.dtype)
    ring[np.arange(tick - RING, tick) % RING] = saved.transpose(2, 0, 1)
    return ring


def _pack_array(array: NDArray[Any]) -> _Array:
    return _Array(array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())


def _unpack_array(packed: _Array) -> NDArray[Any]:
    return np.frombuffer(packed.data, np.dtype(packed.dtype)).reshape(packed.shape).copy()


def _pack_block(block: HourBlock) -> bytes:
    """Rows as differences and counts one counter after another, each as planes of bytes.

    Most numbers are small, so the planes of their high bytes are nearly all zeros and compress to nothing.
    """
    gaps = np.diff(block.rows, prepend=0).astype(np.int32)
    parts = (_pack_planes(gaps), _pack_planes(block.counts.T))
    return zlib.compress(msgspec.msgpack.encode(parts), _HOUR_LEVEL)


def _unpack_block(blob: bytes) -> HourBlock:
    gaps, counts = msgspec.msgpack.decode(zlib.decompress(blob), type=tuple[_Array, _Array])
    return HourBlock(np.cumsum(_unpack_planes(gaps)).astype(np.int32), np.ascontiguousarray(_unpack_planes(counts).T))


def _pack_planes(array: NDArray[Any]) -> _Array:
    """The first bytes of all items, then the second bytes, and so on."""
    items = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize)
    return _Array(array.dtype.str, array.shape, items.T.tobytes())


def _unpack_planes(packed: _Array) -> NDArray[Any]:
    dtype = np.dtype(packed.dtype)
    planes = np.frombuffer(packed.data, np.uint8).reshape(dtype.itemsize, -1)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(packed.shape)
