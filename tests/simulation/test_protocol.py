"""Promises 1, 2 and 4: whatever crashes, resends, moves or is lost, windows and verdicts are those of a golden run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.simulation.histories import Step, histories, play
from tests.support.real import Server

HISTORIES = int(os.environ.get("MIDWATCH_HISTORIES", "2000"))


@pytest.fixture(scope="module")
def runner(redis_server: Server) -> Iterator[tuple[asyncio.Runner, Redis]]:
    """An event loop and a client that live as long as the module: a history costs milliseconds."""
    with asyncio.Runner() as loop:
        client = Redis.from_url(redis_server.url, retry=Retry(NoBackoff(), 0))
        yield loop, client
        loop.run(client.aclose())


@pytest.mark.timeout(900)
@settings(
    max_examples=HISTORIES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(history=histories(), checkpoint_ticks=st.sampled_from([1, 2, 5]))
def test_any_history_ends_like_the_golden_run(
    runner: tuple[asyncio.Runner, Redis], history: list[Step], checkpoint_ticks: int
) -> None:
    """Windows equal a recount, every verdict is there with exactly its bytes, and nothing else was said."""
    loop, client = runner
    assert loop.run(play(client, history, checkpoint_ticks)) is None
