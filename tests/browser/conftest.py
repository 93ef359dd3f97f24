"""One browser and one served page for all tests of this folder; each test begins with the same night.

They end with the folder, for Playwright holds the thread's event loop while it runs, and other tests want one.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Visit, chromium, visit
from tests.support.dashboard import FakeActs, FakePages, Served, serve


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def served() -> Iterator[Served]:
    running = serve()
    yield running
    running.stop()


@pytest.fixture
def night(served: Served) -> Served:
    """Three incidents are open, and the viewer may act."""
    served.pages.__dict__.update(FakePages().__dict__)
    served.acts.__dict__.update(FakeActs(served.pages).__dict__)
    served.role[0], served.down[0] = "operator", False
    return served


@pytest.fixture
def desk(browser: Browser) -> Iterator[Visit]:
    with visit(browser) as opened:
        yield opened


@pytest.fixture
def phone(browser: Browser) -> Iterator[Visit]:
    with visit(browser, viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="dark") as opened:
        yield opened


@pytest.fixture
def bare(browser: Browser) -> Iterator[Visit]:
    """Without JavaScript."""
    with visit(browser, java_script_enabled=False) as opened:
        yield opened
