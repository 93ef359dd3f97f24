"""How events arrive: late, twice, or stamped by a clock that is wrong. Chance is seeded by the event's own id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from scenarios.fleet import encode
from scenarios.fleet_events import Emitted, format_times
from scenarios.stories import happenings as h
from scenarios.stories.model import Story

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class _Trouble:
    start_ms: int
    end_ms: int
    what: h.ClockSkew | h.LateEvents | h.Duplicates
    salt: int

    def strikes(self, emitted: Emitted) -> bool:
        """Whether it strikes this event: those of its period, as many of them as it says."""
        if not self.start_ms <= emitted.time_ms < self.end_ms:
            return False
        if self.what.system not in (None, emitted.event["system"]):
            return False
        return self.chance(emitted) < self.what.share_percent / 100

    def chance(self, emitted: Emitted) -> float:
        """A number on [0, 1) that follows from the event. Events of one interaction have one trace, so one number."""
        name = str(emitted.event.get("trace_id") or emitted.event["id"])
        return crc32(f"{self.salt}/{name}".encode()) / 2**32


def deliver(story: Story, events: Iterable[Emitted]) -> list[bytes]:
    """The lines of all events in the order in which they arrive: that of their times, where nothing is amiss."""
    troubles = _troubles(story)
    if not troubles:
        return [encode(emitted.event) for emitted in events]
    arrivals: list[tuple[int, int, bytes]] = []
    for number, emitted in enumerate(events):
        arrivals += [(at, number, line) for at, line in _arrive(emitted, troubles)]
    return [line for _, _, line in sorted(arrivals)]


def _troubles(story: Story) -> list[_Trouble]:
    return [
        _Trouble(story.ms(one.at), story.ends_ms if one.until is None else story.ms(one.until), one, salt)
        for salt, one in enumerate(story.happens)
        if isinstance(one, h.ClockSkew | h.LateEvents | h.Duplicates)
    ]


def _arrive(emitted: Emitted, troubles: Sequence[_Trouble]) -> list[tuple[int, bytes]]:
    """When and as what an event arrives."""
    at, event, copies = emitted.time_ms, emitted.event, 1
    for trouble in troubles:
        if not trouble.strikes(emitted):
            continue
        match trouble.what:
            case h.ClockSkew(seconds=seconds):
                stamped = format_times(np.array([emitted.time_ms + seconds * 1000], dtype=np.int64))[0]
                event = {**event, "time": stamped}
            case h.LateEvents(minutes=minutes):
                share = trouble.what.share_percent / 100
                at += round(minutes * MINUTE_MS * trouble.chance(emitted) / share)
            case h.Duplicates():
                copies += 1
    line = encode(event)
    return [(at + 2_000 * copy, line) for copy in range(copies)]
