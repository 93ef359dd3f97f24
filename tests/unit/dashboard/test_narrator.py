"""The narrator: asked once for a verdict, checked against its numbers, silent where anything is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from dashboard.narrator import MOST, ModelAsker, Narrator, build_narrator, doubt
from evaluation.build import JudgeConfigError
from evaluation.scripted_wire import chat_completion
from stream.settings import Settings, load_settings
from tests.support.dashboard_verdicts import verdict

GOOD = (
    "Refund escalates 13.7 % of its requests, 3.3x normal, since 02:14. Version 2026.11.3 shipped at 02:02 "
    "without its canary; roll back to 2026.11.2."
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GOOD, None),
        ("Escalations are at 14 %.", None),
        ("Escalations are at 13.8 %.", "number"),
        ("Escalations are at 97 percent of 42,000 calls.", "number"),
        ("It began at 02:15.", "number"),
        ("Roll back to 2026.11.1.", "number"),
        ("Escalations tripled.", "number_in_words"),
        ("Escalations rose by ½.", "number_in_words"),
        ("Escalations are at ١٤ %.", "number_in_words"),
        ("See https://evil.example.", "markup"),
        ("<b>Roll back</b>", "markup"),
        ("Roll\x1b[31m back", "markup"),
        ("", "length"),
        ("x" * 701, "length"),
    ],
)
def test_a_number_that_the_verdict_lacks_discards_the_text(text: str, wanted: str | None) -> None:
    """Rounding is allowed, inventing is not; nor are words for numbers, links or markup."""
    assert doubt(text, verdict()) == wanted


async def test_a_verdict_is_narrated_once_and_a_discarded_text_is_not_asked_for_again() -> None:
    """The first look asks, later looks find; whoever waits is told."""
    asked, told = [], []
    answers = {True: GOOD, False: "Escalations are at 99.9 %."}

    async def ask(system: str, user: str) -> str:
        asked.append((system, user))
        return answers["2026.11.3" in user and len(asked) == 1]

    narrator = Narrator(ask, lambda: told.append(1))
    first, second = verdict(), verdict(revision=1)
    assert narrator.ready(first) is None
    await narrator.settled()
    assert narrator.ready(first) == GOOD
    assert narrator.ready(second) is None
    await narrator.settled()
    assert narrator.ready(second) is None
    assert (len(asked), told) == (2, [1])
    boundary, record, end = asked[0][1].split("\n")
    assert boundary == end
    assert boundary in asked[0][0]
    assert first.incident_id in record


async def test_what_one_process_asks_for_is_bounded() -> None:
    """A summary that nobody asked for must not cost without end."""
    asked = []

    async def ask(_system: str, _user: str) -> str:
        asked.append(1)
        return GOOD

    narrator = Narrator(ask, lambda: None)
    for number in range(MOST + 5):
        narrator.ready(verdict(revision=number))
    await narrator.settled()
    assert len(asked) == MOST


def _settings(**variables: str) -> Settings:
    return load_settings(None, {f"MIDWATCH_{name.upper()}": value for name, value in variables.items()})


def test_it_is_off_unless_it_is_switched_on_and_has_a_model() -> None:
    """Off by default; the scripted judge cannot write; without a key the page goes without."""
    assert build_narrator(_settings(), {}, lambda: None) is None
    on = {"dashboard__narrator": "true"}
    assert build_narrator(_settings(**on, judge__provider="scripted"), {}, lambda: None) is None
    assert build_narrator(_settings(**on), {}, lambda: None) is None
    with pytest.raises(JudgeConfigError):
        ModelAsker(_settings(**on), {})


@asynccontextmanager
async def _server(text: str | None) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    taken: list[dict[str, Any]] = []

    async def chat(request: web.Request) -> web.Response:
        taken.append(await request.json())
        return web.Response(status=500) if text is None else web.json_response(chat_completion(text, None, 10))

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", taken
    await runner.cleanup()


async def test_it_asks_over_the_real_client_and_a_failure_is_silence() -> None:
    """The wire format is the judge's own; a server that fails leaves the page without a summary, not with an error."""
    for text, wanted in ((GOOD, GOOD), (None, None)):
        async with _server(text) as (url, taken):
            on = _settings(dashboard__narrator="true", judge__base_url=url, judge__api_key="test-key")
            narrator = build_narrator(on, {}, lambda: None)
            assert narrator is not None
            narrator.ready(verdict())
            await narrator.settled()
            assert narrator.ready(verdict()) == wanted
            await narrator.aclose()
            assert [message["role"] for message in taken[0]["messages"]] == ["system", "user"]
