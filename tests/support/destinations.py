"""Destinations on this machine: they check what comes against the published schema, and fail as they are told to."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aiohttp import web
from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parent / "schemas"
PATIENCE_SECONDS = 60.0

Fault = int | Literal["hang", "cut", "half"] | None
"""None, a status to answer with, no answer at all, a connection that is closed without one, or in the middle of one."""


@dataclass
class Request:
    """What came, and what was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    fault: Fault | None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Destination:
    """A server that takes everything but for its faults, which come first and in order."""

    name: str
    url: str = ""
    schema: str | None = None
    answer: int = 200
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    retry_after: str | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    on_request: Callable[[Request], None] | None = None

    @property
    def taken(self) -> list[Request]:
        """What was answered as taken."""
        return [one for one in self.requests if one.fault is None]

    async def until(self, condition: Callable[[Destination], bool]) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.changed:
            await self.changed.wait_for(lambda: condition(self))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        fault = self.faults.popleft() if self.faults else None
        came = Request(request.path, headers, body, fault)
        if self.schema is not None:
            schema = json.loads((SCHEMAS / self.schema).read_text())
            found = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
            self.problems += [f"{error.json_path}: {error.message}" for error in found.iter_errors(came.json)]
        self.requests.append(came)
        async with self.changed:
            self.changed.notify_all()
        if self.on_request is not None:
            self.on_request(came)
        return await self._answer(request, fault)

    async def _answer(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        if fault is None:
            return web.json_response({"status": "success"}, status=self.answer)
        assert request.transport is not None
        if fault == "hang":
            await asyncio.sleep(3600)
        elif fault == "cut":
            request.transport.close()
        elif fault == "half":
            request.transport.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n")
            request.transport.close()
        else:
            assert isinstance(fault, int)
            extra = {"Retry-After": self.retry_after} if self.retry_after is not None and fault in (429, 503) else {}
            if 300 <= fault < 400:
                extra["Location"] = "/elsewhere"
            return web.Response(status=fault, text="no", headers=extra)
        return web.Response(status=500)


@asynccontextmanager
async def destination(
    name: str, faults: Iterable[Fault] = (), tls: ssl.SSLContext | None = None, **more: Any
) -> AsyncIterator[Destination]:
    """A destination that lives as long as the context."""
    found = Destination(name, faults=deque(faults), **more)
    app = web.Application()
    app.router.add_post("/{tail:.*}", found.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    host, port = runner.addresses[0][:2]
    found.url = f"{'http' if tls is None else 'https'}://{host}:{port}"
    try:
        yield found
    finally:
        await runner.cleanup()
