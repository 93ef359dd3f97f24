"""The newest tags of each system among many events, found without a step for every event.

What counts are the tags of the latest event by (time, id): any cut into batches gives the same. The events themselves
are not kept; they are let go while they are in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream.core.spans import TracedSpan

Tagged = tuple[int, str, Mapping[str, str]]
"""Time of an event in ms, its identity, its tags."""

Newest = dict[str, dict[str, Tagged]]
"""By environment and system."""

LONGEST_TIE: Final = 16
"""Events of one moment, above which each is looked at by itself, as where producers send whole seconds."""

_TRUE: Final = np.ones(1, np.bool_)
_TAGS: Final = attrgetter("tags")
_ENVIRONMENT: Final = attrgetter("environment")
_SYSTEM: Final = attrgetter("system")


def note(newest: dict[str, Tagged], system: str, tagged: Tagged) -> None:
    """Keep the tags that are the newest; of two at the same time, those of the greater id."""
    known = newest.get(system)
    if known is None or _is_newer(tagged, known):
        newest[system] = tagged


def _is_newer(one: Tagged, other: Tagged) -> bool:
    if one[0] != other[0]:
        return one[0] > other[0]
    if one[1] != other[1]:
        return one[1] > other[1]
    return sorted_tags(one[2]) > sorted_tags(other[2])


def sorted_tags(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Tags in their order."""
    return tuple(tags.items() if len(tags) == 1 else sorted(tags.items()))


def identity_of(event: Any) -> str:
    """The event's id, or a span's in words."""
    if type(event) is TracedSpan:
        return f"{event.trace_id.hex()}-{event.fact.span_id.hex()}"
    identity: str = event.id
    return identity


def note_all(newest: Newest, events: Sequence[Any], times: NDArray[np.int64]) -> None:
    """Offer the tags of every event, `times[i]` being the time of `events[i]`."""
    tags: Sequence[Any] = list(map(_TAGS, events))
    if not all(tags):
        events, times, tags = _those(list(map(bool, tags)), events, times, tags)
    if (times[1:] < times[:-1]).any():
        by_time = np.argsort(times, kind="stable")
        places = by_time.tolist()
        events, times, tags = [events[place] for place in places], times[by_time], [tags[place] for place in places]
    environments = list(map(_ENVIRONMENT, events))
    several = dict.fromkeys(environments)
    for environment in several:
        known = newest.setdefault(environment, {})
        if len(several) == 1:
            _note_systems(known, events, times, tags)
        else:
            here = [one == environment for one in environments]
            _note_systems(known, *_those(here, events, times, tags))


_Columns = tuple[Sequence[Any], NDArray[np.int64], Sequence[Mapping[str, str]]]


def _those(kept: Sequence[bool], events: Sequence[Any], times: NDArray[np.int64], tags: Sequence[Any]) -> _Columns:
    return list(compress(events, kept)), times[np.array(kept, np.bool_)], list(compress(tags, kept))


def _note_systems(
    newest: dict[str, Tagged], events: Sequence[Any], times: NDArray[np.int64], tags: Sequence[Mapping[str, str]]
) -> None:
    """The same for events of one environment, in the order of their times, which all have tags."""
    systems, moments = list(map(_SYSTEM, events)), times.tolist()
    last = dict(zip(systems, range(len(systems)), strict=True))
    edges = np.flatnonzero(np.concatenate((_TRUE, times[1:] != times[:-1], _TRUE)))
    if int((edges[1:] - edges[:-1]).max()) > LONGEST_TIE:
        for place, system in enumerate(systems):
            if moments[place] == moments[last[system]]:
                note(newest, system, (moments[place], identity_of(events[place]), tags[place]))
        return
    for system, place in last.items():
        ms = moments[place]
        known = newest.get(system)
        if known is None or ms > known[0]:
            newest[system] = (ms, identity_of(events[place]), tags[place])
        elif ms == known[0]:
            note(newest, system, (ms, identity_of(events[place]), tags[place]))
        while place and moments[place - 1] == ms:
            place -= 1  # noqa: PLW2901  # back through those of the same moment
            if systems[place] == system:
                note(newest, system, (ms, identity_of(events[place]), tags[place]))
