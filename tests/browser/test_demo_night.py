"""The demonstration's page in a real Chromium, over its real engine: every incident is seen, opened, and acted on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from schemas.controls import CONTROL, Acknowledgement, Approval, Silence
from schemas.words import CONTROLS_TOPIC
from stream.restore import read_values
from stream.settings_clients import kafka_options
from tests.support.browser import SCREENSHOTS, visit
from tests.support.demo_night import Night, demo_night

pytestmark = pytest.mark.timeout(600)
PATIENT_MS = 60_000
"""For what has to come by way of Kafka, on a machine that may be busy."""


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    with demo_night(tmp_path_factory.mktemp("night")) as night:
        yield night


def test_the_demonstrations_incidents_are_seen_opened_and_acted_on(demonstration: Night, browser: Browser) -> None:
    """Each has a card and a page; taken, silenced, judged and approved, it says so, and the topics hold who did it.

    The approval is seen by a subscriber of rollbacks, whose dry run then stands on the incident's page by itself.
    """
    night = demonstration
    with visit(browser, viewport={"width": 390, "height": 844}, color_scheme="dark") as seen:
        page = seen.page
        page.goto(night.url)
        expect(page.locator("#open > li")).to_have_count(len(night.systems), timeout=PATIENT_MS)
        expect(page.locator(".band.demo")).to_contain_text("A simulated fleet")
        _picture(page, "night-now", wall=True)
        addresses = {
            system: page.get_by_role("link", name=f"in {system}", exact=False).first.get_attribute("href") or ""
            for system in sorted(night.systems)
        }
        for system, address in addresses.items():
            _open(page, night, address, system)
        page.goto(f"{night.url}signals")
        expect(page.locator("#chart-escalation .marks a")).to_have_count(len(night.systems))
        _picture(page, "night-signals", wall=True)
        _approve(page, night, addresses["lending"])
        _act(page, night, addresses["refunds"], "Acknowledge", "Yes, I have it", "has it in hand")
        _act(page, night, addresses["onboarding"], "Silence", "Yes, silence it", "Nobody is paged")
        _act(page, night, addresses["claims"], "Judge", "Yes, it was right", "confirmed")
    said = [
        CONTROL.validate_json(value)
        for value in asyncio.run_coroutine_threadsafe(_controls(night), night.loop).result(30)
    ]
    assert {type(one) for one in said} == {Acknowledgement, Approval, Silence}
    assert len({one.created_by if isinstance(one, Silence) else one.by for one in said}) == 1


def _open(page: Page, night: Night, address: str, system: str) -> None:
    page.goto(night.url.rstrip("/") + address)
    expect(page.locator("#verdict .place")).to_contain_text(f"production / {system} /")
    expect(page.locator(".chain > li")).to_have_count(4)
    expect(page.locator("#signal .plot path.line")).to_have_count(1)
    expect(page.locator("#signal .flag.onset")).to_have_count(1)
    _picture(page, f"night-{system}", wall=system == "lending")


def _approve(page: Page, night: Night, address: str) -> None:
    page.goto(night.url.rstrip("/") + address)
    page.get_by_role("button", name="Approve rollback").click()
    expect(page.get_by_role("dialog")).to_contain_text("loan-prequalification from 7.5.0 back to 7.4.0")
    page.get_by_role("button", name="Yes, roll back").click()
    expect(page.locator("#note")).to_contain_text("Approved: the rollback may run until", timeout=PATIENT_MS)
    expect(page.locator(".story")).to_contain_text("Approved the rollback")
    expect(page.get_by_role("button", name="Approve rollback")).to_have_count(0)
    expect(page.locator(".story")).to_contain_text("(dry run: nothing was done)", timeout=PATIENT_MS)
    [step] = night.steps("skipped")
    assert (step.mode, step.reason, step.target.to_version if step.target else None) == ("dry_run", "dry_run", "7.4.0")


def _act(page: Page, night: Night, address: str, button: str, answer: str, said: str) -> None:
    page.goto(night.url.rstrip("/") + address)
    page.get_by_role("button", name=button, exact=True).click()
    reason = page.get_by_label("Reason")
    if button == "Silence":
        reason.fill("known: the provider says so")
    page.get_by_role("button", name=answer).click()
    expect(page.locator("#note")).to_contain_text(said, timeout=PATIENT_MS)


async def _controls(night: Night) -> list[bytes]:
    return list(await read_values(CONTROLS_TOPIC, kafka_options(night.settings.kafka)))


def _picture(page: Page, name: str, *, wall: bool = False) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}-390-dark.png", full_page=True)
    if wall:
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1920, "height": 1080})
        page.screenshot(path=SCREENSHOTS / f"{name}-1920-light.png", full_page=True)
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 390, "height": 844})
