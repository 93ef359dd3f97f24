"""For everyone and everywhere: screen readers, keyboards, phones, slow networks, and telemetry that means harm."""

import itertools
import re
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from dashboard import views as v
from schemas.base import Model
from tests.support import dashboard_fleet as fleet
from tests.support import dashboard_incident as incident
from tests.support.browser import SCREENSHOTS, Visit
from tests.support.dashboard import Served

PATHS = {
    "now": "/",
    "incident": "/incidents/inc_rollback",
    "history": "/incidents",
    "signals": "/signals",
    "quality": "/quality",
    "costs": "/costs",
    "login": "/login",
}
SIZES = [(390, 844), (1280, 800), (2560, 1440)]

SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")
AXE = {(390, "dark"), (1280, "light")}
"""Where axe looks: at both schemes, and at both layouts. It is slow, and the wall has the desk's markup."""

MOST_BYTES = 20_000
"""Of the first screen over the wire, all files together."""

MOST_REQUESTS = 4
"""The page, its style, its script, its icon."""


@pytest.mark.parametrize("name", PATHS)
def test_axe_finds_nothing_serious_and_nothing_overflows(night: Served, desk: Visit, name: str) -> None:
    """On every page axe is content, and at no size anything scrolls sideways; pictures are kept to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page = desk.page
    page.goto(night.url + PATHS[name])
    for scheme, (width, height) in itertools.product(SCHEMES, SIZES):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=name != "now" and width < 2000)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, scheme)
        if (width, scheme) in AXE:
            found = Axe().run(page).response["violations"]
            serious = [one for one in found if one["impact"] in {"serious", "critical"}]
            assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in serious] == []


def test_a_chart_is_read_by_arrow_keys(night: Served, desk: Visit) -> None:
    """End is the newest value, an arrow the one before; the screen reader's words agree, also after a change."""
    page = desk.page
    page.goto(f"{night.url}/incidents/inc_rollback")
    plot, readout = page.locator("#chart-signal .plot"), page.locator("#chart-signal [data-readout]")
    plot.focus()
    page.keyboard.press("End")
    newest = readout.text_content()
    assert newest is not None
    page.keyboard.press("ArrowLeft")
    expect(readout).not_to_have_text(newest)
    with page.expect_response("**/fragments/incidents/*"):
        night.pages.change("inc_rollback", acknowledged_by="ada")
        night.tell()
    page.keyboard.press("ArrowRight")
    expect(readout).to_have_text(newest)
    expect(plot).to_have_attribute("aria-valuetext", newest)
    page.keyboard.press("ArrowRight")
    expect(readout).to_have_text(newest)
    page.keyboard.press("Home")
    expect(plot).to_have_attribute("aria-valuenow", "0")


def test_an_incident_is_handled_by_keyboard_alone(night: Served, desk: Visit) -> None:
    """Skip link, card, act and form are reached by Tab and Enter, Escape closes, and focus can be seen."""
    page = desk.page
    page.goto(night.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Refund-agent is refused")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/incidents/inc_security")
    acknowledge = page.get_by_role("button", name="Acknowledge")
    acknowledge.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(acknowledge).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.locator("#note")).to_contain_text("Linus has it.")
    assert night.acts.done == [("acknowledge", "Linus", "inc_security", "by keyboard", False)]


def test_acts_are_in_reach_of_a_thumb(night: Served, phone: Visit) -> None:
    """On a phone the acts stay at the bottom of the screen, each at least 44 px tall, wherever one has read to."""
    phone.page.goto(f"{night.url}/incidents/inc_rollback")
    phone.page.mouse.wheel(0, 2500)
    for button in phone.page.locator(".acts button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["y"] > 844 * 0.8
        assert box["y"] + box["height"] <= 844


def test_the_first_screen_is_light(night: Served, phone: Visit) -> None:
    """With 200 incidents in history the first screen takes four requests and few bytes, and no third party."""
    phone.page.goto(night.url)
    phone.page.wait_for_selector("html.has-js", state="attached")
    screen = [one for one in phone.responses if "/api/" not in one.url and "/fragments/" not in one.url]
    assert all(one.url.startswith(night.url) for one in phone.responses)
    assert len(screen) <= MOST_REQUESTS
    assert sum(one.request.sizes()["responseBodySize"] for one in screen) < MOST_BYTES
    static = [one for one in screen if "/static/" in one.url]
    assert len(static) >= 2
    assert all("immutable" in one.headers["cache-control"] for one in static)


def test_telemetry_is_never_obeyed(night: Served, desk: Visit) -> None:
    """Script tags in every field of every view are shown as text, and no dangerous link is one."""
    nasty = _poison(fleet.CARDS["inc_rollback"], keep={"incident_id"})
    night.pages.open, night.pages.muted = (nasty,), (nasty,)
    night.pages.health = _poison(fleet.health(problems=(fleet.SICK,)))
    whole = incident.incident_view(fleet.CARDS["inc_rollback"], narration="x")
    night.pages.incident_changes = {
        name: _poison(getattr(whole, name))
        for name in ("chain", "chart", "versions", "traces", "denials", "scores", "revisions", "actions", "narration")
    } | {"verdict": _poison(whole.verdict, keep={"href"})}
    for path in (
        "/",
        "/incidents",
        "/incidents/inc_rollback",
        "/signals?system=%3Cscript%3Ewindow.pwned=4%3C/script%3E",
    ):
        desk.page.goto(night.url + path)
        assert fleet.NASTY[:8] in desk.page.inner_text("body") or "signals" in path
        assert desk.page.evaluate("window.pwned") is None
        assert "{{7*7}}" in desk.page.content() or "signals" in path
        assert desk.page.locator("main script, main img, a[href^=javascript]").count() == 0
    night.tell()
    desk.page.goto(f"{night.url}/incidents/inc_rollback")
    expect(desk.page.locator("h1")).to_have_text(fleet.NASTY)
    assert desk.page.evaluate("window.pwned") is None


def test_no_data_and_long_names_are_borne(night: Served, phone: Visit) -> None:
    """Where everything that may be absent is, and names have hundreds of characters, it is still a narrow page."""
    long = fleet.CARDS["inc_rollback"].model_copy(update={"headline": fleet.LONG, "sentence": fleet.LONG * 3})
    night.pages.open = tuple(long.model_copy(update={"incident_id": f"inc_{n}x"}) for n in range(200))
    night.pages.health = v.Health(checked_at=fleet.NOW)
    empty = {"chart": None, "versions": (), "traces": (), "denials": (), "scores": (), "revisions": (), "actions": ()}
    night.pages.incident_changes = {**empty, "chain": incident.chain(cut=True)}
    for path in ("/", "/incidents/inc_1x"):
        phone.page.goto(night.url + path)
        assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
    expect(phone.page.locator("#step-3")).to_contain_text("Not reached")
    expect(phone.page.locator("#step-3")).to_contain_text("ran out of its 2 s")


def test_an_incident_is_passed_on(night: Served, desk: Visit) -> None:
    """Permalink, plain text and Markdown are links, and with JavaScript one press copies them."""
    desk.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    desk.page.goto(f"{night.url}/incidents/inc_rollback")
    expect(desk.page.get_by_role("link", name="Markdown", exact=True)).to_have_attribute("href", re.compile(r"\.md$"))
    desk.page.get_by_role("button", name="Copy Plain text").click()
    expect(desk.page.locator("#said")).to_have_text("Copied: Plain text")
    assert desk.page.evaluate("navigator.clipboard.readText()") == "CRITICAL inc_rollback.txt"


def _poison(value: Any, keep: frozenset[str] | set[str] = frozenset()) -> Any:
    """The same value with every free text replaced by script tags; closed words, ids and numbers stay."""
    if isinstance(value, tuple):
        return tuple(_poison(one, keep) for one in value)
    if isinstance(value, str):
        return fleet.NASTY
    if not isinstance(value, Model):
        return value
    changed = {}
    for name, field in type(value).model_fields.items():
        free = "Literal" not in str(field.annotation) and name not in keep
        old = getattr(value, name)
        if free and (not isinstance(old, str) or field.annotation in {str, str | None} or "Name" in str(field)):
            changed[name] = _poison(old, keep)
    return value.model_copy(update=changed)
