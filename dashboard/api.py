"""The HTTP API, `/api/v1`: what the page shows as JSON, text, Markdown and CSV, a stream of changes, and the acts.

Everything comes from `Pages` and goes to `Acts`; who asks, and whether they may, is said before (`dashboard.guard`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import AwareDatetime, BaseModel, Field

from dashboard import copies
from dashboard.description import ACT, ALWAYS, INCIDENT, STREAM, Csv, Markdown
from dashboard.views import (
    ActResult,
    Acts,
    CostsView,
    Filter,
    Health,
    IncidentCard,
    IncidentView,
    Overview,
    Pages,
    QualityView,
    SignalsView,
    Span,
    Viewer,
)
from schemas.base import MAX_NAME

VIEWERS: Final = 200
"""Streams that are open at once; one more is asked to come later."""

KEEP_ALIVE_SECONDS: Final = 15.0
LEAST_SECONDS: Final = 1.0
"""Between two messages of a stream: what changes faster is told once."""

STREAM_SECONDS: Final = 3600.0
"""Longest life of a stream; its viewer comes again, and is let in again."""

Changed = Callable[[int, float], Awaitable[int]]
"""Waits until the version is another than the given one, at most so many seconds; the version."""

IncidentId = Annotated[str, Path(max_length=MAX_NAME)]
Part = Annotated[str | None, Query(max_length=MAX_NAME)]


class AcknowledgeBody(BaseModel):
    """What goes with an acknowledgement."""

    note: str = Field("", max_length=1000)
    withdraw: bool = False


class SilenceBody(BaseModel):
    """What goes with a silence."""

    minutes: int = Field(ge=1, le=40_320)
    reason: str = Field(min_length=1, max_length=1000)


class JudgeBody(BaseModel):
    """Whether the verdict was right; where not, what it was."""

    right: bool
    cause: str | None = Field(None, max_length=MAX_NAME)
    note: str = Field("", max_length=1000)


class RollbackBody(BaseModel):
    """Which action is decided on, by its idempotency key."""

    key: str = Field(min_length=1, max_length=MAX_NAME)
    approve: bool


class IncidentList(BaseModel):
    """A page of the history. `next_before` asks for the one behind it; None: that was all."""

    incidents: tuple[IncidentCard, ...]
    next_before: str | None


def build_api(pages: Pages, acts: Acts, changed: Changed, public_url: str | None) -> APIRouter:
    """All of `/api/v1`."""
    router = APIRouter(prefix="/api/v1", responses=ALWAYS)
    _add_views(router, pages)
    _add_incidents(router, pages, public_url)
    _add_acts(router, acts)
    _add_stream(router, changed)
    return router


def _asked(span: Span = "3h", environment: Part = None, system: Part = None, flow: Part = None) -> Filter:
    named = (one or None for one in (environment, system, flow))
    return Filter(span=span, **dict(zip(("environment", "system", "flow"), named, strict=True)))


def _add_views(router: APIRouter, pages: Pages) -> None:
    @router.get("/me", summary="Who you are, whether you may act, and the CSRF token of your session")
    async def me(request: Request) -> Viewer:
        viewer: Viewer = request.state.viewer
        return viewer

    @router.get("/overview", summary="The first screen")
    async def overview() -> Overview:
        return await pages.overview()

    @router.get("/health", summary="Whether the engine is well")
    async def health() -> Health:
        return (await pages.overview()).health

    @router.get("/signals", summary="The four signals")
    async def signals(
        span: Span = "3h", environment: Part = None, system: Part = None, flow: Part = None
    ) -> SignalsView:
        return await pages.signals(_asked(span, environment, system, flow))

    @router.get("/quality", summary="Evaluation scores")
    async def quality(
        span: Span = "7d", environment: Part = None, system: Part = None, flow: Part = None
    ) -> QualityView:
        return await pages.quality(_asked(span, environment, system, flow))

    @router.get("/quality.csv", summary="The table of scores", response_class=Csv)
    async def quality_csv(span: Span = "7d", environment: Part = None, system: Part = None, flow: Part = None) -> Csv:
        view = await pages.quality(_asked(span, environment, system, flow))
        return _file(copies.quality_csv(view), "quality.csv")

    @router.get("/costs", summary="Spend by tag, budgets, provisioned throughput")
    async def costs(
        tag: Part = None, span: Span = "7d", environment: Part = None, system: Part = None, flow: Part = None
    ) -> CostsView:
        return await pages.costs(_asked(span, environment, system, flow), tag or None)

    @router.get("/costs.csv", summary="The spend by tag", response_class=Csv)
    async def costs_csv(
        tag: Part = None, span: Span = "7d", environment: Part = None, system: Part = None, flow: Part = None
    ) -> Csv:
        view = await pages.costs(_asked(span, environment, system, flow), tag or None)
        return _file(copies.costs_csv(view), "costs.csv")


def _add_incidents(router: APIRouter, pages: Pages, public_url: str | None) -> None:
    async def known(incident_id: str) -> IncidentView:
        view = await pages.incident(incident_id)
        if view is None:
            raise HTTPException(404, "no such incident is known; it may be older than what the page remembers")
        return view

    def link(request: Request, incident_id: str) -> str:
        base = public_url.rstrip("/") if public_url is not None else str(request.base_url).rstrip("/")
        return f"{base}/incidents/{incident_id}"

    @router.get("/incidents", summary="The history, newest first")
    async def incidents(
        limit: Annotated[int, Query(ge=1, le=500)] = 50, before: AwareDatetime | None = None
    ) -> IncidentList:
        cards = await pages.incidents(limit=limit, before=before)
        more = cards[-1].decided_at.isoformat().replace("+00:00", "Z") if len(cards) == limit else None
        return IncidentList(incidents=cards, next_before=more)

    @router.get(
        "/incidents/{incident_id}.txt",
        summary="A copy in plain text",
        response_class=PlainTextResponse,
        responses=INCIDENT,
    )
    async def incident_text(request: Request, incident_id: IncidentId) -> PlainTextResponse:
        return PlainTextResponse(copies.as_text(await known(incident_id), link(request, incident_id)))

    @router.get(
        "/incidents/{incident_id}.md", summary="A copy in Markdown", response_class=Markdown, responses=INCIDENT
    )
    async def incident_markdown(request: Request, incident_id: IncidentId) -> Markdown:
        return Markdown(copies.as_markdown(await known(incident_id), link(request, incident_id)))

    @router.get("/incidents/{incident_id}", summary="An incident's whole page", responses=INCIDENT)
    async def incident(incident_id: IncidentId) -> IncidentView:
        return await known(incident_id)


def _add_acts(router: APIRouter, acts: Acts) -> None:
    async def done(request: Request, act: Callable[[Viewer], Awaitable[ActResult]]) -> ActResult:
        viewer: Viewer = request.state.viewer
        if viewer.role != "operator":
            raise HTTPException(403, "you may look, not act: this needs the operators' token")
        try:
            return await act(viewer)
        except ValueError as error:
            raise HTTPException(409, str(error)) from None

    @router.post(
        "/incidents/{incident_id}/acknowledge", summary="Take an incident in hand, or give it back", responses=ACT
    )
    async def acknowledge(request: Request, incident_id: IncidentId, body: AcknowledgeBody) -> ActResult:
        return await done(
            request, lambda viewer: acts.acknowledge(viewer, incident_id, body.note, withdraw=body.withdraw)
        )

    @router.post(
        "/incidents/{incident_id}/silence", summary="Page nobody about the incident's scope for so long", responses=ACT
    )
    async def silence(request: Request, incident_id: IncidentId, body: SilenceBody) -> ActResult:
        return await done(request, lambda viewer: acts.silence(viewer, incident_id, body.minutes, body.reason))

    @router.post("/incidents/{incident_id}/judge", summary="Confirm or refute the verdict", responses=ACT)
    async def judge(request: Request, incident_id: IncidentId, body: JudgeBody) -> ActResult:
        return await done(
            request,
            lambda viewer: acts.judge(viewer, incident_id, right=body.right, cause=body.cause, note=body.note),
        )

    @router.post(
        "/incidents/{incident_id}/rollback", summary="Approve or refuse the rollback that waits", responses=ACT
    )
    async def rollback(request: Request, incident_id: IncidentId, body: RollbackBody) -> ActResult:
        return await done(
            request, lambda viewer: acts.decide_rollback(viewer, incident_id, body.key, approve=body.approve)
        )


def _add_stream(router: APIRouter, changed: Changed) -> None:
    boot, open_streams = secrets.token_hex(4), 0

    async def messages(last: str | None) -> AsyncIterator[str]:
        nonlocal open_streams
        loop = asyncio.get_running_loop()
        ends = loop.time() + STREAM_SECONDS
        known = -1
        if last is not None and last.startswith(f"{boot}-") and last[len(boot) + 1 :].isdecimal():
            known = int(last[len(boot) + 1 :])
        open_streams += 1
        try:
            yield "retry: 2000\n\n"
            while loop.time() < ends:
                version = await changed(known, KEEP_ALIVE_SECONDS)
                if version == known:
                    yield ": still here\n\n"
                    continue
                known = version
                yield f'id: {boot}-{version}\ndata: {{"version": {version}}}\n\n'
                await asyncio.sleep(LEAST_SECONDS)
        finally:
            open_streams -= 1

    @router.get(
        "/stream",
        summary="A small message for every change (server-sent events)",
        response_class=StreamingResponse,
        responses=STREAM,
    )
    async def stream(request: Request) -> StreamingResponse:
        if open_streams >= VIEWERS:
            raise HTTPException(503, f"{VIEWERS} viewers are live already: reload now and then instead")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(
            messages(request.headers.get("last-event-id")), media_type="text/event-stream", headers=headers
        )


def _file(text: str, name: str) -> Csv:
    return Csv(text, headers={"content-disposition": f'attachment; filename="{name}"'})
