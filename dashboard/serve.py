"""The page as a process: the read model and a web server on one event loop, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI

from dashboard.acts import KafkaActs
from dashboard.app import build_app
from dashboard.model import ReadModel
from dashboard.narrator import build_narrator
from dashboard.pages import build_router
from stream.assembly import engine_of
from stream.cancel import cancel
from stream.logs import configure_logs, secret_values
from stream.settings import Settings
from stream.settings_dashboard import DashboardSettings

STOP_SECONDS: Final = 3
LIVE_CONNECTIONS: Final = 500

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.dashboard")


class CannotListen(RuntimeError):
    """The address cannot be listened on; the message says which, and what to do."""


def application(model: ReadModel) -> FastAPI:
    """The whole page over a read model."""
    settings = model.settings
    acts = KafkaActs(settings, model.memory)
    version = engine_of(settings).version
    router = build_router(model, acts)
    return build_app(model, acts, settings.dashboard, changed=model.memory.changed, router=router, version=version)


def listen(settings: DashboardSettings) -> socket.socket:
    """The page's socket. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((settings.host, settings.port))
    except OSError as error:
        made.close()
        raise CannotListen(
            f"the page cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
            "set dashboard.port to a free one, 0 takes any"
        ) from error
    return made


def address_of(settings: DashboardSettings, made: socket.socket) -> str:
    """The address to open in a browser."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.tls_certfile is not None else "http"
    return f"{scheme}://{host}:{made.getsockname()[1]}/"


@asynccontextmanager
async def serving(model: ReadModel, made: socket.socket) -> AsyncIterator[_Server]:
    """The page, served on a socket for as long as the context lasts."""
    page = model.settings.dashboard
    config = uvicorn.Config(
        application(model),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="off",
        proxy_headers=False,
        ssl_certfile=page.tls_certfile,
        ssl_keyfile=page.tls_keyfile,
        timeout_graceful_shutdown=STOP_SECONDS,
        limit_concurrency=LIVE_CONNECTIONS,
        h11_max_incomplete_event_size=65_536,
    )
    server = _Server(config)
    reading = asyncio.create_task(model.run(), name="page-reads")
    answering = asyncio.create_task(server.serve(sockets=[made]), name="page-answers")
    try:
        yield server
    finally:
        server.should_exit = True
        await cancel(reading)
        await asyncio.gather(answering, return_exceptions=True)


class _Server(uvicorn.Server):
    """Without signal handlers of its own: whoever serves decides when it ends. `listening` is set once it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See `uvicorn.Server`."""
        yield


async def run_page(
    settings: Settings,
    *,
    simulated: bool = False,
    stop: asyncio.Event | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; `ready` is told the address. Raises CannotListen."""
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, stop.set)
    made = listen(settings.dashboard)
    address = address_of(settings.dashboard, made)
    model = ReadModel(settings, simulated=simulated)
    model.narrator = narrator = build_narrator(settings, os.environ, model.memory.touch)
    async with AsyncExitStack() as stack:
        if narrator is not None:
            stack.push_async_callback(narrator.aclose)
        server = await stack.enter_async_context(serving(model, made))
        await server.listening.wait()
        log.info("page_started", address=address, pid=os.getpid())
        if ready is not None:
            ready(address)
        await stop.wait()
    log.info("page_stopped", address=address)


def page_process(settings: Settings, *, simulated: bool, with_parent: bool, ready: Callable[[str], None]) -> int:
    """`midwatch dashboard`: the exit code. With `with_parent` it ends when standard input does."""
    configure_logs(settings.log, secret_values(settings))

    async def run() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        if with_parent:
            # The parent holds the other end of the pipe, whatever becomes of it.
            def watch() -> None:
                sys.stdin.buffer.read()
                loop.call_soon_threadsafe(stop.set)

            threading.Thread(target=watch, daemon=True).start()
        await run_page(settings, simulated=simulated, stop=stop, ready=ready)

    try:
        asyncio.run(run())
    except CannotListen as error:
        log.error("cannot_serve", detail=str(error))  # noqa: TRY400  # expected: no traceback
        return 1
    return 0
