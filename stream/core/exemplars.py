"""Exemplars: interactions that show an escalation, a denial or a failed call, packed series by series.

A case shows the `SHOWN` of smallest rank from its onset on. So an exemplar that as many of smaller rank have followed,
in its own minute or later, is in no case any more, whatever the onset, and is let go: of a busy flow's two hundred some
twenty stay, of a quiet one's five all. What is kept does not depend on the order in which exemplars came. (A question
about a past minute, `midwatch triage --at`, may be shown fewer for it.)

Ids are mostly prefixes and hexadecimal digits, which take half as much as bytes.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Final, NamedTuple

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
"""Digits from which on packing pays: those of a UUID's last group."""


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
    stem = text.rstrip(_HEX)
    digits = len(text) - len(stem)
    if digits < _LEAST or "\0" in text:
        return text
    if digits == _LEAST and stem.endswith("-"):
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


_Held = tuple[int, int, str | bytes, str | bytes | None]
"""Minute, rank, id and trace, the texts as `short` has them."""

_MINUTE: Final = itemgetter(0)
_RANK: Final = itemgetter(1)
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder()


class Exemplars:
    """The exemplars of all series of one kind, by row."""

    def __init__(self) -> None:
        self._packed: list[bytes | None] = []
        self._open: dict[int, list[_Held]] = {}
        self._added: set[int] = set()

    def add(self, row: int, minute: int, rank: int, interaction_id: str, trace_id: str | None) -> None:
        """One more; one that is known already changes nothing."""
        held = (minute, rank, short(interaction_id), None if trace_id is None else short(trace_id))
        known = self._open.get(row)
        if known is None:
            known = self._open[row] = self._of(row)
        known.append(held)
        self._added.add(row)

    def of(self, row: int) -> list[Exemplar]:
        """Those of one series, by minute, those of a minute in their order."""
        return [_long(held) for held in self._of(row)]

    def _of(self, row: int) -> list[_Held]:
        if row in self._added:
            self._open[row] = _needed(self._open[row])
            self._added.remove(row)
        if row in self._open:
            return self._open[row]
        packed = self._packed[row] if row < len(self._packed) else None
        return [] if packed is None else _unpack(packed)

    def rows(self) -> Iterator[int]:
        """Rows that have any, ascending."""
        held = {row for row, packed in enumerate(self._packed) if packed is not None and row not in self._open}
        yield from sorted(held | {row for row, known in self._open.items() if known})

    def cool(self) -> None:
        """Pack what was added to."""
        if not self._open:
            return
        more = max(self._open, default=-1) + 1 - len(self._packed)
        self._packed += [None] * max(more, 0)
        for row in self._open:
            known = self._of(row)
            self._packed[row] = _pack(known) if known else None
        self._open.clear()

    def prune(self, oldest: int) -> None:
        """Forget those of minutes before `oldest`."""
        for row in self.rows():
            known = self._of(row)
            if known[0][0] < oldest:
                self._open[row] = [held for held in known if held[0] >= oldest]
        self.cool()

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Drop the rows [S] that are not marked."""
        self.cool()
        self._packed = [packed for packed, stays in zip(self._packed, kept.tolist(), strict=False) if stays]


def _long(held: _Held) -> Exemplar:
    minute, rank, identity, trace = held
    return Exemplar(minute, rank, long(identity), None if trace is None else long(trace))


def _needed(found: list[_Held]) -> list[_Held]:
    """Those that some case could still show, each once, at most `EXEMPLARS_PER_MINUTE` of a minute, by minutes.

    The newest come first, so that each is compared with those that followed it.
    """
    if len(found) == 1:
        return found
    if len({rank for _, rank, _, _ in found}) == len(found):
        places: dict[_Held, Any] = {}
        found.sort(key=_RANK)
    else:  # the ids decide as well
        places = {held: _long(held).place() for held in found}
        found = sorted(places, key=places.__getitem__)
    found.sort(key=_MINUTE, reverse=True)
    kept: list[_Held] = []
    smallest: list[Any] = []
    minute, in_minute = -1, 0
    for held in found:
        in_minute = in_minute + 1 if held[0] == minute else 1
        minute = held[0]
        place = places[held] if places else held[1]
        if in_minute <= EXEMPLARS_PER_MINUTE and (len(smallest) < SHOWN or place < smallest[-1]):
            insort(smallest, place)
            del smallest[SHOWN:]
            kept.append(held)
    kept.sort(key=places.__getitem__ if places else _RANK)
    kept.sort(key=_MINUTE)
    return kept


def _pack(known: list[_Held]) -> bytes:
    """Minutes are kept as the distance from the one before."""
    before, parts = 0, []
    for minute, rank, identity, trace in known:
        parts.append((minute - before, rank, identity, trace))
        before = minute
    return _encoder.encode(parts)


def _unpack(packed: bytes) -> list[_Held]:
    minute, found = 0, []
    for gap, rank, identity, trace in _decoder.decode(packed):
        minute += gap
        found.append((minute, rank, identity, trace))
    return found
