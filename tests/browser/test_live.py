"""A page that is left open follows what happens, keeps what its reader is doing, and says when it cannot follow."""

from playwright.sync_api import expect

from tests.support import dashboard_fleet as fleet
from tests.support.browser import Visit
from tests.support.dashboard import Served


def test_a_new_incident_appears_without_reload(night: Served, desk: Visit) -> None:
    """A new incident is shown, announced and counted in the title; what ended goes; nothing is loaded anew."""
    page = desk.page
    night.pages.open = (fleet.CARDS["inc_cohort"],)
    page.goto(night.url)
    expect(page.locator("#open > li")).to_have_count(1)
    page.evaluate("window.same = true")
    night.pages.open = (fleet.CARDS["inc_security"], fleet.CARDS["inc_cohort"])
    night.tell()
    expect(page.locator("#open > li")).to_have_count(2)
    expect(page.locator("#open > li").first).to_contain_text("Refund-agent is refused")
    expect(page.locator("#said")).to_have_text("New critical incident: Refund-agent is refused what it attempts")
    expect(page).to_have_title("2\u00a0incidents · Midwatch")
    night.pages.open = ()
    night.tell()
    expect(page.get_by_role("heading", name="All quiet")).to_be_visible()
    assert page.evaluate("window.same") is True


def test_an_update_leaves_focus_scroll_details_and_sheets_alone(night: Served, desk: Visit) -> None:
    """Open evidence stays open, the focused element stays focused, a half-written form stays as it is."""
    page = desk.page
    page.goto(f"{night.url}/incidents/inc_rollback")
    page.locator("#trace-i-4737 > summary").click()
    page.locator("#facts-4 > summary").click()
    page.locator("#trace-i-4737 > summary").focus()
    scrolled = page.evaluate("scrollY")
    night.pages.change("inc_rollback", headline="Escalations 14.0x normal in refund-request")
    night.tell()
    expect(page.get_by_role("heading", level=1)).to_have_text("Escalations 14.0x normal in refund-request")
    assert page.evaluate("document.activeElement.parentElement.id") == "trace-i-4737"
    assert page.evaluate("scrollY") == scrolled
    expect(page.locator("#trace-i-4737")).to_have_attribute("open", "")
    expect(page.locator("#facts-4")).not_to_have_attribute("open", "")
    page.get_by_role("button", name="Silence").click()
    page.get_by_label("Reason").fill("half a sen")
    night.pages.change("inc_rollback", headline="Escalations 15.0x normal in refund-request")
    night.tell()
    expect(page.locator("h1")).to_have_text("Escalations 15.0x normal in refund-request")
    expect(page.get_by_label("Reason")).to_have_value("half a sen")
    expect(page.get_by_label("Reason")).to_be_focused()


def test_a_lost_connection_is_said_and_found_again(night: Served, desk: Visit) -> None:
    """While the server is away the page says that it may be old; when it is back it catches up by itself."""
    page = desk.page
    page.goto(night.url)
    expect(page.locator("#offline")).to_be_hidden()
    night.down[0] = True
    expect(page.locator("#offline")).to_contain_text("Not connected since")
    expect(page.locator("#offline")).to_be_visible()
    night.pages.open = ()
    night.down[0] = False
    night.tell()
    expect(page.get_by_role("heading", name="All quiet")).to_be_visible()
    expect(page.locator("#offline")).to_be_hidden()
    desk.complaints.clear()  # The browser's own lines about the failed requests.


def test_a_sick_engine_is_never_green(night: Served, desk: Visit) -> None:
    """With a problem of the engine the page says so on top of every page, and calls nothing quiet."""
    night.pages.open, night.pages.health = (), fleet.health(problems=(fleet.SICK,), shards_alive=5)
    for path in ("/", "/incidents", "/incidents/inc_0001", "/signals", "/quality", "/costs"):
        desk.page.goto(night.url + path)
        expect(desk.page.locator("main").locator("section.band").first).to_contain_text("14 min behind the fleet")
        expect(desk.page.get_by_text("All quiet")).to_have_count(0)
        expect(desk.page.get_by_text("Nothing waits for you")).to_have_count(0)


def test_times_are_the_readers_with_utc_beside(night: Served, desk: Visit) -> None:
    """In Berlin 02:04 UTC is 03:04, and UTC stands beside it, within sentences too; the axis follows."""
    desk.page.goto(f"{night.url}/incidents/inc_rollback")
    expect(desk.page.locator("#verdict .place")).to_contain_text(
        "since 03:04 GMT+1 (02:04\u00a0UTC)".replace("\u00a0", " ")
    )
    said = "since 03:04 GMT+1 (02:04\u00a0UTC); likeliest cause: flow 1.1 shipped at 03:00 GMT+1 (02:00\u00a0UTC) to"
    assert said in (desk.page.locator("#verdict .sentence").text_content() or "")
    assert desk.page.locator("#chart-signal .axis text").first.text_content() == "01:00"


def test_a_chart_is_read_point_by_point(night: Served, desk: Visit) -> None:
    """The pointer over a chart says time, value and what was expected."""
    desk.page.goto(f"{night.url}/incidents/inc_rollback")
    desk.page.locator("#chart-signal .plot").hover()
    expect(desk.page.locator("#chart-signal [data-readout]")).to_contain_text("expected")


def test_filters_ask_at_once_and_without_javascript(night: Served, desk: Visit, bare: Visit) -> None:
    """A choice reloads the signals for it; without JavaScript a button does."""
    desk.page.goto(f"{night.url}/signals")
    desk.page.get_by_label("System").select_option("claims")
    desk.page.wait_for_url("**/signals?span=3h&environment=&system=claims&flow=")
    expect(desk.page.get_by_label("System")).to_have_value("claims")
    bare.page.goto(f"{night.url}/signals")
    bare.page.get_by_text("7 days").click()
    bare.page.get_by_role("button", name="Show").click()
    expect(bare.page.get_by_label("7 days")).to_be_checked()


def test_the_theme_is_switched_and_kept(night: Served, desk: Visit) -> None:
    """The switch beats the system's scheme, and the server writes it into the next page."""
    desk.page.goto(night.url)
    desk.page.get_by_role("button", name="Switch to dark").click()
    desk.page.goto(f"{night.url}/costs")
    assert desk.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 22)"
    assert '<html lang="en" data-theme="dark">' in desk.page.request.get(night.url).text()
