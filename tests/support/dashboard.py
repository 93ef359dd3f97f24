"""The page on made-up views: what a test changes, every viewer sees; served by uvicorn on loopback in a thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from dashboard import views as v
from dashboard.pages import build_router
from stream.embedded import free_port
from tests.support import dashboard_fleet as fleet
from tests.support import dashboard_incident as incident
from tests.support import dashboard_panels as panels

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
CSRF = "csrf-of-the-test"


@dataclass
class FakePages:
    """A read model that a test changes."""

    open: tuple[v.IncidentCard, ...] = tuple(fleet.CARDS.values())
    muted: tuple[v.IncidentCard, ...] = ()
    history: tuple[v.IncidentCard, ...] = tuple(fleet.ended(number) for number in range(200))
    health: v.Health = field(default_factory=fleet.health)
    incident_changes: dict[str, Any] = field(default_factory=dict)
    version: int = 1

    def card(self, incident_id: str) -> v.IncidentCard | None:
        return next((c for c in (*self.open, *self.muted, *self.history) if c.incident_id == incident_id), None)

    def change(self, incident_id: str, **changes: Any) -> None:
        self.open = tuple(c.model_copy(update=changes) if c.incident_id == incident_id else c for c in self.open)
        self.version += 1

    async def overview(self) -> v.Overview:
        return v.Overview(
            health=self.health, open=self.open, muted=self.muted, ended=self.history[:6], version=self.version
        )

    async def incident(self, incident_id: str) -> v.IncidentView | None:
        found = self.card(incident_id)
        return incident.incident_view(found, **self.incident_changes) if found else None

    async def incidents(self, *, limit: int, before: datetime | None) -> tuple[v.IncidentCard, ...]:
        known = sorted((*self.open, *self.history), key=lambda c: c.decided_at, reverse=True)
        return tuple(c for c in known if before is None or c.decided_at < before)[:limit]

    async def signals(self, asked: v.Filter) -> v.SignalsView:
        return panels.signals(asked, self.open, self.health)

    async def quality(self, asked: v.Filter) -> v.QualityView:
        return panels.quality(asked, self.health)

    async def costs(self, asked: v.Filter, tag: str | None) -> v.CostsView:
        return panels.costs(asked, tag or "system", self.health)


@dataclass
class FakeActs:
    """Remembers what was done, and lets the read model show it."""

    pages: FakePages
    done: list[tuple[Any, ...]] = field(default_factory=list)
    refuses: str | None = None

    def _do(self, *what: Any) -> None:
        if self.refuses:
            raise ValueError(self.refuses)
        self.done.append(what)

    async def acknowledge(self, viewer: v.Viewer, incident_id: str, note: str, *, withdraw: bool) -> v.ActResult:
        self._do("acknowledge", viewer.name, incident_id, note, withdraw)
        self.pages.change(
            incident_id, state="open" if withdraw else "acknowledged", acknowledged_by=None if withdraw else viewer.name
        )
        return v.ActResult(ok=True, text="Given back." if withdraw else f"{viewer.name} has it.")

    async def silence(self, viewer: v.Viewer, incident_id: str, minutes: int, reason: str) -> v.ActResult:
        self._do("silence", viewer.name, incident_id, minutes, reason)
        return v.ActResult(ok=True, text=f"Silenced for {minutes} minutes.")

    async def judge(
        self, viewer: v.Viewer, incident_id: str, *, right: bool, cause: str | None, note: str
    ) -> v.ActResult:
        self._do("judge", viewer.name, incident_id, right, cause, note)
        return v.ActResult(ok=True, text="Confirmed." if right else "Refuted.")

    async def decide_rollback(self, viewer: v.Viewer, incident_id: str, key: str, *, approve: bool) -> v.ActResult:
        self._do("rollback", viewer.name, incident_id, key, approve)
        self.pages.change(incident_id, awaits_approval=False)
        return v.ActResult(ok=True, text="Approved." if approve else "Refused.")


@dataclass
class Served:
    """A page that runs: change `pages`, then `tell`; `role` is that of every viewer."""

    url: str
    pages: FakePages
    acts: FakeActs
    role: list[str]
    down: list[bool]
    tell: Callable[[], None]
    stop: Callable[[], None]


def serve() -> Served:
    """The page on a free port. `down` cuts its streams and answers 503."""
    pages = FakePages()
    acts = FakeActs(pages)
    role, down, told = ["operator"], [False], [0]
    port = free_port()
    app = _app(pages, acts, role, down, told)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.02)

    def tell() -> None:
        pages.version += 1
        told[0] += 1

    def stop() -> None:
        down[0] = server.should_exit = True
        thread.join(10)

    return Served(f"http://127.0.0.1:{port}", pages, acts, role, down, tell, stop)


def _app(pages: FakePages, acts: FakeActs, role: list[Any], down: list[bool], told: list[int]) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        request.state.viewer = v.Viewer(name="Linus", role=role[0], csrf=CSRF)
        if down[0]:
            return PlainTextResponse("down", 503)
        if request.method == "POST" and f"csrf={CSRF}" not in (await request.body()).decode():
            return PlainTextResponse("forged", 403)
        answer = await call(request)
        answer.headers["content-security-policy"] = CSP
        return answer

    async def messages() -> AsyncIterator[str]:
        known = -1
        while not down[0]:
            if known != told[0]:
                known = told[0]
                yield f'retry: 200\ndata: {{"version": {pages.version}}}\n\n'
            await asyncio.sleep(0.05)

    @app.get("/api/v1/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(messages(), media_type="text/event-stream")

    @app.get("/api/v1/incidents/{name}")
    async def copied(name: str) -> PlainTextResponse:
        return PlainTextResponse(f"CRITICAL {name}")

    app.include_router(build_router(pages, acts))
    return app
