"""The on-call page over a slow network: when its first screen is there and can be used, and how heavy it is.

`python -m benchmarks.page` serves the page on made-up views (1,000 series, 200 incidents in history), opens it in
Chromium over throttled networks, with an empty cache each time, and prints medians. Interactive means: the page's own
script has run, and a frame was painted behind that; every link works before, from the first paint on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from playwright.sync_api import Browser
from starlette.requests import Request

from dashboard.charts import draw
from dashboard.pages_assets import load_assets
from dashboard.pages_render import Renderer
from tests.support import dashboard_fleet as fleet
from tests.support import dashboard_incident as incident
from tests.support.browser import chromium
from tests.support.dashboard import FakePages, Served, serve

NETWORKS: Final = {
    "3G": {"latency": 300.0, "kilobits": 1600.0},
    "fast 3G (DevTools)": {"latency": 562.5, "kilobits": 1440.0},
    "no throttle": {"latency": 0.0, "kilobits": 0.0},
}
"""Round trip in milliseconds, and kilobits a second down: 3G as WebPageTest has it, and DevTools' own, whose latency is
that of every single request."""

PATHS: Final = {"first screen": "/", "incident": "/incidents/inc_rollback", "signals": "/signals"}
PHONE: Final = {"width": 390, "height": 844}

_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
_READY = "html.has-js"


def load(browser: Browser, url: str, network: dict[str, float]) -> dict[str, float]:
    """One visit with nothing in the cache: milliseconds to the first paint and to interactive; bytes; requests."""
    context = browser.new_context(viewport=PHONE)  # type: ignore[arg-type]
    page = context.new_page()
    if network["kilobits"]:
        speed = network["kilobits"] * 1000 / 8
        conditions = {"offline": False, "latency": network["latency"], "downloadThroughput": speed}
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", {**conditions, "uploadThroughput": speed / 2})
    fetched: list[Any] = []
    page.on("requestfinished", lambda request: fetched.append(request))  # noqa: PLW0108
    page.goto(url, wait_until="commit")
    page.wait_for_selector(_READY, state="attached")
    ready = page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))")
    paint = page.evaluate(_PAINT)
    page.wait_for_load_state("load")
    own = [one for one in fetched if "/api/" not in one.url]
    size = sum(one.sizes()["responseBodySize"] for one in own)
    context.close()
    return {"paint_ms": paint or ready, "interactive_ms": ready, "bytes": float(size), "requests": float(len(own))}


def loads(served: Served, repeats: int) -> dict[str, dict[str, float]]:
    """Medians of every page over every network."""
    found = {}
    with chromium() as browser:
        for network_name, network in NETWORKS.items():
            for name, path in PATHS.items():
                runs = [load(browser, served.url + path, network) for _ in range(repeats)]
                medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                found[f"{name}, {network_name}"] = medians
    return found


def render_ms(repeats: int) -> dict[str, float]:
    """Milliseconds on the server: the fragment that an update costs, an incident's page, one chart's geometry."""
    pages = FakePages()
    view = asyncio.run(pages.overview())
    whole = incident.incident_view(fleet.CARDS["inc_rollback"])
    renderer = Renderer(load_assets())
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "state": {}})
    chart = fleet.chart()

    def overview() -> object:
        return renderer.respond(request, "overview.html", fragment=True, view=view, health=view.health)

    def page() -> object:
        return renderer.respond(request, "incident.html", view=whole, health=view.health)

    return {
        "overview fragment": _median_ms(overview, repeats),
        "incident page": _median_ms(page, repeats),
        "one chart's geometry, 181 points": _median_ms(lambda: draw(chart), repeats),
    }


def _median_ms(work: Callable[[], object], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="visits of each page over each network")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    options = parser.parse_args()
    served = serve()
    try:
        visits = loads(served, options.repeats)
    finally:
        served.stop()
    rendered = render_ms(options.repeats * 10)
    if options.json:
        print(json.dumps({"loads": visits, "render_ms": rendered}, indent=2))
        return 0
    for name, one in visits.items():
        figures = f"first paint {one['paint_ms']:.0f} ms, interactive {one['interactive_ms']:.0f} ms"
        print(f"{name}: {figures}, {one['bytes']:,.0f} bytes in {one['requests']:.0f} requests")
    for name, milliseconds in rendered.items():
        print(f"{name}: {milliseconds:.2f} ms to render")
    return 0


if __name__ == "__main__":
    sys.exit(main())
