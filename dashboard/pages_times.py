"""Times within sentences as `<time>` elements, so that a page can say them in the reader's own zone, with UTC beside.

Sentences come from verdicts and people, and say times in UTC in one of two ways: whole (`2026-03-04T09:20Z`,
`2026-03-04 09:20 UTC`), or as time of day (`09:20 UTC`, with ` on 3 March` where the day is another than that of what
the sentence is about, see `dashboard.sentences.clock`). Anything else stays the text that it is, escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from dashboard.pages_format import clock, tidy
from schemas.base import format_time

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_TIME: Final = re.compile(
    r"\b(?:(?P<day>\d{4}-\d\d-\d\d)[T ](?P<whole>\d\d:\d\d)(?::\d\d(?:\.\d{1,9})?)?(?:Z|[ \xa0]UTC)"
    rf"|(?P<time>\d\d:\d\d)[ \xa0]UTC(?: on (?P<date>\d\d?) (?P<month>{'|'.join(_MONTHS)}))?)\b"
)


def told(text: str, about: datetime, now: datetime | None = None) -> Markup:
    """The sentence as markup. `about` is the time that it is about, `now` what it is on the page (else `about`)."""
    return Markup("").join(_parts(tidy(text), about.astimezone(UTC), now or about))


def _parts(text: str, about: datetime, now: datetime) -> Iterator[Markup]:
    read = 0
    for found in _TIME.finditer(text):
        at = _time(found, about)
        if at is None:
            continue
        said = clock(at, now) if found["day"] else found[0]
        yield Markup.escape(text[read : found.start()])
        yield Markup('<time datetime="{}" data-clock>{}</time>').format(format_time(at), tidy(said))
        read = found.end()
    yield Markup.escape(text[read:])


def _time(found: re.Match[str], about: datetime) -> datetime | None:
    """The time that was found, None if there is no such time."""
    try:
        if found["day"]:
            return datetime.fromisoformat(f"{found['day']}T{found['whole']}+00:00")
        hour, minute = map(int, found["time"].split(":"))
        if not found["date"]:
            return about.replace(hour=hour, minute=minute, second=0, microsecond=0)
        month, day = _MONTHS.index(found["month"]) + 1, int(found["date"])
        years = (about.year - 1, about.year, about.year + 1)
        every = [datetime(year, month, day, hour, minute, tzinfo=UTC) for year in years if _is_day(year, month, day)]
        return min(every, key=lambda at: abs(at - about), default=None)
    except ValueError:
        return None


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return False
    return True
