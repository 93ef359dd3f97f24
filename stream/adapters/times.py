"""Event times: RFC 3339 text to integer milliseconds, with exactly the notion of validity of `schemas.base.Time`.

The model's own validator decides for every text that has not been seen in this form. What makes it fast is that the
texts of a fleet share their minutes, and that there are few endings ("07.250Z"): both are remembered, so that most
texts cost two look-ups and an addition.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from schemas.base import Time

MINUTE_CHARACTERS: Final = 17
"""Length of the part that names the minute: `2026-01-05T10:00:`."""

INVALID: Final = -(2**62)
"""Stands in a column for a time that is none."""

_TIME: Final = TypeAdapter[datetime](Time)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_ENDING: Final = re.compile(r"([0-5][0-9])(?:\.([0-9]{1,9}))?(?:Z|\+00:00)")
_MINUTES_KEPT: Final = 65_536

MILLISECOND_DIGITS: Final = 3
MILLISECOND_WIDTH: Final = 25
"""Characters of `2026-01-05T10:00:07.250Z` and the end of its line."""

_U64: Final = np.uint64
_LAYOUT: Final = np.frombuffer(b":00.000Z", "<u8")[0]
_TOO_MUCH: Final = np.frombuffer(bytes((0, 10, 6, 0, 6, 6, 6, 0)), "<u8")[0]
"""Added to a digit, sets a bit of its upper half if it is more than 9; more than 5 where it is the second's first."""
_MUST_BE_ZERO: Final = np.frombuffer(bytes((255, 240, 240, 255, 240, 240, 240, 255)), "<u8")[0]


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC of an aware time, finer parts cut off."""
    return (moment - _EPOCH) // _MILLISECOND


class TimeReader:
    """Reads event times, remembering minutes and endings. Both memories are bounded.

    Hot loops look into `minutes` and `endings` themselves and call `read` when either lacks its part.

    Attributes:
        minutes: the first 17 characters of a text to the minute's start, in ms.
        endings: what follows them to the milliseconds into the minute, for UTC and at most three digits of a second.
    """

    def __init__(self) -> None:
        self.minutes: dict[str, int] = {}
        self.endings: dict[str, int] = {}

    def read(self, text: str) -> int:
        """Milliseconds since 1970-01-01 UTC.

        Raises:
            ValueError: `text` is no time that `schemas.base.Time` accepts.
        """
        ending = _ENDING.fullmatch(text, MINUTE_CHARACTERS)
        if ending is None or text[MINUTE_CHARACTERS - 1] != ":":
            return _validated(text)
        return self._minute(text[:MINUTE_CHARACTERS]) + self._ending(text[MINUTE_CHARACTERS:], ending)

    def read_many(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Milliseconds of each text, `INVALID` where it is no time."""
        column = self._column(texts) if texts else None
        if column is not None:
            return column
        minutes, endings = self.minutes, self.endings
        try:
            times = [minutes[text[:MINUTE_CHARACTERS]] + endings[text[MINUTE_CHARACTERS:]] for text in texts]
        except KeyError:
            times = [self._time_or_invalid(text) for text in texts]
        return np.array(times, np.int64)

    def _time_or_invalid(self, text: str) -> int:
        try:
            return self.read(text)
        except ValueError:
            return INVALID

    def _column(self, texts: Sequence[str]) -> NDArray[np.int64] | None:
        """The same, all at once; None where they are not all of one layout, or any is not valid.

        What is compared byte by byte is the layout of the first; the minutes are looked up where they change.
        """
        found = _ENDING.fullmatch(texts[0], MINUTE_CHARACTERS)
        joined = "\n".join(texts) + "\n"
        width = len(texts[0]) + 1
        if found is None or len(joined) != width * len(texts) or joined.count("\n") != len(texts):
            return None
        try:
            grid = np.frombuffer(joined.encode("ascii"), np.uint8).reshape(len(texts), width)
        except UnicodeEncodeError:
            return None
        starts = self._minutes_of(texts, grid)
        if starts is None:
            return None
        fraction = len(found[2] or "")
        whole = fraction == MILLISECOND_DIGITS and width == MILLISECOND_WIDTH
        within = _milliseconds_within(grid) if whole else _within_minute(grid[:, MINUTE_CHARACTERS:], fraction)
        return None if within is None else starts + within

    def _minutes_of(self, texts: Sequence[str], grid: NDArray[np.uint8]) -> NDArray[np.int64] | None:
        """The minutes' starts; None if one is not valid, or they change so often that a text at a time is faster."""
        words = np.ascontiguousarray(grid[:, :16]).view(np.uint64)  # all of the minute but its colon
        changes = np.flatnonzero((words[1:, 1] != words[:-1, 1]) | (words[1:, 0] != words[:-1, 0])) + 1
        if len(changes) > len(texts) // 8 or (grid[:, MINUTE_CHARACTERS - 1] != ord(":")).any():
            return None
        edges = [0, *changes.tolist(), len(texts)]
        starts = np.empty(len(texts), np.int64)
        for begin, end in pairwise(edges):
            minute = texts[begin][:MINUTE_CHARACTERS]
            if minute not in self.minutes:
                try:
                    self.read(texts[begin])
                except ValueError:
                    return None
            if minute not in self.minutes:
                return None
            starts[begin:end] = self.minutes[minute]
        return starts

    def _minute(self, text: str) -> int:
        known = self.minutes.get(text)
        if known is not None:
            return known
        minute = _validated(text + "00Z")
        if len(self.minutes) >= _MINUTES_KEPT:
            self.minutes.clear()
        self.minutes[text] = minute
        return minute

    def _ending(self, text: str, match: re.Match[str]) -> int:
        seconds, fraction = match.groups()
        ending = int(seconds) * 1000
        if fraction is not None:
            ending += int(fraction[:3].ljust(3, "0"))
        if fraction is None or len(fraction) <= 3:
            self.endings[text] = ending
        return ending


def _milliseconds_within(grid: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """`_within_minute` of the commonest layout, `:07.250Z`: eight bytes, which are looked at as one number each."""
    digits = np.ascontiguousarray(grid[:, 16:24]).view("<u8")[:, 0] ^ _LAYOUT
    # A digit that is none, or a fixed character that is another, leaves a bit behind; so does a second beyond 59.
    if ((digits | (digits + _TOO_MUCH)) & _MUST_BE_ZERO).any():
        return None
    within = digits >> _U64(8) & _U64(15)
    for shift in (16, 32, 40, 48):
        within = within * _U64(10) + (digits >> _U64(shift) & _U64(15))
    milliseconds_within: NDArray[np.int64] = within.astype(np.int64)
    return milliseconds_within


def _within_minute(grid: NDArray[np.uint8], fraction: int) -> NDArray[np.int64] | None:
    """Milliseconds into the minute of texts [n, width]; None if any is not laid out as the first, which is valid.

    They begin with two digits of the second; `fraction` is how many more there are behind a point.
    """
    digits = np.zeros(grid.shape[1], np.bool_)
    digits[:2] = True
    digits[3 : 3 + fraction] = True
    values = grid[:, digits] - ord("0")  # what is no digit wraps round to more than 9
    if (values > 9).any() or (values[:, 0] > 5).any() or (grid[:, ~digits] != grid[0, ~digits]).any():
        return None
    weights = np.array([10_000, 1000, 100, 10, 1], np.int64)[: 2 + min(fraction, 3)]
    return values[:, : len(weights)].astype(np.int64) @ weights


def _validated(text: str) -> int:
    try:
        return milliseconds(_TIME.validate_json(msgspec.json.encode(text)))
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False)[0]["msg"]) from None
