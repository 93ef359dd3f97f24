"""`midwatch top`: the first screen in a terminal, the same as the page's."""

from __future__ import annotations

import io

import httpx
import pytest
from rich.console import Console

from dashboard.top import ApiSource, TopError, age, screen
from dashboard.views import Overview, Problem
from schemas.outputs import Acknowledged
from tests.support.dashboard_verdicts import AT, verdict
from tests.unit.dashboard.test_api import OPERATOR, READER, TOKENS, bearer, page


async def _overview(*verdicts: object) -> Overview:
    async with page() as (http, model, _):
        for one in verdicts:
            model.memory.verdict(one)  # type: ignore[arg-type]
        return Overview.model_validate_json((await http.get("/api/v1/overview")).content)


def _text(view: Overview, width: int = 160) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(screen(view))
    return console.export_text()


async def test_what_is_open_is_there_in_its_sentence_and_trouble_on_top() -> None:
    """Severity, age, sentence, who has it; an unwell engine comes before everything and is never green."""
    view = await _overview(verdict(acknowledged=Acknowledged(by="ada\x1b[2J", at=AT)))
    text = _text(view)
    assert "CRITICAL" in text
    assert "3.3x normal" in text
    assert "taken by ada" in text
    assert "\x1b[2J" not in text
    trouble = (Problem(severity="critical", text="Redis has not answered", remedy="Look at Redis"),)
    sick = view.model_copy(update={"open": (), "health": view.health.model_copy(update={"problems": trouble})})
    assert "Nothing is wrong" not in _text(sick)
    assert _text(sick).index("The engine is unwell") < 200
    early = (Problem(severity="warning", text="Starting: nothing heard", remedy="Wait"),)
    starting = sick.model_copy(update={"health": view.health.model_copy(update={"problems": early})})
    assert "Nothing is wrong" not in _text(starting)
    well = sick.model_copy(update={"health": view.health.model_copy(update={"problems": (), "shards_alive": 1})})
    assert "Nothing is wrong" in _text(well)


@pytest.mark.parametrize("width", [60, 80, 200])
async def test_a_narrow_terminal_cuts_no_sentence_and_no_name(width: int) -> None:
    """Sentences wrap within the width and are whole; what has ended has its age and its whole name in one line."""
    view = await _overview(verdict())
    over = view.open[0].model_copy(update={"incident_id": "inc_4wbjkralktfizaluzjrup7bolu", "state": "resolved"})
    view = view.model_copy(update={"ended": (over,)})
    lines = _text(view, width).splitlines()
    assert max(map(len, lines)) <= width
    card = view.open[0]
    assert " ".join(" ".join(lines).split()).count(card.sentence) == 1
    [ended] = [line for line in lines if "inc_4wbjkralktfizaluzjrup7bolu" in line]
    assert "ago" in ended


async def test_the_api_is_read_with_a_token_and_its_refusals_are_sentences() -> None:
    """A wrong token, a server that is none of ours, and no server are each said with what to do."""
    async with page(TOKENS) as (http, _, _acts):
        with pytest.raises(TopError, match="give a token"):
            await ApiSource(http).overview()
        http.headers.update(bearer(READER))
        assert (await ApiSource(http).overview()).open == ()
        assert OPERATOR not in str(http.base_url)

    def foreign(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="<html>")

    async with httpx.AsyncClient(transport=httpx.MockTransport(foreign), base_url="http://x") as http:
        with pytest.raises(TopError, match="no page of Midwatch"):
            await ApiSource(http).overview()
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as http:
        with pytest.raises(TopError, match="does not answer"):
            await ApiSource(http).overview()


def test_ages_are_short() -> None:
    """As a tired human reads them."""
    minute = AT - AT + (AT.replace(minute=21) - AT)
    assert [age(minute * n) for n in (0, 12, 60, 185, 60 * 50)] == ["moments", "12 min", "1 h", "3 h 5 min", "2 d"]
