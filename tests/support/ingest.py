"""The ingest endpoints around a Kafka that is a list, called without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from stream.ingest_http.app import build_app
from stream.ingest_http.meters import IngestMeters
from stream.ingest_http.writer import Writer
from stream.settings import load_settings
from tests.unit.adapters.events import NOW_MS

TOPICS = ("agent.deployments", "agent.interactions", "agent.circuit-breakers", "agent.authorizations", "otlp_spans")


class ListedKafka:
    """Keeps what is sent; `error` refuses it, `gate` holds the answers back until it is set."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, dict[str, bytes]]] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.arrived = asyncio.Event()
        self.topics = set(TOPICS)
        self._waiting: set[asyncio.Task[None]] = set()

    async def send(self, topic: str, value: bytes, *, headers: Sequence[tuple[str, bytes]]) -> asyncio.Future[Any]:
        if self.error is not None:
            raise self.error
        self.arrived.set()
        self.sent.append((topic, value, dict(headers)))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.gate is None:
            done.set_result(None)
        else:
            task = asyncio.create_task(self._open(done))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)
        return done

    async def _open(self, done: asyncio.Future[Any]) -> None:
        assert self.gate is not None
        await self.gate.wait()
        if not done.done():
            done.set_result(None)

    async def exists(self, topic: str) -> bool:
        return topic in self.topics


class Ingest:
    """A client of the endpoints, and what they wrote."""

    def __init__(self, client: httpx.AsyncClient, kafka: ListedKafka, meters: IngestMeters) -> None:
        self.client = client
        self.kafka = kafka
        self.meters = meters

    async def post(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        """Send a body; underscores in the names of headers stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(path, content=body, headers=named)


@asynccontextmanager
async def ingest(**variables: str) -> AsyncIterator[Ingest]:
    """The endpoints under these keys of [ingest_http]; `adapters` keys have that prefix."""
    environ = {
        f"MIDWATCH_{name.upper()}" if "__" in name else f"MIDWATCH_INGEST_HTTP__{name.upper()}": value
        for name, value in variables.items()
    }
    settings = load_settings(None, environ)
    kafka, meters = ListedKafka(), IngestMeters()
    own = settings.ingest_http
    writer = Writer(kafka, kafka.exists, own.max_pending_bytes, own.store_seconds)
    app = build_app(settings, writer, meters, lambda: NOW_MS)
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
        yield Ingest(client, kafka, meters)
