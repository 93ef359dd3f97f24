"""`midwatch run`: one worker in this process, or several in processes of their own."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from stream.collector import calm_collector
from stream.core.layouts import LayoutError
from stream.ingest_loop import TopicShrunk
from stream.logs import configure_logs, secret_values
from stream.page import KeptPage, PageKeeper
from stream.run_sinks import sinks_beside
from stream.settings import Settings
from stream.store import LayoutMismatch
from stream.unreachable import unreachable
from stream.worker import TopicsMissing, Worker

RESTARTS: Final = 5
"""Restarts of workers within `RESTART_SECONDS` after which the whole engine gives up."""

RESTART_SECONDS: Final = 60.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.run")


def run_workers(settings: Settings, workers: int, page: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; the exit code. A worker that dies is started again, a few times.

    `page` is the command that serves the on-call page beside them; it may die and come again as it likes.
    """
    configure_logs(settings.log, secret_values(settings))
    keeper = PageKeeper(page) if page is not None else None
    with sinks_beside(settings):
        if workers == 1:
            with KeptPage(keeper):
                return run_one(settings, 0)
        return _supervise(settings, workers, keeper)


def run_one(settings: Settings, index: int) -> int:
    """One worker in this process."""
    calm_collector()
    try:
        asyncio.run(_run(settings, index))
    except (TopicsMissing, TopicShrunk, LayoutMismatch, LayoutError, KafkaError, RedisError, OSError) as error:
        found = unreachable(error)
        detail = f"{found[0]}: {found[1]}" if found else str(error)
        log.error("cannot_run", error=type(error).__name__, detail=detail)  # noqa: TRY400  # expected: no traceback
        return 1
    except Exception as error:  # the last line of defence: said in the log, told by the exit code
        log.exception("worker_failed", error=type(error).__name__, detail=str(error))
        return 1
    return 0


async def _run(settings: Settings, index: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Worker(settings, index).run(stop)


def _child(settings: Settings, index: int) -> None:
    sys.exit(run_one(settings, index))


def _supervise(settings: Settings, workers: int, keeper: PageKeeper | None = None) -> int:
    """Workers in processes of their own, started again when they die; ends with them."""
    stopping = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    children = [_start(settings, index) for index in range(workers)]
    try:
        return _keep_alive(settings, children, stopping, keeper)
    finally:
        for child in children:
            if child.is_alive():
                child.terminate()
        if keeper is not None:
            keeper.stop()
        for child in children:
            child.join()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _start(settings: Settings, index: int) -> BaseProcess:
    # Children are forked before any thread or event loop exists here; the settings need not be pickled.
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_child, args=(settings, index), name=f"midwatch-worker-{index}")
    process.start()
    return process


def _keep_alive(
    settings: Settings, children: list[BaseProcess], stopping: threading.Event, keeper: PageKeeper | None = None
) -> int:
    """Start dead children again until told to stop (0), or until they die too often (1)."""
    restarts: deque[float] = deque(maxlen=RESTARTS)
    while not stopping.is_set():
        if keeper is not None:
            keeper.check()
        wait([child.sentinel for child in children], timeout=0.5)
        for index, child in enumerate(children):
            if child.is_alive() or stopping.is_set():
                continue
            log.error("worker_died", index=index, exit_code=child.exitcode)
            now = time.monotonic()
            if len(restarts) == RESTARTS and now - restarts[0] < RESTART_SECONDS:
                log.error("giving_up", restarts=RESTARTS, seconds=RESTART_SECONDS)
                return 1
            restarts.append(now)
            children[index] = _start(settings, index)
    return 0
