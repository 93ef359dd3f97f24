"""The tags of each system, found without a step for every event.

What counts are the tags of a system's first tagged event in its newest minute; of several at that moment, the smallest
tags. That is the same for any cut into batches, any turn that partitions take, and hardly ever asks for a step of
Python: once a system has been seen in a minute, its later events need not be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Tagged = tuple[int, Mapping[str, str]]
"""Time of an event in ms, its tags."""

MINUTES: Final = 4
"""Minutes that are remembered. An event of an earlier one is told again, which changes nothing."""

SYSTEMS: Final = 65_536
"""Systems of an environment that are remembered in a minute."""

_LATER: Final = 2**62
_SYSTEM: Final = attrgetter("system")

_Told = dict[str, int]
"""By system: the moment of the first tagged event that was told."""


class FirstTags:
    """Finds what a source partition has to tell about tags that it has not told before."""

    def __init__(self) -> None:
        self._told: dict[int, dict[str, _Told]] = {}

    def note(
        self,
        minute: int,
        environment: str,
        found: dict[str, Tagged],
        events: Sequence[Any],
        times: NDArray[np.int64],
    ) -> None:
        """Add to `found` what events of a minute and environment tell; `times[i]` is the time of `events[i]`."""
        told = self._of(minute, environment)
        systems = list(map(_SYSTEM, events))
        firsts = np.fromiter(map(told.get, systems, repeat(_LATER)), np.int64, len(systems))
        places = np.flatnonzero(times <= firsts)
        for place, ms in zip(places.tolist(), times[places].tolist(), strict=True):
            tags = events[place].tags
            if tags:
                system = systems[place]
                if ms <= told.get(system, _LATER):
                    told[system] = ms
                    _offer(found, system, (ms, tags))

    def _of(self, minute: int, environment: str) -> _Told:
        environments = self._told.get(minute)
        if environments is None:
            environments = self._told[minute] = {}
            if len(self._told) > MINUTES:
                del self._told[min(self._told)]
        told = environments.setdefault(environment, {})
        if len(told) > SYSTEMS:
            told.clear()
        return told


def _offer(found: dict[str, Tagged], system: str, tagged: Tagged) -> None:
    """Keep the tags of the earlier moment; of two at one moment, the smaller."""
    known = found.get(system)
    if known is None or (tagged[0], sorted_tags(tagged[1])) < (known[0], sorted_tags(known[1])):
        found[system] = tagged


def sorted_tags(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Tags in their order."""
    return tuple(tags.items() if len(tags) == 1 else sorted(tags.items()))
