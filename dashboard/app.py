"""The page as one web application: guard, login, API, and the pages themselves."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from dashboard.api import Changed, build_api
from dashboard.auth import COOKIE, SESSION_SECONDS, Gate, TooManyTries
from dashboard.description import describe_security
from dashboard.guard import Guard, is_api
from dashboard.pages_format import own_path
from dashboard.pages_render import refusal
from dashboard.views import Acts, Pages
from stream.settings_dashboard import DashboardSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.audit")

DESCRIPTION: Final = (
    "What the on-call page shows, and what can be done from it. Send `Authorization: Bearer TOKEN`, or the session's "
    "cookie and, with every act, the header `X-CSRF-Token`."
)


def build_app(
    pages: Pages,
    acts: Acts,
    settings: DashboardSettings,
    *,
    changed: Changed,
    router: APIRouter | None = None,
    clock: Callable[[], float] = time.time,
    version: str = "0",
) -> FastAPI:
    """The application. `router` holds the HTML pages; `changed` waits for a change of what they show."""
    gate = Gate(settings, clock, local_name())
    app = FastAPI(
        title="Midwatch",
        version=version,
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(build_api(pages, acts, changed, settings.public_url))
    app.state.asks_names = gate.asks_names
    _add_login(app, gate)
    _add_errors(app)
    if router is not None:
        app.include_router(router)
    app.add_middleware(Guard, gate=gate, settings=settings)
    describe_security(app)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


def local_name() -> str:
    """What the operator of a page on loopback is called in the audit trail: the user that runs it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "operator"


def _add_login(app: FastAPI, gate: Gate) -> None:
    @app.post("/login", include_in_schema=False)
    async def login(
        request: Request,
        token: Annotated[str, Form(max_length=4096)] = "",
        name: Annotated[str, Form(max_length=256)] = "",
        goes_to: Annotated[str, Form(alias="next", max_length=2048)] = "/",
    ) -> Response:
        address = request.client.host if request.client is not None else ""
        try:
            opened = gate.log_in(address, token.strip(), name)
        except TooManyTries:
            log.warning("login_throttled", address=address)
            return refusal(request, 429, "too many wrong tokens: wait five minutes")
        if opened is None:
            log.warning("login_refused", address=address)
            return RedirectResponse("/login?failed=true", 303)
        cookie, who = opened
        log.info("login", address=address, by=who)
        answer = RedirectResponse(own_path(goes_to), 303)
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.state.secure,
            path="/",
        )
        return answer

    @app.post("/logout", include_in_schema=False)
    async def logout() -> Response:
        answer = RedirectResponse("/login" if gate.takes_tokens else "/", 303)
        answer.delete_cookie(COOKIE, path="/")
        return answer


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        return _error(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        # What was given is not said again: it may be a token in the wrong field.
        problems = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        return _error(request, 422, "; ".join(problems))


def _error(request: Request, status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status) if is_api(request) else refusal(request, status, text)
