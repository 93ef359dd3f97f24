"""Bounds that hold whatever the other side does: the size of an answer, the patience with work that does not end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from evaluation.build import build_judge
from evaluation.criteria import shipped
from evaluation.giving_up import Patience, TooManyLeft, give_up
from evaluation.scripted_server import Fault, scripted_server
from stream.settings import SettingsError, load_settings
from tests.support.judges import judge_at, talk

CRITERIA = shipped()


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("kind", ["runaway", "bomb"])
async def test_an_answer_without_end_is_cut_off(api: str, kind: Any) -> None:
    """Neither an endless body nor a compressed one is read on, or asked for again: invalid output, after one call."""
    async with scripted_server() as server, judge_at(server, api=api, max_answer_bytes=100_000) as judge:
        server.always = Fault(kind)
        async with asyncio.timeout(10):
            judgements = await judge.judge(talk(), CRITERIA)
    assert {one.reason for one in judgements} == {"invalid_output"}
    assert len(server.requests) == 1
    # What the sockets hold on both sides comes on top of what was read.
    assert server.written < 20_000_000


async def test_an_answer_within_the_bound_is_read() -> None:
    """The bound is on the answer, not on its being one."""
    async with scripted_server() as server, judge_at(server, max_answer_bytes=100_000) as judge:
        assert {one.status for one in await judge.judge(talk(), CRITERIA)} == {"scored"}


async def test_a_server_that_compresses_though_not_asked_is_understood() -> None:
    """Its answers are unpacked, within the bound."""
    async with scripted_server() as server, judge_at(server, max_answer_bytes=100_000) as judge:
        server.always = Fault("compressed")
        assert {one.status for one in await judge.judge(talk(), CRITERIA)} == {"scored"}


class _Stubborn:
    """Ends when it is let go, not when it is cancelled (a few times: a test that fails must end as well)."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.cancelled = 0

    async def __call__(self) -> str:
        while not self.go.is_set() and self.cancelled < 5:
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
        raise RuntimeError("too late to matter")


async def test_patience_ends_on_time_whatever_the_work_does() -> None:
    """A time-out, although the cancelled work goes on; once it has ended, it is forgotten, and its error with it."""
    work, patience = _Stubborn(), Patience()
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            await patience(work(), 0.05)
        assert len(patience.left) == 1
        (left,) = patience.left
        assert await give_up([left], 0.05) == {left}
        work.go.set()
        await asyncio.wait({left})
    assert work.cancelled
    assert not patience.left


async def test_nothing_is_begun_beside_too_much_that_does_not_end() -> None:
    """Or a judge that hangs for good would fill the memory, one judgement after the other."""
    work, patience = _Stubborn(), Patience(most_left=2)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await patience(work(), 0.01)
    with pytest.raises(TooManyLeft):
        await patience(work(), 0.01)
    work.go.set()
    await asyncio.wait(set(patience.left), timeout=10)


async def test_patience_hands_on_results_errors_and_being_cancelled() -> None:
    """In time it is as if it were not there; and cancelling whoever waits cancels the work."""

    async def done() -> int:
        return 7

    async def broken() -> int:
        raise KeyError("x")

    assert await Patience()(done(), 5) == 7
    with pytest.raises(KeyError):
        await Patience()(broken(), 5)
    work, patience = asyncio.Event(), Patience()
    waiting = asyncio.create_task(patience(work.wait(), 60))
    await asyncio.sleep(0)
    assert await give_up([waiting], 5) == set()
    assert waiting.cancelled()


def test_the_calls_of_one_interaction_must_fit_into_its_time() -> None:
    """Said with the other problems, under the name of what set it."""
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {"MIDWATCH_JUDGE__TOTAL_SECONDS": "70", "MIDWATCH_HTTP__PORT": "-1"})
    text = str(caught.value)
    assert "MIDWATCH_JUDGE__TOTAL_SECONDS: must be below sampling.judge_seconds: 70 s" in text
    assert "MIDWATCH_HTTP__PORT" in text
    with pytest.raises(SettingsError, match=r"judge\.total_seconds: must be below"):
        load_settings(None, {"MIDWATCH_SAMPLING__JUDGE_SECONDS": "55"})
    load_settings(None, {"MIDWATCH_SAMPLING__JUDGE_SECONDS": "55.1"})


@pytest.mark.parametrize("status", [301, 307, 308])
async def test_a_judge_follows_no_redirect(status: int) -> None:
    """What people wrote, and Azure's key, which is no authorization header, reach no server that another one names."""
    async with scripted_server() as elsewhere:

        async def away(request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": f"{elsewhere.url}{request.path}"})

        app = web.Application()
        app.router.add_post("/{path:.*}", away)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
            judge = build_judge(load_settings(None, {"MIDWATCH_JUDGE__BASE_URL": url}), {})
            judgements = await judge.judge(talk(), CRITERIA)
            await judge.aclose()
        finally:
            await runner.cleanup()
        assert None not in {one.reason for one in judgements}
        assert not elsewhere.requests
