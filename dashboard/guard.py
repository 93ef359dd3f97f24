"""What stands before every route: the host, who it is, the CSRF token, and the headers of every answer.

Plain ASGI, so that streams pass through it as they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from dashboard.auth import COOKIE, Caller, Gate, Known, TooManyTries
from dashboard.pages_render import refusal
from stream.settings_dashboard import DashboardSettings
from stream.settings_sections import is_loopback

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS: Final = frozenset({"/login", "/healthz"})
LARGEST_BODY: Final = 65_536
"""Bytes of a request's body: a form of a few fields."""

BODY_SECONDS: Final = 10.0
"""Longest time that a body may take to come: who sends a byte now and then would hold a connection for ever."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
HSTS: Final = "max-age=31536000"


class Guard:
    """Wraps the page's routes."""

    def __init__(self, app: App, gate: Gate, settings: DashboardSettings) -> None:
        self._app = app
        self._gate = gate
        self._hosts = _own_hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        secure = self.is_secure(request)
        scope.setdefault("state", {})["secure"] = secure

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                _set_headers(MutableHeaders(scope=message), secure=secure)
            await send(message)

        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except TimeoutError:
            answer: Response | None = _error(request, 408, f"the body had not come after {BODY_SECONDS:g} s")
        except ClientDisconnect:
            return
        else:
            answer = _too_large(request) if body is None else self._refuse(request, body)
        if answer is not None:
            await answer(scope, receive, send_guarded)
            return
        await self._app(scope, _replay(body or b"", receive), send_guarded)

    def is_secure(self, request: HTTPConnection) -> bool:
        """Whether the viewer's browser speaks TLS, to us or to a trusted proxy."""
        address = request.client.host if request.client is not None else ""
        forwarded = self._gate.is_proxy(address) and request.headers.get("x-forwarded-proto") == "https"
        return request.url.scheme == "https" or forwarded

    def _refuse(self, request: Request, body: bytes) -> Response | None:
        """The answer to who may not come in; None where the route is to answer. Notes the viewer."""
        address = request.client.host if request.client is not None else ""
        if self._hosts is not None and not self._gate.is_proxy(address) and _host_of(request) not in self._hosts:
            return _error(request, 421, "this page is not served under that host name: use the address that it printed")
        headers = dict(request.headers)
        caller = Caller(address, headers, request.cookies.get(COOKIE))
        try:
            known = self._gate.who(caller)
        except TooManyTries:
            return _error(request, 429, "too many wrong tokens: wait five minutes")
        request.state.viewer = known.viewer if known is not None else None
        if known is None:
            return None if request.url.path in OPEN_PATHS or _is_static(request) else self._stranger(request)
        if request.method in SAFE or request.url.path == "/login":
            return None
        return self._forged(request, known, body)

    def _stranger(self, request: Request) -> Response:
        if is_api(request) or request.method not in SAFE:
            answer = _error(request, 401, "a bearer token or a session is needed")
            answer.headers["www-authenticate"] = 'Bearer realm="midwatch"'
            return answer
        if not self._gate.takes_tokens:
            return _error(request, 401, "come by way of the proxy that signs you in: this page has no login of its own")
        return RedirectResponse(f"/login?next={quote(request.url.path, safe='/')}", 303)

    def _forged(self, request: Request, known: Known, body: bytes) -> Response | None:
        if not known.by_browser:
            return None
        if request.headers.get("sec-fetch-site") == "cross-site":
            return _error(request, 403, "this request comes from another site")
        given = request.headers.get("x-csrf-token") or _form_field(request, body, "csrf")
        if self._gate.csrf_holds(known.viewer, given):
            return None
        api = "send a bearer token, or the session's X-CSRF-Token (GET /api/v1/me tells it)"
        page = "the page was too old for this: reload it and do it again"
        return _error(request, 403, api if is_api(request) else page)


def _own_hosts(settings: DashboardSettings) -> frozenset[str] | None:
    """Host names of a page on loopback: another one means that somebody's name points here (DNS rebinding).

    Or that a port which was to be published on loopback alone is published to the network: there is no answer there.
    """
    if not is_loopback(settings.host) and not settings.published_on_loopback:
        return None
    public = urlsplit(settings.public_url).hostname if settings.public_url is not None else None
    own = {settings.host.lower()} if is_loopback(settings.host) else set()
    return frozenset({"localhost", "127.0.0.1", "::1", *own, *([public.lower()] if public else [])})


def _host_of(request: Request) -> str:
    try:
        return (urlsplit(f"//{request.headers.get('host', '')}").hostname or "").lower()
    except ValueError:
        return ""


def _set_headers(headers: MutableHeaders, *, secure: bool) -> None:
    for name, value in HEADERS.items():
        headers[name] = value
    headers.setdefault("cache-control", "no-store")
    if secure:
        headers["strict-transport-security"] = HSTS


async def _body(request: Request) -> bytes | None:
    """The body of an unsafe request; None if it is longer than any of ours."""
    if request.method in SAFE:
        return b""
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY:
            return None
        parts.append(chunk)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body once more, then what the server says, such as that the viewer has gone."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _form_field(request: Request, body: bytes, name: str) -> str:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return ""
    try:
        return parse_qs(body.decode(), max_num_fields=50).get(name, [""])[0]
    except ValueError:
        return ""


def _too_large(request: Request) -> Response:
    return _error(request, 413, f"the body is longer than {LARGEST_BODY:,} bytes")


def _error(request: Request, status: int, text: str) -> Response:
    if is_api(request):
        return JSONResponse({"error": text}, status)
    return refusal(request, status, text)


def is_api(request: Request) -> bool:
    """Whether a program asks, which wants JSON."""
    return request.url.path.startswith("/api/")


def _is_static(request: Request) -> bool:
    return request.url.path.startswith("/static/") and request.method in SAFE
