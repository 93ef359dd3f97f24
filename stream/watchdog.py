"""The watchdog: a stuck engine exits and says so, so that whoever supervises it starts it anew.

It watches from a thread of its own, so it notices a blocked event loop too. What counts is progress while there is
something to do, not being alive: consumers have hung for hours with every heartbeat in order.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

EXIT_STUCK: Final = 75
"""EX_TEMPFAIL of sysexits.h: try again."""


def _exit(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201  # the log may be what hangs
    os._exit(EXIT_STUCK)


class Watchdog:
    """Ends the process if `note` reports no progress for `seconds` while behind, or is itself not called."""

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        give_up: Callable[[str], None] = _exit,
        *,
        start: bool = True,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._give_up = give_up
        self._progress = -1
        self._moved = self._noted = clock()
        self._closed = threading.Event()
        if start:
            threading.Thread(target=self._watch, name="midwatch-watchdog", daemon=True).start()

    def note(self, progress: int, *, behind: bool) -> None:
        """Called about once a second: a number that grows with the work done, and whether there is work to do."""
        now = self._clock()
        self._noted = now
        if progress != self._progress or not behind:
            self._progress, self._moved = progress, now

    def check(self) -> None:
        """Give up if it is time to."""
        now = self._clock()
        if now - self._noted > self._seconds:
            self._give_up(f"midwatch: the event loop has been blocked for {now - self._noted:.0f} s; exiting")
        elif now - self._moved > self._seconds:
            self._give_up(
                f"midwatch: no progress for {now - self._moved:.0f} s while telemetry waits "
                "(is Kafka or Redis hanging?); exiting so that a supervisor starts a fresh process"
            )

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(min(self._seconds / 10, 1.0)):
            self.check()
