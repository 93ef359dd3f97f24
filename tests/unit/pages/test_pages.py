"""The page's routes without a browser: statuses, addresses that last, forms that are checked, words for people."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response

from dashboard import views as v
from dashboard.pages import build_router
from dashboard.pages_format import age, clock, level, money, own_path, percent, safe_href
from dashboard.pages_notes import MOST, Notes
from tests.support.dashboard import FakeActs, FakePages
from tests.support.dashboard_fleet import NOW


@pytest.fixture
def acts() -> FakeActs:
    return FakeActs(FakePages())


@pytest.fixture
async def client(acts: FakeActs) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()

    @app.middleware("http")
    async def viewer(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        request.state.viewer = v.Viewer(name="Linus", role="operator", csrf="c")
        return await call(request)

    app.include_router(build_router(acts.pages, acts))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as asking:
        yield asking


async def test_a_page_is_for_this_moment_and_its_files_for_ever(client: httpx.AsyncClient) -> None:
    """No cache keeps a page; the files it names are kept for a year, for their address changes with their content."""
    page = await client.get("/")
    assert page.headers["cache-control"] == "no-store"
    address = page.text.split('<link rel="stylesheet" href="')[1].split('"')[0]
    style = await client.get(address)
    assert "immutable" in style.headers["cache-control"]
    assert style.headers["content-encoding"] == "gzip"
    assert (await client.get("/static/page.000000000000.css")).status_code == 404


async def test_no_page_holds_inline_style_or_script(client: httpx.AsyncClient) -> None:
    """Nothing on any page would need `unsafe-inline`."""
    for path in ("/", "/incidents", "/incidents/inc_rollback", "/signals", "/quality", "/costs", "/login"):
        text = (await client.get(path)).text
        assert " style=" not in text
        assert "<style" not in text
        assert " onclick" not in text
        assert text.count("<script") == text.count('<script type="module" src="/static/') == 1


async def test_a_fragment_is_the_live_part_alone(client: httpx.AsyncClient) -> None:
    """A fragment holds what the page shows, without its shell and without forms."""
    text = (await client.get("/fragments/incidents/inc_rollback")).text
    assert "What the runbook found" in text
    assert "<html" not in text
    assert "csrf" not in text


async def test_an_unknown_incident_is_a_page_with_a_way_on(client: httpx.AsyncClient) -> None:
    """An incident that is not known is a 404 that leads to what is."""
    answer = await client.get("/incidents/inc_gone")
    assert answer.status_code == 404
    assert 'href="/incidents"' in answer.text


async def test_an_act_is_told_once(client: httpx.AsyncClient, acts: FakeActs) -> None:
    """A post redirects to the incident, which tells what was done; the same address again tells nothing."""
    answer = await client.post("/incidents/inc_rollback/acknowledge", data={"note": " mine "})
    assert answer.status_code == 303
    assert acts.done == [("acknowledge", "Linus", "inc_rollback", "mine", False)]
    assert "Linus has it." in (await client.get(answer.headers["location"])).text
    assert "Linus has it.</span>" not in (await client.get(answer.headers["location"])).text.split('id="verdict"')[0]


@pytest.mark.parametrize(
    ("act", "form"),
    [
        ("silence", {"minutes": "0", "reason": "x"}),
        ("silence", {"minutes": "60", "reason": ""}),
        ("silence", {"minutes": "60"}),
        ("judge", {"right": "perhaps"}),
        ("rollback", {"key": "", "approve": "true"}),
        ("rollback", {"key": "act_x"}),
    ],
)
async def test_a_form_that_says_nothing_clear_does_nothing(
    client: httpx.AsyncClient, acts: FakeActs, act: str, form: dict[str, str]
) -> None:
    """A missing or impossible field is refused before anything is done."""
    assert (await client.post(f"/incidents/inc_rollback/{act}", data=form)).status_code == 422
    assert acts.done == []


async def test_the_history_turns_pages(client: httpx.AsyncClient) -> None:
    """Older incidents follow page by page, none twice and none left out."""
    path, seen = "/incidents", []
    for _ in range(5):
        text = (await client.get(path)).text
        seen += [part.split('"')[0] for part in text.split('data-key="')[1:]]
        if ">Older</a>" not in text:
            break
        path = text.split('href="')[-1 - text.split(">Older</a>")[1].count('href="')].split('"')[0]
    assert len(seen) == len(set(seen)) == 203


async def test_a_query_that_means_nothing_asks_for_everything(client: httpx.AsyncClient) -> None:
    """Unknown spans and times are no errors."""
    assert (await client.get("/signals?span=9y&system=")).status_code == 200
    assert (await client.get("/incidents?before=yesterday")).status_code == 200


def test_numbers_are_written_for_people() -> None:
    """Percents, money, ages, times and ticks as the page writes them; U+00A0 keeps numbers and units together."""
    assert [percent(value) for value in (0.137, 0.0017, 0, 1, None)] == [
        "13.7\u00a0%",
        "0.17\u00a0%",
        "0\u00a0%",
        "100\u00a0%",
        "–",
    ]
    assert [money(value) for value in (9210.4, 3.5, None)] == ["$9,210", "$3.50", "–"]
    assert [age(NOW - timedelta(seconds=s), NOW) for s in (-5, 6, 720, 3600, 11100, 200_000)] == [
        "just now",
        "6\u00a0s",
        "12\u00a0min",
        "1\u00a0h",
        "3\u00a0h 5\u00a0min",
        "2\u00a0d",
    ]
    assert [clock(NOW - timedelta(days=days), NOW) for days in (0, 1, 400)] == [
        "02:26 UTC",
        "2 Mar 02:26 UTC",
        "27 Jan 2025 02:26 UTC",
    ]
    assert [level(0.2, "fraction"), level(3, "score"), level(20000, "usd")] == ["20\u00a0%", "3", "$20,000"]


@pytest.mark.parametrize(
    ("href", "is_safe"),
    [
        ("https://a.example/x", True),
        ("/incidents/x", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("https:///x", False),
        ("http://[", False),
    ],
)
def test_only_honest_addresses_become_links(href: str, is_safe: bool) -> None:
    """Links come from telemetry: nothing but http, https and paths of the page's own is followed."""
    assert (safe_href(href) is not None) is is_safe


def test_the_way_on_from_the_login_stays_here() -> None:
    """After the login one lands on a path of this page, or on the first screen."""
    assert [own_path(path) for path in ("/costs", "//evil", "https://evil", "/\\evil", "/a\nb")] == [
        "/costs",
        *["/"] * 4,
    ]


def test_notes_are_few() -> None:
    """What is told once does not pile up."""
    notes = Notes()
    first = notes.leave("first")
    for number in range(MOST):
        notes.leave(str(number))
    assert notes.take(first) is None
    assert notes.take(None) is None
