"""Exemplars: interactions that show an escalation, a denial or a failed call, packed series by series.

A case shows the `SHOWN` of smallest rank from its onset on. So an exemplar that as many of smaller rank have followed,
in its own minute or later, is in no case any more, whatever the onset, and is let go: of a busy flow's two hundred some
twenty stay, of a quiet one's five all. What is kept does not depend on the order in which exemplars came. (A question
about a past minute, `midwatch triage --at`, may so be shown fewer.)

Ids are mostly prefixes and hexadecimal digits, which take half as much as bytes; a rank that is the hash of its id, as
ours are, is not kept.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.core.deltas import EXEMPLARS_PER_MINUTE

EXEMPLAR_MINUTES: Final = 120
"""How long exemplars are kept."""

SHOWN: Final = 5
"""Exemplars that a case shows at most, of one kind of series."""

_HEX: Final = "0123456789abcdef"
_LEAST: Final = 12
"""Digits from which on packing pays."""


class Exemplar(NamedTuple):
    """One interaction."""

    minute: int
    rank: int
    interaction_id: str
    trace_id: str | None

    def place(self) -> tuple[int, str, int, str, bool]:
        """What orders them: the order in which cases choose, where that leaves no two alike."""
        return self.rank, self.interaction_id, self.minute, self.trace_id or "", self.trace_id is not None


def short(text: str) -> str | bytes:
    """A text with its trailing hexadecimal digits, or UUID, as bytes; the text itself where it has none."""
    digits = len(text) - len(text.rstrip(_HEX))
    if digits < _LEAST or "\0" in text:
        return text
    plain = text[-36:].replace("-", "")
    if len(plain) == 32 and not plain.strip(_HEX) and _dashed(plain) == text[-36:]:
        return text[:-36].encode() + b"\0u" + bytes.fromhex(plain)
    digits -= digits % 2
    return text[:-digits].encode() + b"\0h" + bytes.fromhex(text[-digits:])


def long(value: str | bytes) -> str:
    """The inverse of `short`."""
    if isinstance(value, str):
        return value
    prefix, _, rest = value.partition(b"\0")
    digits = rest[1:].hex()
    return prefix.decode() + (_dashed(digits) if rest[:1] == b"u" else digits)


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


_Packed = list[tuple[int, int | None, str | bytes, str | bytes | None]]
"""Minutes since the one before, rank where it is not the id's hash, id, trace."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder()


class Exemplars:
    """The exemplars of all series of one kind, by row."""

    def __init__(self) -> None:
        self._packed: list[bytes | None] = []
        self._open: dict[int, list[Exemplar]] = {}

    def add(self, row: int, minute: int, rank: int, interaction_id: str, trace_id: str | None) -> None:
        """One more; one that is known already changes nothing."""
        if row not in self._open:
            self._open[row] = self.of(row)
        known, found = self._open[row], Exemplar(minute, rank, interaction_id, trace_id)
        if found not in known:
            self._open[row] = _needed([*known, found])

    def of(self, row: int) -> list[Exemplar]:
        """Those of one series, by minute, those of a minute in their order."""
        if row in self._open:
            return self._open[row]
        packed = self._packed[row] if row < len(self._packed) else None
        return [] if packed is None else _unpacked(packed)

    def rows(self) -> Iterator[int]:
        """Rows that have any, ascending."""
        held = {row for row, packed in enumerate(self._packed) if packed is not None and row not in self._open}
        yield from sorted(held | {row for row, known in self._open.items() if known})

    def cool(self) -> None:
        """Pack what was added to."""
        more = max(self._open, default=-1) + 1 - len(self._packed)
        self._packed += [None] * max(more, 0)
        for row, known in self._open.items():
            self._packed[row] = _pack(known) if known else None
        self._open.clear()

    def prune(self, oldest: int) -> None:
        """Forget those of minutes before `oldest`."""
        for row in self.rows():
            known = self.of(row)
            if known[0].minute < oldest:
                self._open[row] = [one for one in known if one.minute >= oldest]
        self.cool()

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Drop the rows [S] that are not marked."""
        self.cool()
        held = [packed for packed, stays in zip(self._packed, kept.tolist(), strict=False) if stays]
        self._packed = held

    def __len__(self) -> int:
        return sum(1 for _ in self.rows())


def _needed(found: list[Exemplar]) -> list[Exemplar]:
    """Those that some case could still show, at most `EXEMPLARS_PER_MINUTE` of a minute, in order of minutes."""
    kept: list[Exemplar] = []
    smallest: list[tuple[int, str, int, str, bool]] = []
    minute, in_minute = -1, 0
    for one in sorted(found, key=lambda one: (-one.minute, one.place())):
        in_minute = in_minute + 1 if one.minute == minute else 1
        minute = one.minute
        if in_minute <= EXEMPLARS_PER_MINUTE and bisect_left(smallest, one.place()) < SHOWN:
            insort(smallest, one.place())
            kept.append(one)
    return sorted(kept, key=lambda one: (one.minute, one.place()))


def _pack(known: list[Exemplar]) -> bytes:
    parts: _Packed = []
    before = 0
    for minute, rank, identity, trace in known:
        own_rank = None if rank == crc32(identity.encode()) else rank
        parts.append((minute - before, own_rank, short(identity), None if trace is None else short(trace)))
        before = minute
    return _encoder.encode(parts)


def _unpacked(packed: bytes) -> list[Exemplar]:
    parts: _Packed = _decoder.decode(packed)
    found, minute = [], 0
    for gap, rank, identity, trace in parts:
        minute += gap
        name = long(identity)
        own = crc32(name.encode()) if rank is None else rank
        found.append(Exemplar(minute, own, name, None if trace is None else long(trace)))
    return found
