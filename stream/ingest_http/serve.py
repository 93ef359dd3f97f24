"""The ingest process: a Kafka producer, the endpoints, and a server around them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import structlog
import uvicorn
from aiokafka import AIOKafkaProducer

from schemas.words import TOPIC_OF_TYPE
from stream.http import HttpServer
from stream.ingest_http.app import build_app
from stream.ingest_http.meters import IngestMeters
from stream.ingest_http.writer import Writer
from stream.restore import partitions_of
from stream.settings import Settings
from stream.settings_clients import kafka_options

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.ingest_http")

ENVELOPE_BYTES = 65_536
"""Room for a record's headers above its value."""


class _Server(uvicorn.Server):
    """uvicorn without its own handling of signals, which would end the process by the signal instead of with 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_ingest(settings: Settings) -> AsyncIterator[HttpServer]:
    """Serve for as long as the context lasts. Raises KafkaError if no broker answers, OSError if the port is taken."""
    own, kafka = settings.ingest_http, kafka_options(settings.kafka)

    async def exists(topic: str) -> bool:
        return bool(await partitions_of([topic], kafka))

    producer = AIOKafkaProducer(
        **kafka,
        acks="all",
        enable_idempotence=True,
        max_request_size=settings.limits.max_record_bytes + ENVELOPE_BYTES,
        request_timeout_ms=max(round(own.store_seconds * 1000), 1000),
    )
    with _listening(own.host, own.port) as listener:
        try:
            await producer.start()
            writer = Writer(producer, exists, own.max_pending_bytes, own.store_seconds)
            app = build_app(settings, writer, IngestMeters(), lambda: time.time_ns() // 1_000_000)
            async with _running(app, listener, own.max_connections):
                yield HttpServer(own.host, listener.getsockname()[1])
        finally:
            await producer.stop()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1024) as listener:
        yield listener


@asynccontextmanager
async def _running(app: Any, listener: socket.socket, connections: int) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app,
        http="h11",  # It bounds the length of headers; httptools, where installed, does not.
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        limit_concurrency=connections,
        timeout_graceful_shutdown=10,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task


def unread_topics(settings: Settings) -> list[str]:
    """The topics that this process writes, and that an engine with the same configuration does not read."""
    written = {settings.ingest_http.spans_topic, settings.ingest_http.logs_topic, *TOPIC_OF_TYPE.values()}
    return sorted(written - {*settings.kafka.input_topics})


async def run_ingest(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises KafkaError, OSError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with serve_ingest(settings) as server:
        log.info("ingest_listening", url=server.url, token=settings.ingest_http.token is not None)
        await stop.wait()
    log.info("ingest_stopped")
