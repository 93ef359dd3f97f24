"""Telemetry of a fleet that never stopped, for an engine that did: what was over when it came back, what was not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.base import JsonObject
from schemas.canonical import canonical_json
from stream.core.ticks import MINUTE_MS, rfc3339
from tests.support.engine import PARTITIONS

Record = tuple[str, int, bytes, int]
PER_MINUTE = 3
BEFORE_MINUTES = 120
"""Calm minutes that the engine sees before it goes off."""


@dataclass(frozen=True)
class Outage:
    """An engine that is off for `hours`, until the minute `end`.

    `long-ago` misbehaves soon after it went off; what `just-over` opens ends some twenty minutes before it is back;
    `ongoing` has been at it for three hours, and goes on; `calm` is what it is called.
    """

    end: int
    hours: int

    @property
    def off(self) -> int:
        """The minute at which the engine goes off."""
        return self.end - self.hours * 60

    def spiking(self, system: str, minute: int) -> bool:
        """Whether a system misbehaves in a minute."""
        spans = {
            "long-ago": (self.off + 20, self.off + 60),
            "just-over": (self.end - 162, self.end - 158),
            "ongoing": (self.end - 180, self.end),
        }
        first, last = spans.get(system, (0, 0))
        return first <= minute < last

    def records(self, first: int, last: int) -> list[Record]:
        """The telemetry of the minutes from `first` to before `last`, each partition in the order of time."""
        found = []
        for place, (ms, event) in enumerate(self._events(first, last)):
            found.append(("agent.interactions", place % PARTITIONS, canonical_json(event), ms))
        return found

    def before(self) -> list[Record]:
        """What the engine saw before."""
        return self.records(self.off - BEFORE_MINUTES, self.off)

    def missed(self) -> list[Record]:
        """What came while it was off."""
        return self.records(self.off, self.end)

    def _events(self, first: int, last: int) -> Iterator[tuple[int, JsonObject]]:
        for minute in range(first, last):
            for slot in range(PER_MINUTE):
                for index, system in enumerate(("calm", "long-ago", "just-over", "ongoing")):
                    number = (minute * PER_MINUTE + slot) * 4 + index
                    bad = slot < 2 if self.spiking(system, minute) else minute * PER_MINUTE + slot and number % 97 == 0
                    yield _interaction(number, minute * MINUTE_MS + slot * 19_000 + index * 100, system, bool(bad))


def _interaction(number: int, ms: int, system: str, escalated: bool) -> tuple[int, JsonObject]:
    event: JsonObject = {
        "type": "interaction",
        "id": f"i{number}",
        "time": rfc3339(ms),
        "environment": "production",
        "system": system,
        "flow": "main",
        "version": "7",
        "outcome": "escalated" if escalated else "resolved",
    }
    if escalated:
        event["escalation"] = {"reason": "ambiguous", "agent": "decider"}
    return ms, event
