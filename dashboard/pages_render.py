"""Templates to responses: escaped HTML, compressed, never kept by a browser or a proxy."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from dashboard.charts import draw
from dashboard.pages_assets import Asset, load_assets, takes_gzip
from dashboard.pages_format import FILTERS
from dashboard.pages_shape import SHAPES
from dashboard.pages_times import told
from dashboard.views import Health, Viewer

THEMES: Final = frozenset({"dark", "light"})
NOBODY: Final = Viewer(name="nobody", role="reader", csrf="")
"""Who looks where nobody is named: may read, may not act."""

_LEVEL: Final = 6


class Renderer:
    """Writes pages, whole or as the fragment that a live page swaps in."""

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._environment = Environment(
            loader=PackageLoader("dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS | SHAPES | {"told": told})
        self._environment.globals.update(assets={name: asset.url for name, asset in assets.items()}, draw=draw)

    def text(self, request: Request, template: str, *, fragment: bool = False, **values: Any) -> str:
        """The markup. `health`, if given, says what "now" is; the viewer comes from the request's state."""
        health: Health | None = values.get("health")
        viewer = viewer_of(request)
        theme = request.cookies.get("theme")
        return self._environment.get_template(template).render(
            {
                "layout": "fragment.html" if fragment else "shell.html",
                "viewer": viewer,
                "may_act": viewer.role == "operator",
                "theme": theme if theme in THEMES else None,
                "now": now_of(health) if health is not None else None,
                "path": request.url.path,
                "note": None,
                "trouble": None,
                **values,
            }
        )

    def respond(self, request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
        """The response with the markup."""
        return html(request, self.text(request, template, **values), status)


def html(request: Request, text: str, status: int = 200) -> Response:
    """A page that no cache keeps: it is about this moment, and for this viewer."""
    body = "\n".join(line for line in map(str.strip, text.splitlines()) if line).encode()
    headers = {"cache-control": "no-store", "vary": "accept-encoding, cookie"}
    if takes_gzip(request):
        body = gzip.compress(body, _LEVEL, mtime=0)
        headers["content-encoding"] = "gzip"
    return Response(body, status, headers, "text/html; charset=utf-8")


def refusal(request: Request, status: int, text: str) -> Response:
    """Why something was not done: a small page for a browser, a line for anything else."""
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(f"midwatch: {text}\n", status)
    said = _plain_renderer().text(request, "refused.html", said=text[:1].upper() + text[1:])
    return html(request, said, status)


@cache
def _plain_renderer() -> Renderer:
    return Renderer(load_assets())


def viewer_of(request: Request) -> Viewer:
    """Who looks, as the middleware found."""
    viewer = getattr(request.state, "viewer", None)
    return viewer if isinstance(viewer, Viewer) else NOBODY


def now_of(health: Health) -> datetime:
    """What "now" is on the page: telemetry's own time where that alone moves it, else the wall's."""
    if health.clock == "stream":
        return health.now_at or health.last_tick_at or health.checked_at
    return health.checked_at
