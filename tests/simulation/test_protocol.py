"""Promises 1, 2 and 4: whatever crashes, resends, moves or is lost, windows and verdicts are those of a golden run."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.simulation import mutants
from tests.simulation.histories import SPAN_KINDS, Step, histories, idle_histories, logs_of, play, upgrade_chaos
from tests.simulation.world import golden

SERVERS = 2 if shutil.which("redis-server") or os.environ.get("MIDWATCH_REDIS") else 1
HISTORIES = int(os.environ.get("MIDWATCH_HISTORIES", str(2000 // SERVERS)))
"""Histories on each server, two thousand in all. They are the same in every run; `MIDWATCH_HISTORIES` asks for more."""

MUTANT_SEED = 1
MUTANT_HISTORIES = 3000
"""Within this many histories every mutant must be killed."""

Runner = tuple[asyncio.Runner, Redis]


@pytest.fixture(scope="module")
def runner(redis_server: Any) -> Iterator[Runner]:
    """An event loop and a client that live as long as the module: a history costs milliseconds."""
    with asyncio.Runner() as loop:
        client = Redis.from_url(redis_server.url, retry=Retry(NoBackoff(), 0))
        yield loop, client
        loop.run(client.aclose())


@pytest.mark.timeout(1200)
@settings(
    max_examples=HISTORIES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(history=histories(), checkpoint_ticks=st.sampled_from([1, 2, 5]))
def test_any_history_ends_like_the_golden_run(runner: Runner, history: list[Step], checkpoint_ticks: int) -> None:
    """Windows equal a recount, every verdict is there with exactly its bytes, and nothing else was said."""
    loop, client = runner
    assert loop.run(play(client, history, checkpoint_ticks)) is None


@pytest.mark.timeout(600)
@settings(
    max_examples=max(HISTORIES // 4, 1),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(history=idle_histories(), checkpoint_ticks=st.sampled_from([1, 2, 5]))
def test_idle_partitions_lose_nothing(runner: Runner, history: list[Step], checkpoint_ticks: int) -> None:
    """Where idle partitions let the watermark pass, what comes behind it counts once, and nothing is said twice."""
    loop, client = runner
    assert loop.run(play(client, history, checkpoint_ticks, idle=True)) is None


@pytest.mark.timeout(600)
@settings(
    max_examples=max(HISTORIES // 20, 1),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(history=histories(events=SPAN_KINDS), checkpoint_ticks=st.sampled_from([1, 2, 5]))
def test_traces_count_once_whatever_happens(runner: Runner, history: list[Step], checkpoint_ticks: int) -> None:
    """Traces whose spans come by any partition, in any batch, through crashes and losses, end like the golden run."""
    loop, client = runner
    assert loop.run(play(client, history, checkpoint_ticks)) is None


@pytest.mark.timeout(600)
@settings(
    max_examples=max(HISTORIES // 40, 1),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(history=histories(upgrade_chaos), checkpoint_ticks=st.sampled_from([1, 2, 5]))
def test_upgrades_and_damaged_states_lose_nothing(runner: Runner, history: list[Step], checkpoint_ticks: int) -> None:
    """States of an older layout, in Redis and in snapshots, and unreadable ones: it all ends like the golden run."""
    loop, client = runner
    assert loop.run(play(client, history, checkpoint_ticks)) is None


def test_the_histories_mute_and_speak_again_and_acknowledge() -> None:
    """Among the histories there are incidents that speak when a silence ends, and such that are acknowledged."""

    def speaks_again(history: list[Step]) -> bool:
        said = [json.loads(body) for key, body in golden(logs_of(history)).emitted.items() if key.startswith("inc_")]
        muted = {(v["incident_id"], v["revision"]) for v in said if "muted" in v}
        return any((v["incident_id"], v["revision"] - 1) in muted for v in said if "muted" not in v)

    def acknowledged(history: list[Step]) -> bool:
        return any(b'"acknowledged":' in body for body in golden(logs_of(history)).emitted.values())

    found = settings(max_examples=HISTORIES, deadline=None, phases=[Phase.generate], database=None)
    find(histories(), speaks_again, settings=found, random=Random(MUTANT_SEED))
    find(histories(), acknowledged, settings=found, random=Random(MUTANT_SEED))


MUTANTS: dict[str, dict[str, Any]] = {
    "no fence": {"scripts": mutants.NO_FENCE},
    "epoch only": {"scripts": mutants.EPOCH_ONLY},
    "split write": {"store_type": mutants.SplitWrite},
    "commit before emit": {"evaluator_type": mutants.CommitThenEmit},
    "Kafka's offset as the truth": {"ingest_type": mutants.KafkaOffsetTruth},
    "no seal": {"scripts": mutants.NO_SEAL, "idle": True},
    "no digest": {"scripts": mutants.NO_DIGEST},
    "no epoch": {"scripts": mutants.NO_EPOCH},
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_of_the_protocol_is_killed(runner: Runner, name: str) -> None:
    """The same histories tell a protocol that is broken in one place from the one that is not."""
    loop, client = runner

    killed: list[str] = []

    def kills(case: tuple[list[Step], int]) -> bool:
        # A broken protocol may lose a race in one run of a history and win it in the next, which Hypothesis, repeating
        # what it found, would call flaky: one history that told the mutant from the engine is enough.
        wrong = killed[0] if killed else loop.run(_outcome(client, *case, **MUTANTS[name]))
        if wrong is not None:
            killed.append(wrong)
        return wrong is not None

    find(
        st.tuples(idle_histories() if MUTANTS[name].get("idle") else histories(), st.sampled_from([1, 2, 5])),
        kills,
        settings=settings(
            max_examples=MUTANT_HISTORIES,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
        random=Random(MUTANT_SEED),
    )


async def _outcome(client: Redis, history: list[Step], checkpoint_ticks: int, **parts: Any) -> str | None:
    """What differs from the golden run; a mutant that breaks the engine itself is found out, too."""
    try:
        return await play(client, history, checkpoint_ticks, **parts)
    except Exception as error:  # noqa: BLE001  # whatever a broken protocol leads to counts as found out
        return f"{type(error).__name__}: {error}"
