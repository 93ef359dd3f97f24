"""The judge against the scripted server, through the real client: scores, and all the ways not to get one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import generate_latest

from evaluation.build import JudgeConfigError, build_judge
from evaluation.criteria import shipped
from evaluation.judge_metrics import JudgeMetrics
from evaluation.judgement import Judgement
from evaluation.metrics import PlaneMetrics
from evaluation.scripted import ScriptedJudge
from evaluation.scripted_server import Fault, ScriptedServer, scripted_server
from stream.settings import SettingsError, load_settings
from tests.support.judges import judge_at, talk

CRITERIA = shipped()
APIS = ("chat", "responses")


def _reasons(judgements: list[Judgement]) -> set[str | None]:
    assert [judgement.criterion for judgement in judgements] == [criterion.name for criterion in CRITERIA]
    assert all((judgement.score is None) == (judgement.status == "no_data") for judgement in judgements)
    return {judgement.reason for judgement in judgements}


@pytest.mark.parametrize("api", APIS)
async def test_a_score_is_weighted_by_its_tokens_probabilities(api: str) -> None:
    """The digit's alternatives count (5 at .8, 4 at .2 is 4.8), and no digit of the reasoning does."""
    async with scripted_server() as server, judge_at(server, api=api) as judge:
        judgements = await judge.judge(talk(), CRITERIA)
    assert [judgement.score for judgement in judgements] == pytest.approx([4.8, 4.8, 4.8])
    assert len(server.requests) == 1
    assert sum(judgement.input_tokens for judgement in judgements) == len(str(server.requests[0])) // 4
    assert {judgement.method for judgement in judgements} == {"scripted"}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("logprobs", ["left_out", "refused"])
async def test_without_log_probabilities_samples_are_averaged(api: str, logprobs: Any) -> None:
    """A model that gives none, or refuses the wish, is asked several times instead, and the metric says so."""
    scores = iter([5, 4, 3])

    def wavering(_system: str, _user: str, names: Any) -> dict[str, int]:
        return dict.fromkeys(names, next(scores))

    async with scripted_server(wavering) as server, judge_at(server, api=api, samples=3) as judge:
        server.logprobs = logprobs
        judgements = await judge.judge(talk(), CRITERIA)
        assert judge.metrics.registry.get_sample_value("midwatch_judge_without_logprobs") == 1
    assert [judgement.score for judgement in judgements] == [4.0, 4.0, 4.0]


async def test_azure_is_spoken_to_by_deployment() -> None:
    """Path, version and key are Azure's."""
    async with scripted_server() as server, judge_at(server, provider="azure", model="judge-4") as judge:
        judgements = await judge.judge(talk(), CRITERIA)
    assert list(server.paths) == ["/openai/deployments/judge-4/chat/completions?api-version=2025-04-01-preview"]
    assert list(server.keys) == ["test-key"]
    assert _reasons(judgements) == {None}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("kind", "reason", "calls"),
    [
        ("rate_limit", "rate_limited", 3),
        ("quota", "rate_limited", 1),
        ("server_error", "unavailable", 3),
        ("half_closed", "unavailable", 3),
        ("unauthorized", "unavailable", 1),
        ("junk", "invalid_output", 3),
        ("wrong_form", "invalid_output", 3),
        ("bad_score", "invalid_output", 3),
        ("refusal", "refused", 1),
        ("content_filter", "refused", 1),
        ("azure_filter", "refused", 1),
        ("truncated", "truncated", 1),
    ],
)
async def test_what_goes_wrong_has_no_data_and_a_reason(api: str, kind: Any, reason: str, calls: int) -> None:
    """Each failure is named and counted, made again only where that may help, and never a score."""
    async with scripted_server() as server, judge_at(server, api=api, attempts=3) as judge:
        server.always = Fault(kind)
        judgements = await judge.judge(talk(), CRITERIA)
        value = judge.metrics.registry.get_sample_value
        assert value("midwatch_judge_unscored_total", {"reason": reason}) == len(CRITERIA)
        assert value("midwatch_judge_call_failures_total", {"reason": reason}) == calls
    assert _reasons(judgements) == {reason}
    assert len(server.requests) == calls


@pytest.mark.parametrize("kind", ["rate_limit", "server_error", "half_closed", "junk", "wrong_form", "bad_score"])
async def test_one_failure_is_got_over(kind: Any) -> None:
    """The next attempt's score counts, as if nothing had been."""
    async with scripted_server() as server, judge_at(server) as judge:
        server.faults.append(Fault(kind))
        judgements = await judge.judge(talk(), CRITERIA)
    assert _reasons(judgements) == {None}
    assert len(server.requests) == 2


async def test_tokens_of_answers_without_use_are_spent_as_well() -> None:
    """A budget that does not see them would be overdrawn by whoever makes answers invalid."""
    async with scripted_server() as server, judge_at(server, attempts=1) as judge:
        server.always = Fault("truncated")
        judgements = await judge.judge(talk(), CRITERIA)
    assert sum(judgement.input_tokens for judgement in judgements) == len(str(server.requests[0])) // 4


@pytest.mark.parametrize("kind", ["hang", "trickle"])
async def test_a_slow_answer_is_not_waited_for(kind: Any) -> None:
    """Neither silence nor a trickle outlasts the time for a call, and all calls together not the whole time."""
    async with scripted_server() as server, judge_at(server, timeout_seconds=0.2, total_seconds=0.5) as judge:
        server.always = Fault(kind)
        async with asyncio.timeout(10):
            judgements = await judge.judge(talk(), CRITERIA)
    assert _reasons(judgements) == {"timeout"}


async def test_a_pause_beyond_the_whole_time_is_not_begun() -> None:
    """Told to come back in an hour, the judge says at once that it is limited."""
    async with scripted_server() as server, judge_at(server) as judge:
        server.always = Fault("rate_limit", retry_after="3600")
        async with asyncio.timeout(10):
            judgements = await judge.judge(talk(), CRITERIA)
    assert _reasons(judgements) == {"rate_limited"}
    assert len(server.requests) == 1


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """A refused connection is no score either."""
    server = ScriptedServer()
    server.url = "http://127.0.0.1:9"
    async with judge_at(server, attempts=2) as judge:
        assert _reasons(await judge.judge(talk(), CRITERIA)) == {"unavailable"}


async def test_nothing_to_read_is_not_sent() -> None:
    """An interaction without text costs no call."""
    async with scripted_server() as server, judge_at(server) as judge:
        assert _reasons(await judge.judge(talk(request=None, response=" "), CRITERIA)) == {"no_text"}
    assert not server.requests


async def test_no_more_calls_than_allowed_are_made_at_once() -> None:
    """Forty interactions at once, two calls at a time."""
    most = 0
    async with scripted_server() as server, judge_at(server, concurrency=2, total_seconds=50) as judge:

        def counted(_system: str, _user: str, names: Any) -> dict[str, int]:
            nonlocal most
            most = max(most, round(judge.metrics.registry.get_sample_value("midwatch_judge_calls_in_flight") or 0))
            return dict.fromkeys(names, 3)

        server.opinion = counted
        found = await asyncio.gather(*(judge.judge(talk(id=f"i-{number}"), CRITERIA) for number in range(40)))
    assert all(_reasons(judgements) == {None} for judgements in found)
    assert most == 2


def test_a_judge_without_a_key_says_where_to_give_one() -> None:
    """The error names the variable, the file's key and the way to do without."""
    with pytest.raises(JudgeConfigError, match="MIDWATCH_JUDGE__API_KEY or OPENAI_API_KEY"):
        build_judge(load_settings(None, {}), {})


async def test_openais_key_goes_to_openai_alone() -> None:
    """Another server does not see the key that lies in the environment for OpenAI."""
    async with scripted_server() as server:
        settings = load_settings(None, {"MIDWATCH_JUDGE__BASE_URL": f"{server.url}/v1"})
        judge = build_judge(settings, {"OPENAI_API_KEY": "sk-secret"})
        assert _reasons(await judge.judge(talk(), CRITERIA)) == {None}
        await judge.aclose()
    assert list(server.keys) == ["Bearer none"]


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"PROVIDER": "azure"}, "needs base_url"),
        ({"BASE_URL": "ftp://x"}, "http://"),
        ({"BASE_URL": "https://name:word@host/v1"}, "take it out"),
        ({"TIMEOUT_SECONDS": "60", "TOTAL_SECONDS": "10"}, "must not be below"),
    ],
)
def test_settings_that_cannot_work_are_refused(variables: dict[str, str], complaint: str) -> None:
    """Each with what to do, and none with a password in the message."""
    with pytest.raises(SettingsError, match=complaint) as caught:
        load_settings(None, {f"MIDWATCH_JUDGE__{key}": value for key, value in variables.items()})
    assert "word@" not in str(caught.value)


async def test_the_scripted_judge_says_that_it_is_none() -> None:
    """It needs no server, and its method tells it from a model."""
    judge = build_judge(load_settings(None, {"MIDWATCH_JUDGE__PROVIDER": "scripted"}), {})
    assert isinstance(judge, ScriptedJudge)
    judgements = await judge.judge(talk(), CRITERIA)
    assert {judgement.method for judgement in judgements} == {"scripted"}
    assert _reasons(await judge.judge(talk(request=None, response=None), CRITERIA)) == {"no_text"}


def test_the_planes_metrics_and_the_judges_have_different_names() -> None:
    """Both are shown on one page, where a name that came twice would make all of it unreadable."""
    judges, planes = JudgeMetrics().registry, PlaneMetrics().registry
    assert not {one.name for one in judges.collect()} & {one.name for one in planes.collect()}
    planes.register(judges)
    page = generate_latest(planes).decode()
    types = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
    assert len(set(types)) == len(types)
    assert "midwatch_judge_anchor_rounds_total" in types
