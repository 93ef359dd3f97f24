"""Calendar months in UTC, half-open: from their first instant up to, but not including, that of the next month."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

_FORM: Final = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 2000, 2099
_HOUR_MS: Final = 3_600_000


class MonthError(ValueError):
    """A month that does not exist, or that no event can lie in."""


class Month(NamedTuple):
    """A calendar month."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """The month that `YYYY-MM` names. Raises MonthError."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise MonthError(f"'{text}' is no month: write it as YYYY-MM, for example 2026-10")
        year, number = int(form[1]), int(form[2])
        if not 1 <= number <= 12:
            raise MonthError(f"'{text}': there is no month {form[2]}; months go from 01 to 12")
        if not _FIRST_YEAR <= year <= _LAST_YEAR:
            raise MonthError(f"'{text}' lies outside {_FIRST_YEAR} to {_LAST_YEAR}")
        return cls(year, number)

    @classmethod
    def of(cls, ms: int) -> Month:
        """The month that holds a time in ms since 1970-01-01 UTC."""
        day = datetime.fromtimestamp(ms // 1000, UTC)
        return cls(day.year, day.month)

    @property
    def start(self) -> datetime:
        """The first instant."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first instant that no longer belongs to it."""
        return datetime(self.year + self.number // 12, self.number % 12 + 1, 1, tzinfo=UTC)

    @property
    def start_ms(self) -> int:
        """The first instant, in ms since 1970-01-01 UTC."""
        return int(self.start.timestamp()) * 1000

    @property
    def end_ms(self) -> int:
        """The first instant that no longer belongs to it, in ms since 1970-01-01 UTC."""
        return int(self.end.timestamp()) * 1000

    @property
    def hours(self) -> int:
        """How many hours it has: 672 to 744."""
        return (self.end_ms - self.start_ms) // _HOUR_MS

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"
