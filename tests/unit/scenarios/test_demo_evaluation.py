"""The demonstration's scores: judged over the wire, the same however the answers come in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from evaluation.criteria import Criterion
from evaluation.judgement import Judgement
from evaluation.scripted import ScriptedJudge
from evaluation.scripted_server import scripted_server
from scenarios.demo_evaluation import Evaluation, open_evaluation
from scenarios.fleet import Fleet, encode
from scenarios.fleet_events import Emitted
from scenarios.fleet_systems import ORDERS, REFUNDS
from schemas.canonical import canonical_json
from schemas.events import EVENT, Interaction
from schemas.events import Evaluation as Score
from stream.settings import Settings, load_settings

START = 1_772_611_200_000
STRETCH = 600_000
STRETCHES = 6


class Erratic:
    """The scripted rules, with answers that come in an order of chance and take tokens of their own."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._rules = ScriptedJudge()

    async def judge(self, interaction: Interaction, criteria: Sequence[Criterion]) -> list[Judgement]:
        for _ in range(self._chance.randrange(20)):
            await asyncio.sleep(0)
        found = await self._rules.judge(interaction, criteria)
        return [
            Judgement(
                one.interaction_id, one.criterion, one.status, one.score, one.reasoning, one.reason, one.model,
                one.prompt_version, one.method, 300 + sum(interaction.id.encode()), 0,
            )
            for one in found
        ]  # fmt: skip

    async def aclose(self) -> None:
        """Nothing is open."""


def settings_of(redis: Any, namespace: str, **more: str) -> Settings:
    variables = {"REDIS__URL": redis.url, "REDIS__NAMESPACE": namespace, **more}
    return load_settings(None, {f"MIDWATCH_{name}": value for name, value in variables.items()})


def stretches() -> list[list[Emitted]]:
    fleet = Fleet(1, (REFUNDS, ORDERS), with_scores=False)
    return [list(fleet.events(at, at + STRETCH)) for at in range(START, START + STRETCHES * STRETCH, STRETCH)]


async def played(redis: Any, namespace: str, seed: int, concurrency: int) -> tuple[list[bytes], str]:
    """Everything that is sent, under a budget that is too small, and what is said of it in the end."""
    settings = settings_of(
        redis, namespace, SAMPLING__CONCURRENCY=str(concurrency), SAMPLING__RESOLVED_RATE="0.5",
        SAMPLING__TOKENS_PER_DAY="2000000",
    )  # fmt: skip
    async with open_evaluation(settings, Erratic(seed)) as evaluation:
        sent = [encode(one.event) for stretch in stretches() for one in await evaluation.join(stretch)]
        return sent, evaluation.told()


async def test_neither_concurrency_nor_the_order_of_answers_changes_a_byte(embedded_redis: Any) -> None:
    """One at a time and sixteen at once: the same interactions are judged, with the same ids, times and books."""
    alone = await played(embedded_redis, "alone", 1, 1)
    assert await played(embedded_redis, "many", 2, 16) == alone
    assert "thinned to" in alone[1]


async def test_scores_come_from_the_server_and_say_so(embedded_redis: Any) -> None:
    """Through the real client: valid events in order of time, weighted by log-probabilities, paid for in tokens."""
    async with scripted_server() as server:
        settings = settings_of(
            embedded_redis, "wire", JUDGE__BASE_URL=f"{server.url}/v1", JUDGE__MODEL="midwatch-scripted-1"
        )
        async with open_evaluation(settings) as evaluation:
            before = stretches()[0]
            joined = await evaluation.join(before)
            told = evaluation.told()
        asked = len(server.requests)
    scores = [EVENT.validate_json(canonical_json(one.event)) for one in joined if one.event["type"] == "evaluation"]
    assert [one for one in joined if one.event["type"] != "evaluation"] == before
    assert [one.time_ms for one in joined] == sorted(one.time_ms for one in joined)
    assert scores
    assert len(scores) == 3 * asked
    assert all(isinstance(one, Score) and one.judge and one.judge.method == "scripted" for one in scores)
    known = {one.event["id"]: one.event["time"] for one in before if one.event["type"] == "interaction"}
    assert all(known[one.event["interaction_id"]] == one.event["time"] for one in joined if "score" in one.event)
    assert told.startswith(f"judge: {asked} of {len(known)} interactions sampled, ")
    assert told.endswith("of 2,000,000 tokens today, $0.00 scripted")


async def test_a_judge_that_fails_is_told(embedded_redis: Any) -> None:
    """The interactions are played without scores, and the line says how many were sampled in vain."""

    class Broken(Erratic):
        async def judge(self, interaction: Interaction, criteria: Sequence[Criterion]) -> list[Judgement]:
            raise RuntimeError(f"no judge for {interaction.id}")

    async with open_evaluation(settings_of(embedded_redis, "broken"), Broken(1)) as evaluation:
        before = stretches()[0]
        assert await evaluation.join(before) == before
        sampled = evaluation.told().split()[1]
        assert f"interactions sampled, {sampled} of them without a score, 0 of" in evaluation.told()


async def test_a_new_rate_counts_anew_and_keeps_the_books(embedded_redis: Any) -> None:
    """What was spent today stays; what was seen is of the new rate alone."""
    settings = settings_of(embedded_redis, "anew")
    async with open_evaluation(settings, Erratic(1)) as evaluation:
        assert isinstance(evaluation, Evaluation)
        await evaluation.join(stretches()[0])
        spent = evaluation.told().split(", ")[-2]
        evaluation.draw_at(settings.sampling.model_copy(update={"resolved_rate": 1.0}))
        assert evaluation.told().startswith("judge: 0 of 0 ")
        assert spent in evaluation.told()
