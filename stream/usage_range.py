"""Usage of a stretch of time, from Kafka, as traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from costs.prices import PriceBook
from stream.adapters.native import Usage
from stream.core.ticks import ms_of, rfc3339
from stream.settings import Settings
from stream.usage_files import TrafficReader, UsageTraffic, call_of
from stream.usage_kafka import read_since

USUAL_DAYS: Final = 28
"""Read where nothing else is said: four whole weeks."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Event times from `since` up to, but not including, `until`; in milliseconds since 1970 UTC."""

    since_ms: int
    until_ms: int

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None, now: datetime) -> Stretch:
        """The stretch that a command line asks for. Raises ValueError where it ends before it begins."""
        end = until or now
        begin = since or end - timedelta(days=USUAL_DAYS)
        if begin >= end:
            raise ValueError(f"there is no time from {_at(begin)} to {_at(end)}: --since must lie before --until")
        return cls(ms_of(begin), ms_of(end))

    def holds(self, event: Usage) -> bool:
        """Whether an event is of it."""
        return self.since_ms <= event.time < self.until_ms

    def __str__(self) -> str:
        return f"{rfc3339(self.since_ms)} to {rfc3339(self.until_ms)}"


async def read_range(
    settings: Settings, stretch: Stretch, book: PriceBook, model: str | None, provider: str | None
) -> UsageTraffic:
    """The traffic of each model in the input topics; with `model` of that one alone.

    Each call counts once, in whichever topics it stands. Raises UsageFileError, TrafficError, KafkaError.
    """
    reader = TrafficReader(book, model, provider)

    def take(event: Usage) -> None:
        if stretch.holds(event):
            reader.take(call_of(event), "a usage event")

    read = await read_since(settings, stretch.since_ms, take)
    found = reader.found
    found.other_events, found.rejected = read.others.total(), read.rejected
    found.bad_records, found.cut = read.bad, read.cut
    return reader.finish(f"Kafka, {stretch}")


def _at(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
