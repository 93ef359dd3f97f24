"""Calendar months in UTC, in whole hours since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


class Month(NamedTuple):
    """A calendar month: its hours are `first_hour` up to, but not including, `end_hour`."""

    first_hour: int
    end_hour: int

    @classmethod
    def of(cls, hour: int) -> Month:
        """The month that holds an hour."""
        first = (_EPOCH + timedelta(hours=hour)).replace(day=1, hour=0)
        after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return cls(_hours(first), _hours(after))

    @classmethod
    def parse(cls, text: str) -> Month:
        """The month that `2026-11` names. Raises ValueError with what is wrong."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise ValueError(f"'{text}' is no month: write it like 2026-11")
        year, number = int(form[1]), int(form[2])
        if not 1 <= number <= 12 or not 2000 <= year < 2100:
            raise ValueError(f"there is no month '{text}': months go from 2000-01 to 2099-12")
        return cls.of(_hours(datetime(year, number, 1, tzinfo=UTC)))

    @property
    def hours(self) -> int:
        """How many hours it has: 672 to 744."""
        return self.end_hour - self.first_hour

    def __str__(self) -> str:
        return f"{_EPOCH + timedelta(hours=self.first_hour):%Y-%m}"


def _hours(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(hours=1)
