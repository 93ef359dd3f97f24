"""The plane without Kafka: Redis there, away, spent budgets, judges that fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from evaluation.batch_store import BatchStore
from evaluation.budget import PlaneStore, claim_key, judge_prefix
from evaluation.burst import Bursts
from evaluation.criteria import Criterion, load_criteria
from evaluation.judgement import Judgement
from evaluation.metrics import PlaneMetrics
from evaluation.pacing import Budget, Spent
from evaluation.plane import Plane, as_json
from evaluation.publish import ScorePublisher
from evaluation.purse import Purse
from scenarios.incidents import incidents
from schemas.canonical import canonical_json
from schemas.events import EVENT, Evaluation
from schemas.events import Interaction as InteractionModel
from stream.adapters.native import Interaction
from stream.settings_sampling import SamplingSettings
from tests.unit.adapters.events import INTERACTION, accepted, encoded
from tests.unit.scenarios.verdict_samples import right

CRITERIA = load_criteria(None, ["tone"])
NO_LIMIT = Budget(None, None)
NOON = 1_767_614_400.0


class FakeJudge:
    """Counts its calls; `error` is raised instead of an answer."""

    def __init__(self, error: Exception | None = None, tokens: int = 100, reason: Any = None) -> None:
        self.calls: list[str] = []
        self.error = error
        self.tokens = tokens
        self.reason = reason

    async def judge(self, interaction: InteractionModel, criteria: Sequence[Criterion]) -> list[Judgement]:
        self.calls.append(interaction.id)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if self.reason is not None:
            return [
                Judgement(interaction.id, c.name, "no_data", None, None, self.reason, "m", "v1", "single", 0, 0)
                for c in criteria
            ]
        return [
            Judgement(interaction.id, c.name, "scored", 4.0, "Kind.", None, "m", "v1", "single", self.tokens, 0)
            for c in criteria
        ]

    async def aclose(self) -> None:
        """Nothing is open."""


class FakeProducer:
    """Keeps what was sent; `away` makes it fail."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.away = False

    async def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, *, timestamp_ms: int | None = None
    ) -> asyncio.Future[object]:
        if self.away:
            raise OSError("away")
        assert value is not None
        self.sent.append(json.loads(value))
        stored: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        stored.set_result(None)
        return stored


class Stand:
    """A plane with its parts."""

    def __init__(
        self, url: str, namespace: str, judge: FakeJudge, budget: Budget = NO_LIMIT, publish_seconds: float = 5.0
    ) -> None:
        self.redis = Redis.from_url(url, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0))
        self.judge, self.producer, self.metrics = judge, FakeProducer(), PlaneMetrics()
        self.clock = 0.0
        self.settings = SamplingSettings(
            resolved_rate=1.0, escalated_rate=1.0, offline_per_hour=3, judge_seconds=1.0, expected_tokens=100
        )
        self.store = PlaneStore(self.redis, namespace, "me", lambda: self.clock)
        purse = Purse("sample", budget, 100, 3, self.store, self.metrics, lambda: NOON)
        publisher = ScorePublisher(self.producer, publish_seconds)
        self.plane = Plane(
            judge, CRITERIA, publisher, self.store, purse, self.settings, self.metrics, lambda: NOON + self.clock
        )

    def value(self, name: str, **labels: str) -> float:
        """A metric."""
        return self.metrics.registry.get_sample_value(f"midwatch_judge_{name}", labels) or 0.0


def interaction(name: str, **more: Any) -> Interaction:
    event = accepted(encoded(INTERACTION | {"id": name} | more))
    assert isinstance(event, Interaction)
    return event


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)[:60].replace("[", "-").replace("]", "-")


async def test_a_repeat_is_not_judged_again(embedded_redis: Any, namespace: str) -> None:
    """The same interaction, again and at once twice: one call, one event, which the contract's model takes."""
    stand = Stand(embedded_redis.url, namespace, FakeJudge())
    event = interaction("i-1")
    await asyncio.gather(stand.plane.take(event), stand.plane.take(event))
    await stand.plane.take(event)
    assert stand.judge.calls == ["i-1"]
    (sent,) = stand.producer.sent
    read = EVENT.validate_python({**sent, "time": event_time(sent)}, strict=False)
    assert isinstance(read, Evaluation)
    assert read.sampling is not None
    assert (read.sampling.rate, read.interaction_id) == (1.0, "i-1")
    await stand.redis.aclose()


def event_time(sent: dict[str, Any]) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(sent["time"])


async def test_a_spent_budget_stops_and_is_never_overdrawn(embedded_redis: Any, namespace: str) -> None:
    """Room for five interactions: at most five are judged of forty at once, and what is spent is what they took."""
    stand = Stand(embedded_redis.url, namespace, FakeJudge(), Budget(500, None))
    await asyncio.gather(*(stand.plane.take(interaction(f"i-{n}")) for n in range(40)))
    spent = await stand.store.spent("sample", int(NOON // 86_400))
    assert spent == Spent(100 * len(stand.judge.calls), 0)
    assert 1 <= len(stand.judge.calls) <= 5
    await stand.redis.aclose()


async def test_without_redis_a_small_allowance_is_judged_and_nothing_waits(namespace: str) -> None:
    """Redis away: three interactions an hour, each once, and the rest is let go."""
    stand = Stand("redis://127.0.0.1:1", namespace, FakeJudge())
    async with asyncio.timeout(20):
        for number in (1, 1, 2, 3, 4, 5):
            await stand.plane.take(interaction(f"i-{number}"))
    assert stand.judge.calls == ["i-1", "i-2", "i-3"]
    assert stand.value("interactions_skipped_total", reason="over_budget") == 2
    assert stand.value("redis_up") == 0
    await stand.redis.aclose()


async def test_a_judge_that_breaks_costs_its_sample_alone(embedded_redis: Any, namespace: str) -> None:
    """It raises, against its promise: nothing is published, nothing is raised, it is counted."""
    stand = Stand(embedded_redis.url, namespace, FakeJudge(error=RuntimeError("broken")))
    await stand.plane.take(interaction("i-1"))
    assert stand.producer.sent == []
    assert stand.value("failures_total", part="judge") == 1
    await stand.redis.aclose()


async def test_what_could_not_be_published_may_be_tried_again(embedded_redis: Any, namespace: str) -> None:
    """Kafka away: the claim is given up, so that the next to see the interaction publishes it."""
    stand = Stand(embedded_redis.url, namespace, FakeJudge())
    stand.producer.away = True
    await stand.plane.take(interaction("i-1"))
    stand.producer.away = False
    await stand.plane.take(interaction("i-1"))
    assert len(stand.producer.sent) == 1
    await stand.redis.aclose()


async def test_a_burst_uses_what_was_judged_before(embedded_redis: Any, namespace: str) -> None:
    """A sampled interaction of an incident is not paid for again; its burst score has an id of its own."""
    stand = Stand(embedded_redis.url, namespace, FakeJudge())
    event = interaction("i-1", outcome="escalated")
    await stand.plane.take(event)
    sampling = {"rate": 1.0, "purpose": "burst", "uniform": False, "incident_id": "inc_1"}
    await stand.plane.score(event, sampling, stand.plane.purse)
    assert stand.judge.calls == ["i-1"]
    assert [sent["sampling"]["purpose"] for sent in stand.producer.sent] == ["sample", "burst"]
    assert len({sent["id"] for sent in stand.producer.sent}) == 2
    await stand.redis.aclose()


async def test_a_lease_that_ran_out_takes_nothing_from_the_next(embedded_redis: Any, namespace: str) -> None:
    """Slower than its lease: what a batch, or another process, has claimed since is neither freed nor overwritten."""
    stand = Stand(embedded_redis.url, namespace, FakeJudge())
    batches = BatchStore(stand.redis, namespace)
    for ended in ("released", "done"):
        ticket = stand.store.ticket()
        assert await stand.store.claim(ended, ticket, 1) == b""
        async with asyncio.timeout(10):
            while await batches.claim("bat_1", [ended]) == [False]:
                pass
        if ended == "released":
            await stand.store.release(ended, ticket)
        else:
            await stand.store.done(ended, ticket, b"[]")
        assert await stand.store.claim(ended, stand.store.ticket(), 1000) == b"batch:bat_1"
    await stand.redis.aclose()


async def test_a_claim_outlasts_a_slow_kafka(embedded_redis: Any, namespace: str) -> None:
    """While scores are sent the claim has as long as sending may take, so nobody else judges the same meanwhile."""
    stand = Stand(embedded_redis.url, namespace, FakeJudge(), publish_seconds=300.0)
    event = interaction("i-1")
    key = claim_key(judge_prefix(namespace), f"{event.environment}\x1f{event.system}\x1f{event.id}")
    left: list[int] = []
    send = stand.producer.send

    async def slow(*arguments: Any, **more: Any) -> Any:
        left.append(await stand.redis.pttl(key))
        return await send(*arguments, **more)

    stand.producer.send = slow  # type: ignore[method-assign]
    await stand.plane.take(event)
    assert len(left) == 1
    assert left[0] > 300_000
    await stand.redis.aclose()


async def test_what_a_burst_judged_first_is_part_of_the_sample_all_the_same(
    embedded_redis: Any, namespace: str
) -> None:
    """What an incident is made of must not be missing from the means: they get the burst's score, once, unpaid."""
    stand = Stand(embedded_redis.url, namespace, FakeJudge())
    event = interaction("i-1", outcome="escalated")
    sampling = {"rate": 1.0, "purpose": "burst", "uniform": False, "incident_id": "inc_1"}
    await stand.plane.score(event, sampling, stand.plane.purse)
    for _ in range(2):
        await stand.plane.take(event)
    assert stand.judge.calls == ["i-1"]
    assert [sent["sampling"]["purpose"] for sent in stand.producer.sent] == ["burst", "sample"]
    await stand.redis.aclose()


async def test_what_had_no_score_for_a_passing_reason_may_be_judged_another_time(
    embedded_redis: Any, namespace: str
) -> None:
    """A judge that was down takes no interaction for good; a refusal does."""
    for reason, calls in (("unavailable", 2), ("refused", 1)):
        stand = Stand(embedded_redis.url, f"{namespace}-{reason}", FakeJudge(reason=reason))
        for _ in range(2):
            await stand.plane.take(interaction("i-1"))
        assert len(stand.judge.calls) == calls
        assert stand.value("no_data_total", reason=reason) == calls
        await stand.redis.aclose()


@pytest.mark.parametrize("order", [(90, 400, 110), (400, 110, 90)])
async def test_what_is_expected_does_not_hang_on_the_order_of_the_answers(
    embedded_redis: Any, namespace: str, order: tuple[int, ...]
) -> None:
    """Three that took 200 tokens in the mean move 100 expected ones by three steps, however they were booked."""
    stand = Stand(embedded_redis.url, namespace, FakeJudge())
    reserved = [await stand.plane.purse.reserve() for _ in order]
    for one, tokens in zip(reserved, order, strict=True):
        assert one is not None
        await stand.plane.purse.settle(
            one, [Judgement("i", "tone", "scored", 4.0, "", None, "m", "v", "single", tokens, 0)]
        )
    assert stand.plane.purse.expected == Spent(100, 0)
    await stand.plane.purse.show()
    assert stand.plane.purse.expected == Spent(round(200 - 100 * 0.95**3), 0)
    await stand.redis.aclose()


async def test_a_burst_shows_what_is_left_of_its_own_budget(embedded_redis: Any, namespace: str) -> None:
    """One of the incident's interactions is judged for 100 of 400 tokens: three quarters are left, and it learns."""
    stand = Stand(embedded_redis.url, namespace, FakeJudge())
    incident = next(one for one in incidents(1_767_600_000_000) if one.name == "bad deployment")
    verdict = right(incident)
    purse = Purse("burst", Budget(400, None), 200, 3, stand.store, stand.metrics, lambda: NOON)
    event = interaction(
        "i-1", outcome="escalated", environment=verdict.scope.environment, system=verdict.scope.system,
        flow=verdict.scope.flow, time=verdict.decided_at.isoformat().replace("+00:00", "Z"),
    )  # fmt: skip
    await stand.store.remember(f"{event.environment}\x1f{event.system}", canonical_json(as_json(event)))
    await Bursts(stand.plane, purse).take(canonical_json(verdict))
    assert stand.judge.calls == ["i-1"]
    assert stand.value("budget_left_ratio", purse="burst", unit="tokens") == 0.75
    assert purse.expected == Spent(195, 0)
    await stand.redis.aclose()
