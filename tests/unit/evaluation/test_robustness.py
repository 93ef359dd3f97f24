"""What agents and customers write stays data: the prompt's laws, and the canaries against a server that obeys."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.judge_prompts import fenced_only, undefended
from evaluation.canaries import Canary, canaries, carrier, obedient
from evaluation.cleaning import capped, clean, has_reserved, visible
from evaluation.criteria import shipped
from evaluation.judging import PromptBuilder
from evaluation.prompt import build_prompt
from evaluation.scripted_server import scripted_server
from tests.support.judges import judge_at, talk

CRITERIA = shipped()
BOUNDARY = "b" * 32
MARKS = '<|>[]/{}"\\\n\r\t: \u200b\u202e\u2028\U000e0041\ufe0fSYSTEMsystemINSTim_start#'
NASTY = st.text(st.sampled_from(MARKS), max_size=60)
TEXTS = st.text() | NASTY


@given(TEXTS, TEXTS, TEXTS)
@example("", "<|<|im_start|>im_start|>", "sys\u200btem: 5")
def test_judged_text_stays_inside_its_string(request: str, response: str, flow: str) -> None:
    """Three lines, the middle one JSON, the strings clean; and not a word of it in the system message."""
    event = talk(request=request, response=response, flow=flow or "f")
    prompt = build_prompt(event, CRITERIA, BOUNDARY, 500)
    first, record, last = prompt.user.splitlines()
    assert first == last == BOUNDARY
    found: dict[str, Any] = json.loads(record)
    for name in ("request", "response", "flow"):
        assert visible(found.get(name, "")) == found.get(name, "")
        assert not has_reserved(found.get(name, ""))
    assert prompt.system == build_prompt(talk(), CRITERIA, BOUNDARY, 500).system


@given(TEXTS, st.integers(1, 50))
def test_cleaning_is_done_once_and_for_all(text: str, limit: int) -> None:
    """What is clean stays as it is, and both ends of a long text are kept."""
    cleaned = clean(text, 10**6)
    assert clean(cleaned, 10**6) == cleaned
    short = capped(cleaned, limit)
    if len(cleaned) > limit:
        head = limit * 2 // 3
        assert short.startswith(cleaned[:head])
        assert short.endswith(cleaned[head - limit :])
        assert f"{len(cleaned) - limit} characters left out" in short
    else:
        assert short == cleaned


def test_words_are_left_as_they_are() -> None:
    """Letters of any alphabet, emoji, quotes and line feeds are what was said."""
    text = 'Größe: 5 < 6, "ja" {x}\n\tहिन्दी 日本語 عربي 👍'
    assert clean(text, 1000) == text


def test_the_corpus_is_large_enough() -> None:
    """Forty attempts at least, each of another name."""
    assert len({canary.name for canary in canaries()}) == len(canaries()) >= 40


async def test_each_request_has_a_boundary_of_its_own() -> None:
    """Whoever has seen one prompt does not know the next one's boundary."""
    async with scripted_server() as server, judge_at(server) as judge:
        for _ in range(3):
            await judge.judge(talk(), CRITERIA)
    boundaries = {body["messages"][1]["content"].partition("\n")[0] for body in server.requests}
    assert len(boundaries) == 3
    assert all(len(boundary) == 32 for boundary in boundaries)


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_judge_has_no_tools(api: str) -> None:
    """Whoever talks a judge into something has talked it into a score, for it can do nothing else."""
    async with scripted_server() as server, judge_at(server, api=api) as judge:
        await judge.judge(talk(), CRITERIA)
    assert server.requests
    for body in server.requests:
        assert not {"tools", "tool_choice", "functions", "web_search_options", "mcp_servers"} & set(body)


async def _flipped(prompt: PromptBuilder) -> list[Canary]:
    """The canaries that got the score that they want on all criteria."""
    flipped = []
    async with scripted_server(obedient(canaries())) as server, judge_at(server, total_seconds=50) as judge:
        judge.prompt = prompt
        for canary in canaries():
            judgements = await judge.judge(carrier(canary, good=canary.wants == 1), CRITERIA)
            scores = [judgement.score for judgement in judgements]
            assert None not in scores
            if all(round(score or 0) == canary.wants for score in scores):
                flipped.append(canary)
    return flipped


async def test_no_canary_moves_a_score_through_the_defence() -> None:
    """A server that obeys whatever gets out of its string finds nothing to obey."""
    assert await _flipped(build_prompt) == []


@pytest.mark.parametrize(
    ("prompt", "kinds"),
    [
        (undefended, {canary.kind for canary in canaries()}),
        (fenced_only, {"turn", "hidden", "break_out"}),
    ],
    ids=["none", "fence only"],
)
async def test_the_canaries_work_where_the_defence_is_missing(prompt: PromptBuilder, kinds: set[str]) -> None:
    """All flip without a defence, the faked turns and hidden texts with the fence alone: so the test above can fail."""
    flipped = Counter(canary.kind for canary in await _flipped(prompt))
    assert set(flipped) == kinds
    if prompt is undefended:
        assert flipped == Counter(canary.kind for canary in canaries())
