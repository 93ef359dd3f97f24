"""What waits to be delivered to one destination: a lane for each incident, so that one does not hold up another.

Within a lane the order is the topic's. An offset may be committed once everything up to it is done.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from schemas.outputs import Verdict

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(slots=True)
class Waiting:
    """One record that is not yet done. `verdict` is None where it cannot be read."""

    place: Place
    offset: int
    value: bytes
    published_ms: int
    verdict: Verdict | None
    stale: bool | None = None
    """Whether the engine said that it speaks of the past; None where it did not say."""
    ready_at: float = 0.0
    tries: int = 0
    sent: int = 0
    """Parcels of it that were taken already."""
    first_try: float | None = None

    @property
    def lane(self) -> tuple[Place, str]:
        """Whose turn it waits for."""
        return self.place, self.verdict.incident_id if self.verdict is not None else f"@{self.offset}"


@dataclass(slots=True)
class Lanes:
    """All that waits, and how far each partition was read."""

    _lanes: dict[tuple[Place, str], deque[Waiting]] = field(default_factory=dict)
    _open: dict[Place, set[int]] = field(default_factory=dict)
    _read: dict[Place, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def begin(self, place: Place, offset: int) -> None:
        """Take a partition in hand, from an offset on."""
        self._open[place], self._read[place] = set(), offset

    def holds(self, place: Place) -> bool:
        """Whether a partition is in hand."""
        return place in self._read

    def read_to(self, place: Place) -> int:
        """The offset up to which a partition was read."""
        return self._read.get(place, 0)

    def clear(self) -> None:
        """Let go of everything."""
        self._lanes.clear()
        self._open.clear()
        self._read.clear()

    def add(self, item: Waiting) -> bool:
        """Queue a record; False if it was queued before."""
        if item.offset < self._read[item.place]:
            return False
        self._read[item.place] = item.offset + 1
        self._open[item.place].add(item.offset)
        self._lanes.setdefault(item.lane, deque()).append(item)
        return True

    def next(self, now: float) -> Waiting | None:
        """The head of a lane that may be tried now, the longest waiting first; None if there is none."""
        ready = [lane[0] for lane in self._lanes.values() if lane[0].ready_at <= now]
        return min(ready, key=lambda one: (one.published_ms, one.place, one.offset), default=None)

    def ready_at(self) -> float | None:
        """When the next one may be tried; None if nothing waits."""
        return min((lane[0].ready_at for lane in self._lanes.values()), default=None)

    def ends_later(self, item: Waiting) -> bool:
        """Whether the incident's end waits behind it."""
        lane = self._lanes.get(item.lane, ())
        return any(
            one.verdict is not None and one.verdict.status == "resolved" for one in lane if one.offset > item.offset
        )

    def done(self, item: Waiting) -> None:
        """Take a head off its lane."""
        lane = self._lanes.get(item.lane)
        if lane is None or lane[0] is not item:
            return  # it was let go of meanwhile
        lane.popleft()
        if not lane:
            del self._lanes[item.lane]
        self._open[item.place].discard(item.offset)

    def committable(self) -> dict[Place, int]:
        """For each partition the offset before which everything is done."""
        return {place: min(self._open[place], default=read) for place, read in self._read.items()}

    def oldest_ms(self) -> int | None:
        """When the oldest that waits was published."""
        return min((one.published_ms for lane in self._lanes.values() for one in lane), default=None)
