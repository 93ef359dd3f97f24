"""What the evaluation loop has to get done: since when, how often tried; so that the watchdog sees what hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

HOPELESS_TRIES: Final = 3
"""Failures of one shard after which it counts as stuck from the first of them."""

LEASES: Final = -1
"""What stands for the leases where shards are named."""

What = int | tuple[int, str]
"""A shard, or `LEASES`; or what a shard has to do beside its ticks, by its name."""


@dataclass(slots=True)
class _Due:
    """Since when, up to which tick it came at best, how often it was tried, since when now."""

    since: float
    tick: int
    tries: int = 0
    began: float = 0.0
    at_work: bool = False


class Dues:
    """By shard and what else there is: what was begun and is not done. Times are the monotonic clock's, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._dues: dict[What, _Due] = {}

    @contextmanager
    def watched(self, what: What, tick: int = 0) -> Iterator[None]:
        """One try, from that tick on; if it raises, it stays due."""
        now = self._clock()
        due = self._dues.setdefault(what, _Due(now, tick))
        due.tries, due.began, due.at_work = due.tries + 1, now, True
        try:
            yield
        finally:
            due.at_work = False
        self._dues.pop(what, None)

    @contextmanager
    def aside(self, what: What) -> Iterator[None]:
        """While it waits for others within a try: it is theirs to get on. Afterwards the try counts from then on."""
        due = self._dues.get(what)
        if due is not None:
            due.at_work = False
        yield
        if due is not None:
            due.at_work, due.began = True, self._clock()

    def stuck_since(self, ticks: Mapping[int, int]) -> float | None:
        """Since when something does not get on; None if that can be said of nothing.

        It is said of what is being tried now, since this try; and of what has failed some times, since the first of
        them: one that failed once may wait long for its next turn. `ticks` are those that the shards have come to: one
        gets on with every tick that it reaches for the first time, if it takes ever so many of them at once.
        """
        found = []
        for what, due in self._dues.items():
            come = ticks.get(what, due.tick) if isinstance(what, int) else due.tick
            if come > due.tick:
                due.since = due.began = self._clock()
                due.tick, due.tries = come, 1
            if due.tries >= HOPELESS_TRIES:
                found.append(due.since)
            elif due.at_work:
                found.append(due.began)
        return min(found, default=None)

    def hangs(self, what: int, seconds: float) -> bool:
        """Whether it is being tried, and has not got on for so long, as of the last look at `stuck_since`."""
        due = self._dues.get(what)
        return due is not None and due.at_work and self._clock() - due.began > seconds

    def keep(self, held: Collection[int]) -> None:
        """Forget shards that are not among these: they are for others to get on."""
        for what in list(self._dues):
            shard = what if isinstance(what, int) else what[0]
            if shard != LEASES and shard not in held:
                del self._dues[what]
