"""/metrics, /healthz and /readyz, on loopback or behind a token.

Whether the engine is healthy and ready is not known here: two functions say so. `/healthz` fails when a supervisor
should restart the process, `/readyz` while it has not caught up with its work.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream.settings_sections import HttpSettings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
MAX_REQUEST_BYTES = 1024
"""These pages take no body."""


@dataclass(frozen=True, slots=True)
class Status:
    """Whether all is well, and the facts behind it, as JSON values."""

    ok: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


StatusSource = Callable[[], Status]


@dataclass(frozen=True, slots=True)
class HttpServer:
    """Where the pages are."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The base address, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@asynccontextmanager
async def serve_http(
    settings: HttpSettings, registry: CollectorRegistry, healthy: StatusSource, ready: StatusSource
) -> AsyncIterator[HttpServer]:
    """Serve the pages for as long as the context lasts. Raises OSError if the port is taken."""
    runner = web.AppRunner(build_app(settings, registry, healthy, ready), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        yield HttpServer(settings.host, int(runner.addresses[0][1]))
    finally:
        await runner.cleanup()


def build_app(
    settings: HttpSettings, registry: CollectorRegistry, healthy: StatusSource, ready: StatusSource
) -> web.Application:
    """The pages as an aiohttp application."""
    token = settings.token.get_secret_value() if settings.token is not None else None
    app = web.Application(middlewares=[_guard(token)], client_max_size=MAX_REQUEST_BYTES)
    app.router.add_get("/metrics", _metrics_page(registry))
    app.router.add_get("/healthz", _status_page("healthz", healthy))
    app.router.add_get("/readyz", _status_page("readyz", ready))
    return app


def _guard(token: str | None) -> Any:
    expected = f"Bearer {token}".encode() if token is not None else None

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if expected is not None and not hmac.compare_digest(given, expected):
            refusal = {"WWW-Authenticate": 'Bearer realm="midwatch"', **HEADERS}
            return web.Response(status=401, text="a bearer token is needed\n", headers=refusal)
        return await handler(request)

    return guard


def _metrics_page(registry: CollectorRegistry) -> Handler:
    async def page(request: web.Request) -> web.StreamResponse:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type, **HEADERS})

    return page


def _status_page(name: str, source: StatusSource) -> Handler:
    async def page(_request: web.Request) -> web.StreamResponse:
        try:
            status = source()
        except Exception as error:  # noqa: BLE001
            # A probe that breaks must fail, not hang or pass; the cause is for the log.
            structlog.get_logger(__name__).exception("status_failed", page=name)
            status = Status(ok=False, facts={"error": type(error).__name__})
        body = json.dumps({"status": "ok" if status.ok else "failing", **status.facts}, sort_keys=True) + "\n"
        return web.Response(
            status=200 if status.ok else 503, text=body, content_type="application/json", headers=HEADERS
        )

    return page
