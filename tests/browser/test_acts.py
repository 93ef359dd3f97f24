"""What an operator does from the page: asked once, its effect named, told what was done; without JavaScript too."""

import pytest
from playwright.sync_api import expect

from tests.support.browser import Visit
from tests.support.dashboard import Served

KEY = "act_bvuzrgieicj47zpzwtasjxeqix"


@pytest.fixture(params=["phone", "bare"])
def either(request: pytest.FixtureRequest) -> Visit:
    """A phone, and a browser without JavaScript."""
    opened: Visit = request.getfixturevalue(request.param)
    return opened


def test_an_incident_is_opened_and_acknowledged(night: Served, either: Visit) -> None:
    """A tap opens the incident; acknowledging names its effect, asks once, and the name stands on the page."""
    page = either.page
    page.goto(night.url)
    page.get_by_role("link", name="Escalations 12.2x normal in refund-request").click()
    page.get_by_role("button", name="Acknowledge").click()
    assert night.acts.done == []
    sheet = page.get_by_role("dialog", name="Take this incident?")
    expect(sheet).to_contain_text("Effect:")
    sheet.get_by_label("Note").fill("looking")
    sheet.get_by_role("button", name="Yes, I have it").click()
    expect(page.locator("#note")).to_contain_text("Linus has it.")
    expect(page.locator("#verdict")).to_contain_text("Linus has it")
    assert night.acts.done == [("acknowledge", "Linus", "inc_rollback", "looking", False)]


def test_an_incident_is_given_back(night: Served, either: Visit) -> None:
    """Who has an incident can give it back."""
    either.page.goto(f"{night.url}/incidents/inc_cohort")
    either.page.get_by_role("button", name="Give back").click()
    either.page.get_by_role("button", name="Yes, give it back").click()
    expect(either.page.locator("#verdict")).to_contain_text("Nobody has it yet")
    assert night.acts.done == [("acknowledge", "Linus", "inc_cohort", "", True)]


def test_an_incident_is_silenced(night: Served, either: Visit) -> None:
    """A silence wants a time and a reason."""
    page = either.page
    page.goto(f"{night.url}/incidents/inc_cohort")
    page.get_by_role("button", name="Silence").click()
    page.get_by_label("For how long").select_option("4 hours")
    page.get_by_label("Reason").fill("storm, known")
    page.get_by_role("button", name="Yes, silence it").click()
    expect(page.locator("#note")).to_contain_text("Silenced for 240 minutes.")
    assert night.acts.done == [("silence", "Linus", "inc_cohort", 240, "storm, known")]


def test_a_verdict_is_confirmed_and_refuted(night: Served, either: Visit) -> None:
    """A verdict is confirmed as it is, or refuted with what it really was; also when the incident is over."""
    page = either.page
    page.goto(f"{night.url}/incidents/inc_rollback")
    page.get_by_role("button", name="Judge").click()
    page.get_by_role("button", name="Yes, it was right").click()
    expect(page.locator("#note")).to_contain_text("Confirmed.")
    page.goto(f"{night.url}/incidents/inc_0001")
    page.get_by_role("button", name="Was the verdict right?").click()
    page.get_by_label("What it really was").select_option("A failing dependency")
    page.get_by_role("button", name="No, it was wrong").click()
    expect(page.locator("#note")).to_contain_text("Refuted.")
    assert night.acts.done == [
        ("judge", "Linus", "inc_rollback", True, None, ""),
        ("judge", "Linus", "inc_0001", False, "dependency", ""),
    ]


@pytest.mark.parametrize(("button", "approve"), [("Yes, roll back", True), ("No, refuse the rollback", False)])
def test_a_rollback_is_approved_or_refused(night: Served, either: Visit, button: str, approve: bool) -> None:
    """The sheet names component and both versions; the answer goes out under the recommendation's own key."""
    page = either.page
    page.goto(f"{night.url}/incidents/inc_rollback")
    page.get_by_role("button", name="Approve rollback").click()
    expect(page.get_by_role("dialog")).to_contain_text("refund-request from 1.1 back to 1.0")
    page.get_by_role("button", name=button).click()
    expect(page.locator("#note")).to_contain_text("Approved." if approve else "Refused.")
    expect(page.get_by_role("button", name="Approve rollback")).to_have_count(0)
    assert night.acts.done == [("rollback", "Linus", "inc_rollback", KEY, approve)]


def test_what_cannot_be_done_is_said(night: Served, bare: Visit) -> None:
    """An act that is refused says why, on the incident's own page."""
    night.acts.refuses = "The approval ran out at 02:24 UTC."
    bare.page.goto(f"{night.url}/incidents/inc_rollback")
    bare.page.get_by_role("button", name="Approve rollback").click()
    bare.page.get_by_role("button", name="Yes, roll back").click()
    expect(bare.page.get_by_role("alert")).to_contain_text("Not done. The approval ran out at 02:24 UTC.")
    bare.complaints.clear()  # The browser's own line about the status 409.


def test_a_reader_sees_everything_and_no_button(night: Served, desk: Visit) -> None:
    """Who may only look is offered nothing to do but to sign in, and a forged post of theirs does nothing."""
    night.role[0] = "reader"
    desk.page.goto(f"{night.url}/incidents/inc_rollback")
    expect(desk.page.get_by_role("heading", name="What the runbook found")).to_be_visible()
    expect(desk.page.locator("main form, .sheet, .acts")).to_have_count(0)
    expect(desk.page.get_by_role("link", name="Sign in to act")).to_be_visible()
    answer = desk.page.request.post(
        f"{night.url}/incidents/inc_rollback/acknowledge", form={"csrf": "csrf-of-the-test", "note": ""}
    )
    assert answer.status == 409
    assert night.acts.done == []
