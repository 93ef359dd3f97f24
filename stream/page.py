"""The on-call page beside the engine: a process of its own, started again when it dies, for which nothing waits."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import structlog

LOOK_SECONDS: Final = 0.5
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 60.0
"""A page that lived so long is started again at once."""

STOP_SECONDS: Final = 8.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.run")


def page_command(config: Path | None) -> list[str]:
    """The command that serves the page under a configuration, and ends when this process does."""
    named = ["--config", str(config.resolve())] if config is not None else []
    return [sys.executable, "-m", "stream.cli", "dashboard", "--with-parent", *named]


class PageKeeper:
    """Keeps the page alive. `check` never blocks: it is called now and then by whoever watches over the engine."""

    def __init__(self, command: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._command = list(command)
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._next = float("-inf")

    @property
    def pid(self) -> int | None:
        """The page's process, None while there is none."""
        return self._process.pid if self._process is not None else None

    def check(self) -> None:
        """Start the page if it is not there; after each early death wait twice as long."""
        now = self._clock()
        if self._process is not None and (code := self._process.poll()) is not None:
            steady = now - self._started >= STEADY_SECONDS
            self._pause = FIRST_PAUSE_SECONDS if steady else min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self._next = now + self._pause
            log.error("page_died", exit_code=code, again_in_seconds=self._pause)
            self._close()
        if self._process is None and now >= self._next:
            self._start(now)

    def _start(self, now: float) -> None:
        try:
            # A session of its own: Ctrl-C is for us, and the page's end is ours to say. Its pipe ends with us.
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter
                self._command, stdin=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self._next = now + self._pause
            log.error("page_not_started", detail=str(error))  # noqa: TRY400  # expected: no traceback
            return
        self._started = now

    def _close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._process = None

    def stop(self) -> None:
        """End the page."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()


class KeptPage:
    """A keeper in a thread, for an engine that is one process. A context; None keeps nothing."""

    def __init__(self, keeper: PageKeeper | None) -> None:
        self._keeper = keeper
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="midwatch-page", daemon=True)

    def __enter__(self) -> Self:
        if self._keeper is not None:
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        if self._keeper is not None:
            self._thread.join()

    def _run(self) -> None:
        keeper = self._keeper
        if keeper is None:
            return
        try:
            while not self._stopping.is_set():
                keeper.check()
                self._stopping.wait(LOOK_SECONDS)
        finally:
            keeper.stop()
