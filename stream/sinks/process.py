"""`midwatch sinks run`: every configured sink in one process, beside the engine and never in its way.

Each sink has a consumer, an offset and a pace of its own. One whose destination is down waits, and says so in the log
and the metrics; one that breaks is started again; the others go on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack, suppress
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.outputs import Undelivered
from stream.http import Status, serve_http
from stream.logs import configure_logs, secret_values
from stream.points import Point, nothing
from stream.publish import Publisher
from stream.settings import Settings
from stream.settings_clients import kafka_options
from stream.settings_sinks import sinks_of
from stream.sinks.base import Sink, SinkSettings
from stream.sinks.delivery import Around, Delivery
from stream.sinks.metrics import SinkMetrics
from stream.sinks.pacing import back_off
from stream.sinks.reader import Reader
from stream.sinks.registry import build

STORE_SECONDS: Final = 30.0
SETTLED_SECONDS: Final = 60.0
"""A sink that ran for so long before it broke is started again at once."""

PARENT_SECONDS: Final = 1.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.sinks")


class NoSinksConfigured(RuntimeError):
    """There is nothing to deliver to."""


def wall_ms() -> int:
    """The wall clock, in ms since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def run_sinks(settings: Settings, *, parent: int | None = None) -> int:
    """Deliver until SIGTERM or SIGINT, or until the process `parent` is gone; the exit code."""
    configure_logs(settings.log, _secrets(settings))
    try:
        asyncio.run(_run(settings, parent))
    except (KafkaError, OSError, ValueError, NoSinksConfigured) as error:
        log.error("cannot_run", error=type(error).__name__, detail=str(error))  # noqa: TRY400  # expected: no traceback
        return 1
    except Exception as error:  # the last line of defence: said in the log, told by the exit code
        log.exception("sinks_failed", error=type(error).__name__, detail=str(error))
        return 1
    return 0


def _secrets(settings: Settings) -> tuple[str, ...]:
    """All secrets; of those that hold several, each."""
    return tuple(part for secret in secret_values(settings) for part in {secret, *secret.split()})


async def _run(settings: Settings, parent: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        sinks = Sinks(settings)
        stack.push_async_callback(sinks.close)
        http = settings.http.model_copy(update={"port": settings.delivery.http_port})
        server = await stack.enter_async_context(serve_http(http, sinks.metrics.registry, sinks.healthy, sinks.healthy))
        log.info("sinks_started", sinks=sorted(sinks.names), metrics=f"{server.url}/metrics", pid=os.getpid())
        watch = asyncio.create_task(_until_orphaned(parent, stop)) if parent is not None else None
        await sinks.run(stop)
        if watch is not None:
            watch.cancel()
        log.info("sinks_stopped")


async def _until_orphaned(parent: int, stop: asyncio.Event) -> None:
    """An engine that was killed takes its deliveries with it: whoever starts it anew starts them anew."""
    while not stop.is_set():
        if os.getppid() != parent:
            log.error("engine_is_gone", parent=parent)
            stop.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PARENT_SECONDS)


class Sinks:
    """All deliveries of one process. Raises ValueError where a sink cannot be made of its settings."""

    def __init__(self, settings: Settings, point: Point = nothing) -> None:
        self.metrics = SinkMetrics()
        self._settings = settings
        self._point = point
        self._made: dict[str, tuple[SinkSettings, Sink]] = {}
        self._running: set[str] = set()
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        found = sinks_of(settings.sinks)
        if not found:
            raise NoSinksConfigured("no sink is configured; see docs/sinks.md")
        problems = []
        for name, section in found.items():
            try:
                self._made[name] = (section, build(section))
            except ValueError as error:
                problems.append(f"sinks.{name}: {error}")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def names(self) -> set[str]:
        """The sinks' names."""
        return set(self._made)

    def healthy(self) -> Status:
        """Whether every delivery runs. A destination that is down is no reason to start this process anew."""
        ended = sorted(self.names - self._running)
        return Status(not ended, {"not_running": ended} if ended else {})

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop`."""
        await asyncio.gather(*(self._keep_running(name, stop) for name in sorted(self._made)))

    async def _keep_running(self, name: str, stop: asyncio.Event) -> None:
        breaks = 0
        while not stop.is_set():
            began = time.monotonic()
            try:
                await self._deliver(name, stop)
            except Exception as error:  # noqa: BLE001  # one sink's end must not be the others'
                if time.monotonic() - began > SETTLED_SECONDS:
                    breaks = 0
                breaks += 1
                pause = back_off(breaks, 1)
                log.error("sink_restarts", sink=name, error=type(error).__name__, detail=str(error), seconds=pause)  # noqa: TRY400
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
            finally:
                self._running.discard(name)

    async def _deliver(self, name: str, stop: asyncio.Event) -> None:
        section, sink = self._made[name]
        reader = Reader(name, section, self._settings.kafka, wall_ms)
        around = Around(
            wall_ms=wall_ms,
            clock=time.monotonic,
            link=self._settings.dashboard.incident_url,
            give_up=self._give_up,
            event_time_is_now=self._settings.engine.clock == "wall",
            point=self._point,
        )
        try:
            await reader.start()
            self._running.add(name)
            await Delivery(name, section, sink, reader, self.metrics, around).run(stop)
        finally:
            with suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(reader.stop(), STORE_SECONDS)

    async def _give_up(self, record: Undelivered) -> None:
        producer = await self._started_producer()
        await asyncio.wait_for(Publisher(producer, wall_ms).undelivered(record), STORE_SECONDS)

    async def _started_producer(self) -> AIOKafkaProducer:
        """The one producer of all sinks, which may give up at the same moment; made when the first of them does."""
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(**kafka_options(self._settings.kafka), acks="all", enable_idempotence=True)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def close(self) -> None:
        """Let go of Kafka and of every destination."""
        if self._producer is not None:
            await self._producer.stop()
        for _, sink in self._made.values():
            await sink.close()
