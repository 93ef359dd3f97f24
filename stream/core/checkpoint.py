"""A shard's whole state as bytes, and back: what a checkpoint holds.

Hours are packed one block an hour and kind, so that they can be stored, and expire, on their own; everything else goes
into one blob. The blob begins with its layout: an older one is brought to today's on reading (`stream.core.layouts`), a
newer one is refused as such, a damaged one is refused and the shard is then made anew.
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
from stream.core.hours import Array, HourBlock, check_block, unpack_block
from stream.core.layouts import LAYOUT, LayoutError, NewerLayout, hour_of, sealed, tree_of
from stream.core.layouts import opened as opened_layout
from stream.core.machine import ShardMachine
from stream.core.windows import OPEN_HOURS
from triage.incidents import Incidents

__all__ = [
    "Checkpoint", "LayoutError", "NewerLayout", "Opened", "hours_in", "layout_of", "load", "load_blocks", "mark_clean",
    "read", "readable", "save", "unpack_hour",
]  # fmt: skip

_LEVEL: Final = 1
"""The state is written every few ticks: speed counts."""


class _Kind(msgspec.Struct):
    dims: list[tuple[str, str, tuple[str, ...]]]
    first_minute: Array
    last_minute: Array
    ring: Array


class _State(msgspec.Struct):
    tick: int
    last_seen: int
    kinds: dict[str, _Kind]
    detectors: dict[str, dict[str, Array]]
    evidence: bytes
    score_ids: dict[str, int]
    incidents: bytes
    hours: list[tuple[int, int]]
    traces: bytes


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
            _pack_array(windows.ring_by_series()),
        )
        windows.ring.cool()
        windows.hour_blocks.pack_before(machine.tick // 60 - OPEN_HOURS)
        for hour in sorted(windows.hour_blocks if all_hours else windows.dirty_hours & windows.hour_blocks.keys()):
            hours[KIND_CODE[kind], hour] = windows.hour_blocks.bytes_of(hour)
    state = _State(
        machine.tick,
        machine.last_seen,
        kinds,
        {
            f"{name}/{kind}": {field: _pack_array(array) for field, array in arrays.items()}
            for (name, kind), arrays in machine.states.items()
        },
        pack(Delta((), tuple(machine.records()))),
        dict(sorted(machine.evidence.score_ids.items())),
        msgspec.json.encode(machine.incidents.to_json()),
        sorted((KIND_CODE[kind], hour) for kind, windows in machine.windows.items() for hour in windows.hour_blocks),
        machine.traces.save(),
    )
    return Checkpoint(machine.tick, sealed(zlib.compress(msgspec.msgpack.encode(state), _LEVEL)), hours)


def mark_clean(machine: ShardMachine) -> None:
    """Say that every hour has been stored."""
    for windows in machine.windows.values():
        windows.dirty_hours.clear()


@dataclass(frozen=True, slots=True)
class Opened:
    """A saved state that is read already, for who asks for its hours and then loads it."""

    layout: int
    saved: _State

    @property
    def hours(self) -> list[tuple[int, int]]:
        """See `hours_in`."""
        return self.saved.hours


def read(state: bytes) -> Opened:
    """A saved state without its hours. Raises LayoutError."""
    return Opened(layout_of(state), _read(state))


def hours_in(state: bytes) -> list[tuple[int, int]]:
    """The hours, by (kind code, hour), that belong to a saved state. Raises LayoutError."""
    return read(state).hours


def readable(state: bytes) -> bool:
    """Whether a saved state can be read, as far as its form goes."""
    try:
        _read(state)
    except LayoutError:
        return False
    return True


def layout_of(state: bytes) -> int:
    """The layout of a saved state, and of the hours that belong to it. Raises LayoutError."""
    return opened_layout(state)[0]


def _read(state: bytes) -> _State:
    layout, body = opened_layout(state)
    if layout < LAYOUT:
        return _converted(tree_of(state))
    try:
        return msgspec.msgpack.decode(zlib.decompress(body), type=_State)
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise LayoutError(f"the checkpoint cannot be read ({error})") from error


def _converted(tree: dict[str, Any]) -> _State:
    try:
        return msgspec.convert(tree, _State)
    except msgspec.MsgspecError as error:
        raise LayoutError(f"the checkpoint cannot be read ({error})") from error


Blocks = Mapping[tuple[int, int], HourBlock | bytes]
"""Hours by (kind code, hour), unpacked or as today's layout stores them."""


def unpack_hour(blob: bytes, layout: int = LAYOUT) -> HourBlock:
    """One stored hour, of the layout of its state. Raises LayoutError for bytes that are none of ours."""
    try:
        return unpack_block(hour_of(blob, layout))
    except (ValueError, TypeError, IndexError, zlib.error, msgspec.MsgspecError) as error:
        raise LayoutError(f"an hour cannot be read ({error})") from error


def _checked(blob: bytes, layout: int) -> bytes:
    """One stored hour in today's layout, still packed. Raises LayoutError now, not when a detector comes to read it."""
    try:
        stored = hour_of(blob, layout)
        check_block(stored)
    except (ValueError, TypeError, IndexError, zlib.error, msgspec.MsgspecError) as error:
        raise LayoutError(f"an hour cannot be read ({error})") from error
    return stored


def load(machine: ShardMachine, state: bytes | Opened, hours: Mapping[tuple[int, int], bytes]) -> None:
    """Bring a fresh machine to the state that was saved.

    A detector that was not there, or whose memory had another form, starts with a fresh one. An older layout is brought
    to today's, and all its hours count as changed, so that the next checkpoint is whole in today's. Raises NewerLayout
    for that of a newer version, LayoutError for bytes that are none of ours; the machine is then of no use. An hour
    that is not given has expired and counts as empty.
    """
    opened = read(state) if isinstance(state, bytes) else state
    load_blocks(machine, opened, {place: _checked(blob, opened.layout) for place, blob in hours.items()})


def load_blocks(machine: ShardMachine, state: bytes | Opened, blocks: Blocks) -> None:
    """`load` with hours that are read already, for who keeps them from one reading to the next."""
    opened = read(state) if isinstance(state, bytes) else state
    saved = opened.saved
    try:
        _load(machine, saved, blocks)
        if opened.layout < LAYOUT:
            for windows in machine.windows.values():
                windows.dirty_hours.update(windows.hour_blocks)
    except (ValueError, TypeError, IndexError, KeyError, zlib.error, msgspec.MsgspecError) as error:
        raise LayoutError(f"the checkpoint of tick {saved.tick} cannot be read ({error})") from error


def _load(machine: ShardMachine, saved: _State, hours: Blocks) -> None:
    machine.tick, machine.last_seen = saved.tick, saved.last_seen
    blocks: dict[SeriesKind, list[tuple[int, HourBlock | bytes]]] = {kind: [] for kind in KINDS}
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
        windows.restore(
            (SeriesKey(kind, environment, system, dims) for environment, system, dims in part.dims),
            _unpack_array(part.first_minute),
            _unpack_array(part.last_minute),
            _unpack_array(part.ring).transpose(2, 0, 1),
            blocks[kind],
        )
    for name, kind in machine.states:
        packed = saved.detectors.get(f"{name}/{kind}", {})
        arrays = {field: _unpack_array(array) for field, array in packed.items()}
        if _form(arrays) == _form(machine.states[name, kind]):
            machine.states[name, kind] = arrays
    for record in unpack(saved.evidence).records:
        machine.take(record)
    machine.evidence.dropped.clear()
    for windows in machine.windows.values():
        windows.cool()
    machine.evidence.score_ids = saved.score_ids
    machine.traces.load(saved.traces)
    machine.incidents = Incidents.from_json(
        machine.incidents.settings, machine.engine, msgspec.json.decode(saved.incidents), machine.checks
    )


def _form(state: State) -> dict[str, tuple[int, ...]]:
    """What tells one form of a detector's memory from another: names, and shapes but for the rows."""
    return {name: array.shape[1:] for name, array in state.items()}


def _pack_array(array: NDArray[Any]) -> Array:
    return Array(array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())


def _unpack_array(packed: Array) -> NDArray[Any]:
    return np.frombuffer(packed.data, np.dtype(packed.dtype)).reshape(packed.shape).copy()
