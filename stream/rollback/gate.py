"""The gate that Flagger asks: `/v1/gates/{namespace}/{canary}`, 200 while a canary may go on, 403 while it is shut.

That is for `confirm-rollout`, `confirm-traffic-increase` and `confirm-promotion` hooks. A `rollback` hook asks the
other way round, for its success rolls back: `/v1/gates/{namespace}/{canary}/rollback`, 200 while it is to be rolled
back, else 403. Flagger sends POST, a person's curl GET; both are answered. While what was done is not known (503),
nothing is rolled back, and what waits for a confirmation waits on.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from aiohttp import web

from stream.rollback.executors.base import Refused, order_of
from stream.rollback.executors.flagger import FlaggerGate
from stream.rollback.executors.registry import Executors
from stream.rollback.ledger import Ledger
from stream.settings_rollback import GateSettings

MAX_BODY: Final = 65_536
HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def shut(ledger: Ledger, executors: Executors, now: datetime) -> set[tuple[str, str]]:
    """The canaries (namespace, name) that are being rolled back: as long as that is open, and its time is not over."""
    found = set()
    for entry in ledger.entries.values():
        step = entry.started
        if step is None or step.mode != "live" or entry.last.status not in {"started", "succeeded"}:
            continue
        order = order_of(step)
        if order is None:
            continue
        try:
            executor = executors.pick(order).executor
            if isinstance(executor, FlaggerGate) and now < step.time + timedelta(minutes=executor.minutes):
                found.add(executor.canary(order))
        except Refused:
            continue
    return found


class Gate:
    """The pages. `is_shut` answers for a canary; None where that is not known."""

    def __init__(self, settings: GateSettings, is_shut: Callable[[str, str], bool | None]) -> None:
        self._settings = settings
        self._is_shut = is_shut

    def app(self) -> web.Application:
        """The gate as an aiohttp application."""
        token = self._settings.token.get_secret_value() if self._settings.token is not None else None
        app = web.Application(middlewares=[_guard(token)], client_max_size=MAX_BODY)
        for method in ("GET", "POST"):
            app.router.add_route(method, "/v1/gates/{namespace}/{canary}", self._confirm)
            app.router.add_route(method, "/v1/gates/{namespace}/{canary}/rollback", self._rollback)
        return app

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve for as long as the context lasts; gives the base address. Raises OSError if the port is taken."""
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._settings.host, self._settings.port).start()
            yield f"http://{self._settings.host}:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _confirm(self, request: web.Request) -> web.StreamResponse:
        state = self._state(request)
        if state is None:
            return _answer(503, "not known yet")
        return _answer(403, "halt: a rollback is on") if state else _answer(200, "approved")

    async def _rollback(self, request: web.Request) -> web.StreamResponse:
        state = self._state(request)
        if state is None:
            return _answer(503, "not known yet")
        return _answer(200, "roll back") if state else _answer(403, "nothing to roll back")

    def _state(self, request: web.Request) -> bool | None:
        return self._is_shut(request.match_info["namespace"], request.match_info["canary"])


def _answer(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n", headers=HEADERS)


def _guard(token: str | None) -> Any:
    expected = token.encode() if token is not None else None

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if expected is not None:
            header = request.headers.get("Authorization", "")
            said = header.removeprefix("Bearer ") if header else request.query.get("token", "")
            if not hmac.compare_digest(said.encode("utf-8", "surrogateescape"), expected):
                return _answer(401, "a token is needed: a bearer token, or ?token= behind the URL")
        return await handler(request)

    return guard
