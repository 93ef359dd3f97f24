"""The tags of each system, found without a step for every event.

What counts are the tags of a system's first tagged event in its newest minute; of several at that moment, the smallest
tags. That is the same for any cut into batches, any turn that partitions take, and hardly ever asks for a step of
Python: once a system has been seen in a minute, its later events need not be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress, repeat
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Tagged = tuple[int, Mapping[str, str]]
"""Time of an event in ms, its tags."""

Tags = dict[str, dict[str, Tagged]]
"""By environment and system."""

MINUTES: Final = 4
"""Minutes that are remembered. An event of an earlier one is told again, which changes nothing."""

SYSTEMS: Final = 65_536
"""Systems of an environment that are remembered in a minute."""

_LATER: Final = 2**62
_TAGS: Final = attrgetter("tags")
_ENVIRONMENT: Final = attrgetter("environment")
_SYSTEM: Final = attrgetter("system")

_Told = dict[str, int]
"""By system: the moment of the first tagged event that was told."""


class FirstTags:
    """Finds what a source partition has to tell about tags that it has not told before."""

    def __init__(self) -> None:
        self._told: dict[int, dict[str, _Told]] = {}

    def note(self, minute: int, found: Tags, events: Sequence[Any], times: NDArray[np.int64]) -> None:
        """Add to `found` what events of a minute tell, `times[i]` being the time of `events[i]`."""
        told = self._of(minute)
        environments = list(map(_ENVIRONMENT, events))
        environment = environments[0]
        if environments.count(environment) == len(environments):
            _note_systems(_held(told, environment), found.setdefault(environment, {}), events, times)
            return
        for environment in dict.fromkeys(environments):
            here = [one == environment for one in environments]
            those = list(compress(events, here))
            _note_systems(_held(told, environment), found.setdefault(environment, {}), those, times[here])

    def _of(self, minute: int) -> dict[str, _Told]:
        told = self._told.get(minute)
        if told is None:
            told = self._told[minute] = {}
            if len(self._told) > MINUTES:
                del self._told[min(self._told)]
        return told


def _held(told: dict[str, _Told], environment: str) -> _Told:
    systems = told.setdefault(environment, {})
    if len(systems) > SYSTEMS:
        systems.clear()
    return systems


def _note_systems(
    told: _Told, found: dict[str, Tagged], events: Sequence[Any], times: NDArray[np.int64]
) -> None:
    """The same for events of one environment."""
    systems = list(map(_SYSTEM, events))
    firsts = np.fromiter(map(told.get, systems, repeat(_LATER)), np.int64, len(systems))
    places = np.flatnonzero(times <= firsts)
    for place, ms in zip(places.tolist(), times[places].tolist(), strict=True):
        tags = events[place].tags
        if tags:
            system = systems[place]
            if ms <= told.get(system, _LATER):
                told[system] = ms
                offer(found, system, (ms, tags))


def offer(found: dict[str, Tagged], system: str, tagged: Tagged) -> None:
    """Keep the tags of the earlier moment; of two at one moment, the smaller."""
    known = found.get(system)
    if known is None or tagged[0] < known[0]:
        found[system] = tagged
    elif tagged[0] == known[0] and sorted_tags(tagged[1]) < sorted_tags(known[1]):
        found[system] = tagged


def sorted_tags(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Tags in their order."""
    return tuple(tags.items() if len(tags) == 1 else sorted(tags.items()))
