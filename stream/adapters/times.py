"""Event times: RFC 3339 text to integer milliseconds, with exactly the notion of validity of `schemas.base.Time`.

The model's own validator decides for every text that has not been seen in this form. What makes it fast is that the
texts of a fleet share their minutes, and that there are few endings ("07.250Z"): both are remembered, so that most
texts cost two look-ups and an addition.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from pydantic import TypeAdapter, ValidationError

from schemas.base import Time

MINUTE_CHARACTERS: Final = 17
"""Length of the part that names the minute: `2026-01-05T10:00:`."""

_TIME: Final = TypeAdapter[datetime](Time)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_ENDING: Final = re.compile(r"([0-5][0-9])(?:\.([0-9]{1,9}))?(?:Z|\+00:00)")
_MINUTES_KEPT: Final = 65_536


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


def _validated(text: str) -> int:
    try:
        return milliseconds(_TIME.validate_json(msgspec.json.encode(text)))
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False)[0]["msg"]) from None
