"""The on-call page: its HTML routes, complete without JavaScript, and the fragments that keep a page live.

What is shown comes from `Pages`, what is done goes to `Acts`; who looks, and whether a post is theirs, the middleware
has said before (`request.state.viewer`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Final, get_args
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from dashboard.pages_assets import load_assets, serve
from dashboard.pages_format import own_path
from dashboard.pages_notes import Notes
from dashboard.pages_render import Renderer, viewer_of
from dashboard.views import ActResult, Acts, Filter, Health, Pages, Span, Viewer

PER_PAGE: Final = 50
"""Incidents on a page of the history."""

LONGEST_SILENCE: Final = 7 * 24 * 60
"""In minutes: the longest silence that the page offers to set."""

_LONG: Final = 1000
_SPANS: Final[tuple[Span, ...]] = get_args(Span)

Act = Callable[[Viewer], Awaitable[ActResult]]


def build_router(pages: Pages, acts: Acts) -> APIRouter:
    """All routes of the page. The stream, the API and the plain-text copies of an incident are served beside it."""
    assets = load_assets()
    by_address = {asset.name: asset for asset in assets.values()}
    screens = Screens(pages, Renderer(assets))
    router = APIRouter(include_in_schema=False)

    @router.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        found = by_address.get(name)
        return serve(found, request) if found else await screens.missing(request, "There is no such file.")

    _add_screens(router, screens)
    _add_acts(router, screens, acts)
    return router


class Screens:
    """Asks the read model and renders. Each method answers for a whole page or, with `fragment`, for its live part."""

    def __init__(self, pages: Pages, renderer: Renderer) -> None:
        self._pages = pages
        self._renderer = renderer
        self.notes = Notes()

    async def health(self) -> Health:
        """The engine's health, which is on top of every page."""
        return (await self._pages.overview()).health

    async def overview(self, request: Request, *, fragment: bool = False) -> Response:
        """The first screen."""
        view = await self._pages.overview()
        return self._show(request, "overview.html", fragment, view=view, health=view.health)

    async def history(self, request: Request, before: datetime | None) -> Response:
        """What was, newest first."""
        cards = await self._pages.incidents(limit=PER_PAGE + 1, before=before)
        more = cards[PER_PAGE - 1].decided_at if len(cards) > PER_PAGE else None
        return self._show(
            request, "history.html", False, cards=cards[:PER_PAGE], more=more, before=before, health=await self.health()
        )

    async def incident(
        self, request: Request, incident_id: str, *, fragment: bool = False, trouble: str | None = None
    ) -> Response:
        """An incident's page; `trouble` says why an act could not be done."""
        view = await self._pages.incident(incident_id)
        if view is None:
            return await self.missing(
                request, "No such incident is known. It may be older than what the page remembers."
            )
        note = self.notes.take(request.query_params.get("note"))
        return self._show(
            request,
            "incident.html",
            fragment,
            status=409 if trouble else 200,
            view=view,
            health=await self.health(),
            note=note,
            trouble=trouble,
        )

    async def signals(self, request: Request, asked: Filter, *, fragment: bool = False) -> Response:
        """The four signals."""
        view = await self._pages.signals(asked)
        return self._show(request, "signals.html", fragment, view=view, health=view.health)

    async def quality(self, request: Request, asked: Filter, *, fragment: bool = False) -> Response:
        """Evaluation trends."""
        view = await self._pages.quality(asked)
        return self._show(request, "quality.html", fragment, view=view, health=view.health)

    async def costs(self, request: Request, asked: Filter, tag: str | None, *, fragment: bool = False) -> Response:
        """Spend, budgets, provisioned throughput."""
        view = await self._pages.costs(asked, tag)
        return self._show(request, "costs.html", fragment, view=view, health=view.health)

    async def login(self, request: Request, failed: bool, goes_to: str) -> Response:
        """The one field that asks for a token. The token goes into the body of a post, never into an address."""
        asks_name = getattr(request.app.state, "asks_names", True)
        return self._show(request, "login.html", False, failed=failed, goes_to=goes_to, asks_name=asks_name)

    async def missing(self, request: Request, text: str) -> Response:
        """A page that is not there."""
        return self._show(request, "missing.html", False, status=404, text=text, health=await self.health())

    def _show(self, request: Request, template: str, fragment: bool, *, status: int = 200, **values: Any) -> Response:
        return self._renderer.respond(request, template, status=status, fragment=fragment, **values)


def _add_screens(router: APIRouter, screens: Screens) -> None:
    @router.get("/")
    @router.get("/fragments/overview")
    async def overview(request: Request) -> Response:
        return await screens.overview(request, fragment=_is_fragment(request))

    @router.get("/incidents")
    async def history(request: Request, before: str | None = None) -> Response:
        return await screens.history(request, _time(before))

    @router.get("/incidents/{incident_id}")
    @router.get("/fragments/incidents/{incident_id}")
    async def incident(request: Request, incident_id: str) -> Response:
        return await screens.incident(request, incident_id, fragment=_is_fragment(request))

    @router.get("/signals")
    @router.get("/fragments/signals")
    async def signals(request: Request) -> Response:
        return await screens.signals(request, asked_of(request), fragment=_is_fragment(request))

    @router.get("/quality")
    @router.get("/fragments/quality")
    async def quality(request: Request) -> Response:
        return await screens.quality(request, asked_of(request), fragment=_is_fragment(request))

    @router.get("/costs")
    @router.get("/fragments/costs")
    async def costs(request: Request) -> Response:
        tag = request.query_params.get("tag") or None
        return await screens.costs(request, asked_of(request), tag, fragment=_is_fragment(request))

    @router.get("/login")
    async def login(
        request: Request, failed: bool = False, goes_to: Annotated[str, Query(alias="next")] = "/"
    ) -> Response:
        return await screens.login(request, failed, own_path(goes_to))


def _add_acts(router: APIRouter, screens: Screens, acts: Acts) -> None:
    async def done(request: Request, incident_id: str, act: Act) -> Response:
        viewer = viewer_of(request)
        if viewer.role != "operator":
            return await _refused(
                request, screens, incident_id, "You may look, not act: this needs the operators' token."
            )
        try:
            result = await act(viewer)
        except ValueError as error:
            return await _refused(request, screens, incident_id, str(error))
        if not result.ok:
            return await _refused(request, screens, incident_id, result.text)
        note = screens.notes.leave(result.text)
        # 303: what follows a post is a page that may be reloaded without doing it again.
        return RedirectResponse(f"/incidents/{quote(incident_id, safe='')}?note={note}", 303)

    @router.post("/incidents/{incident_id}/acknowledge")
    async def acknowledge(
        request: Request,
        incident_id: str,
        note: Annotated[str, Form(max_length=_LONG)] = "",
        withdraw: Annotated[bool, Form()] = False,
    ) -> Response:
        return await done(
            request, incident_id, lambda viewer: acts.acknowledge(viewer, incident_id, note.strip(), withdraw=withdraw)
        )

    @router.post("/incidents/{incident_id}/silence")
    async def silence(
        request: Request,
        incident_id: str,
        minutes: Annotated[int, Form(ge=1, le=LONGEST_SILENCE)],
        reason: Annotated[str, Form(min_length=1, max_length=_LONG)],
    ) -> Response:
        return await done(
            request, incident_id, lambda viewer: acts.silence(viewer, incident_id, minutes, reason.strip())
        )

    @router.post("/incidents/{incident_id}/judge")
    async def judge(
        request: Request,
        incident_id: str,
        right: Annotated[bool, Form()],
        cause: Annotated[str, Form(max_length=_LONG)] = "",
        note: Annotated[str, Form(max_length=_LONG)] = "",
    ) -> Response:
        named = None if right or not cause else cause
        return await done(
            request,
            incident_id,
            lambda viewer: acts.judge(viewer, incident_id, right=right, cause=named, note=note.strip()),
        )

    @router.post("/incidents/{incident_id}/rollback")
    async def rollback(
        request: Request,
        incident_id: str,
        key: Annotated[str, Form(min_length=1, max_length=256)],
        approve: Annotated[bool, Form()],
    ) -> Response:
        return await done(
            request, incident_id, lambda viewer: acts.decide_rollback(viewer, incident_id, key, approve=approve)
        )


async def _refused(request: Request, screens: Screens, incident_id: str, why: str) -> Response:
    """The incident's page once more, with the reason on top."""
    return await screens.incident(request, incident_id, trouble=why)


def _is_fragment(request: Request) -> bool:
    return request.url.path.startswith("/fragments/")


def asked_of(request: Request) -> Filter:
    """The part of the fleet that a query string asks for; what it does not know, it does not ask for."""
    query = request.query_params
    span = next((span for span in _SPANS if span == query.get("span")), _SPANS[0])

    def named(name: str) -> str | None:
        return (query.get(name) or "")[:256] or None

    return Filter(span=span, environment=named("environment"), system=named("system"), flow=named("flow"))


def _time(text: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
