"""The watchdog: a stuck engine exits and says so, so that whoever supervises it starts it anew.

It watches from a thread of its own, so it notices a blocked event loop too. What counts is progress while there is
something to do, not being alive: consumers have hung for hours with every heartbeat in order.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import CoroutineType
from typing import Final

EXIT_STUCK: Final = 75
"""EX_TEMPFAIL of sysexits.h: try again."""


LAST_WORDS_SECONDS: Final = 5.0
"""How long the last words may take: whoever reads standard error may be what hangs."""


def _exit(message: str) -> None:
    last_words_are_over = threading.Timer(LAST_WORDS_SECONDS, os._exit, (EXIT_STUCK,))
    last_words_are_over.daemon = True
    last_words_are_over.start()
    print(message, file=sys.stderr, flush=True)  # noqa: T201  # the log may be what hangs
    faulthandler.dump_traceback(all_threads=True)
    os._exit(EXIT_STUCK)


def where_tasks_stand(loop: asyncio.AbstractEventLoop) -> str:
    """The innermost lines of every task of a loop, for the last words of a stuck process."""
    lines = []
    for task in sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name()):
        frames = task.get_stack(limit=1)
        place = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "not started"
        lines.append(f"  {task.get_name()}: {_awaited(task) or place}")
    return "\n".join(lines)


def _awaited(task: asyncio.Task[object]) -> str:
    """The chain of coroutines that a task waits in, outermost first."""
    names = []
    inner: object = task.get_coro()
    while isinstance(inner, CoroutineType):
        if inner.cr_frame is not None:
            names.append(f"{inner.cr_frame.f_code.co_name}:{inner.cr_frame.f_lineno}")
        inner = inner.cr_await
    return " > ".join(names)


def _described(describe: Callable[[], str]) -> str:
    try:
        return describe()
    except Exception as error:  # noqa: BLE001  # a loop in ruins must not keep the process from ending
        return f"  (what the tasks wait for could not be found out: {type(error).__name__}: {error})"


class EndBound:
    """Ends the process if, once it has begun to end, it has not ended within some seconds.

    A crash at any moment loses nothing, so neither does this: what was not committed is done again by the next process.
    """

    def __init__(self, seconds: float, give_up: Callable[[str], None] = _exit) -> None:
        self._seconds = seconds
        self._give_up = give_up
        self._timer: threading.Timer | None = None

    def begin(self, describe: Callable[[], str]) -> None:
        """The end begins; once. `describe` gives the last lines of the message."""
        if self._timer is not None:
            return
        words = (
            f"midwatch: told to end, and not done within {self._seconds:g} s (engine.stop_seconds): ending now. "
            "Nothing is lost, the next process goes on from what Redis holds"
        )
        self._timer = threading.Timer(self._seconds, lambda: self._give_up(f"{words}\n{_described(describe)}"))
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """It has ended."""
        if self._timer is not None:
            self._timer.cancel()


class Watchdog:
    """Ends the process if `note` reports no progress for `seconds` while behind, or is itself not called.

    `describe` gives the last lines of the message; it is called in the watchdog's thread. A thread watches if `start`
    is set; else the caller calls `check`.
    """

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        give_up: Callable[[str], None] = _exit,
        *,
        what: str = "the engine",
        describe: Callable[[], str] = str,
        start: bool = True,
    ) -> None:
        self._what = what
        self._seconds = seconds
        self._clock = clock
        self._give_up = give_up
        self._describe = describe
        self._progress = -1
        self._moved = self._noted = clock()
        self._closed = threading.Event()
        if start:
            threading.Thread(target=self._watch, name="midwatch-watchdog", daemon=True).start()

    def note(self, progress: int, *, behind: bool, since: float | None = None) -> None:
        """Called about once a second: a number that changes with the work done, and whether there is work to do.

        `since`, by the clock, is when the work began that does not get on, if that is known: it may have been before
        what this number tells apart.
        """
        now = self._clock()
        self._noted = now
        if progress != self._progress or not behind:
            self._progress, self._moved = progress, now
        if behind and since is not None:
            self._moved = min(self._moved, since)

    def check(self) -> None:
        """Give up if it is time to."""
        now = self._clock()
        if now - self._noted > self._seconds:
            self._end(f"the event loop has been blocked for {now - self._noted:.0f} s; exiting")
        elif now - self._moved > self._seconds:
            for_seconds = now - self._moved
            since = datetime.fromtimestamp(time.time() - for_seconds, UTC)
            self._end(
                f"{self._what} is stuck: no progress for {for_seconds:.0f} s, since {since:%Y-%m-%dT%H:%M:%SZ}, while "
                f"there is work; exiting with code {EXIT_STUCK}, so that a supervisor starts a fresh process, which "
                "goes on from what Redis holds: nothing is lost"
            )

    def _end(self, reason: str) -> None:
        self._give_up(f"midwatch: {reason}\n{_described(self._describe)}")

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(min(self._seconds / 10, 1.0)):
            self.check()
