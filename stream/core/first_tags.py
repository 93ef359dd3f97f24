"""The tags of each system, found without a step for every event.

What counts are the tags of a system's first tagged event in its newest minute; of several at that moment, the smallest
tags. What is visible from one tick on thus has one answer, for any cut into batches and any turn that partitions take.
And it hardly ever takes a step of Python: once a system's tags were told, its later events need not be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Tagged = tuple[int, Mapping[str, str]]
"""Time of an event in ms, its tags."""

MINUTES: Final = 4
"""Minutes that are remembered, those that were told last."""

NAMES: Final = 65_536
"""Names of environments and systems that are remembered of a minute."""

_LATER: Final = 2**62
_SYSTEM: Final = attrgetter("system")


@dataclass(slots=True)
class _Told:
    """What was told of a minute from a tick on: by environment and system, the moment of its first tagged event."""

    tick: int
    names: int = 0
    moments: dict[str, dict[str, int]] = field(default_factory=dict)


class FirstTags:
    """Finds what a source partition has to tell about tags that it has not told before.

    It remembers by tick: what became visible at one may have been refused or forgotten by the next, so a late event is
    told again, as a worker that starts anew would tell it. What is forgotten here is told twice, which changes nothing.
    """

    def __init__(self) -> None:
        self._told: dict[int, _Told] = {}
        """By minute. Of a minute, no event becomes visible at an earlier tick than one before it in the partition."""

    def note(
        self,
        place: tuple[int, int],
        environment: str,
        found: dict[str, Tagged],
        events: Sequence[Any],
        times: NDArray[np.int64],
    ) -> None:
        """Add to `found` what events of a tick, minute and environment tell; `times[i]` is the time of `events[i]`."""
        told = self._of(*place)
        moments = told.moments.get(environment, {})
        before = len(moments)
        systems = list(map(_SYSTEM, events))
        firsts = np.fromiter(map(moments.get, systems, repeat(_LATER)), np.int64, len(systems))
        places = np.flatnonzero(times <= firsts)
        for index, ms in zip(places.tolist(), times[places].tolist(), strict=True):
            tags = events[index].tags
            if tags:
                system = systems[index]
                if ms <= moments.get(system, _LATER):
                    moments[system] = ms
                    _offer(found, system, (ms, tags))
        if moments and not before:
            told.moments[environment] = moments
            told.names += 1
        told.names += len(moments) - before

    def _of(self, tick: int, minute: int) -> _Told:
        told = self._told.pop(minute, None)
        if told is None or told.tick != tick or told.names > NAMES:
            told = _Told(tick)
        self._told[minute] = told  # behind all others: what was told last
        if len(self._told) > MINUTES:
            del self._told[next(iter(self._told))]
        return told


def _offer(found: dict[str, Tagged], system: str, tagged: Tagged) -> None:
    """Keep the tags of the earlier moment; of two at one moment, the smaller."""
    known = found.get(system)
    if known is None or tagged[0] < known[0] or (tagged[0] == known[0] and _are_smaller(tagged[1], known[1])):
        found[system] = tagged


def _are_smaller(tags: Mapping[str, str], known: Mapping[str, str]) -> bool:
    return tags != known and sorted_tags(tags) < sorted_tags(known)


def sorted_tags(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Tags in their order."""
    return tuple(tags.items() if len(tags) == 1 else sorted(tags.items()))
