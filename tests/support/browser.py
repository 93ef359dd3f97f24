"""Debian's Chromium for tests, driven by Playwright; what goes wrong in a page fails its test."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Response, sync_playwright

from tests.support.real import unavailable

SCREENSHOTS = Path(__file__).parent.parent / "browser" / "screenshots"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WATCH = (
    "addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective + ' ' + e.blockedURI))"
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; skips (or fails, see `unavailable`) where there is none."""
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        unavailable("no Chromium: apt-get install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page, what it fetched, and what its console and its security policy complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)


@contextmanager
def visit(browser: Browser, **options: Any) -> Iterator[Visit]:
    """A fresh context (no cookies, no cache); at its end nothing may have been complained about."""
    context = browser.new_context(
        **({"viewport": {"width": 1280, "height": 800}, "timezone_id": "Europe/Berlin"} | options)
    )
    context.set_default_timeout(10_000)
    context.add_init_script(_WATCH)
    page = context.new_page()
    seen = Visit(page)
    page.on("console", lambda said: seen.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("response", lambda response: seen.responses.append(response))  # noqa: PLW0108  # Playwright marks its handlers.
    try:
        yield seen
        assert seen.complaints == []
    finally:
        context.close()
