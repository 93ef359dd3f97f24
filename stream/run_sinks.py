"""The deliveries beside an engine: a process of their own, which neither slows the engine nor takes it down.

Two, in fact: one that keeps, and the one that delivers. The keeper has no threads and no event loop, so it can fork
another delivery process at any time; the engine could not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Final

import structlog

from stream.settings import Settings
from stream.settings_sinks import sinks_of

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
LOOK_SECONDS: Final = 0.5
STOP_SECONDS: Final = 30.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.run")


@contextmanager
def sinks_beside(settings: Settings) -> Iterator[None]:
    """Run the deliveries while the context lasts, if there are any; one that dies is started again, ever later.

    To be entered before there is a thread or an event loop in this process.
    """
    if not (settings.delivery.enabled and sinks_of(settings.sinks)):
        yield
        return
    keeper = multiprocessing.get_context("fork").Process(
        target=_keep, args=(settings, os.getpid()), name="midwatch-sinks-keeper"
    )
    keeper.start()
    try:
        yield
    finally:
        _end(keeper)


def _end(process: BaseProcess) -> None:
    if process.is_alive():
        process.terminate()
    process.join(STOP_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


def _keep(settings: Settings, engine: int) -> None:
    """Start the delivery process, and again when it dies, until told to stop or until the engine is gone."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    pause = FIRST_PAUSE
    while not stopping.is_set():
        began = time.monotonic()
        process = multiprocessing.get_context("fork").Process(
            target=_deliver, args=(settings, os.getpid()), name="midwatch-sinks"
        )
        process.start()
        while process.is_alive() and os.getppid() == engine and not stopping.wait(LOOK_SECONDS):
            pass
        if stopping.is_set() or os.getppid() != engine:
            _end(process)
            return
        pause = FIRST_PAUSE if time.monotonic() - began > LONGEST_PAUSE else pause
        log.error("sinks_died", exit_code=process.exitcode, again_in_seconds=pause)
        stopping.wait(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _deliver(settings: Settings, keeper: int) -> None:
    from stream.sinks.process import run_sinks

    sys.exit(run_sinks(settings, parent=keeper))
