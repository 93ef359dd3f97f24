"""A batch's parts against the scripted server and the embedded Redis, with a producer that keeps what it gets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from evaluation.batch_collect import Collection
from evaluation.batch_plan import Plan
from evaluation.batch_price import BatchPrice
from evaluation.batch_provider import Progress, Provider
from evaluation.batch_run import provider_of
from evaluation.batch_store import Batch, BatchStore
from evaluation.batch_submit import Draw, Submission, Submitted, identity_of
from evaluation.budget import PlaneStore
from evaluation.criteria import shipped
from evaluation.pacing import Budget, Spent
from evaluation.publish import ScorePublisher
from evaluation.scripted_server import ScriptedServer
from stream.adapters.native import Interaction
from stream.settings import Settings
from tests.support.judges import settings_at
from tests.unit.adapters.events import INTERACTION, accepted, encoded
from tests.unit.evaluation.test_plane import NOON, FakeProducer

DAY = int(NOON // 86_400)
NO_LIMIT = Budget(None, None)


def interactions(count: int, outcome: str = "escalated") -> list[Interaction]:
    """So many, with texts, of one outcome."""
    texts = {"outcome": outcome, "request": "Where is my refund?", "response": "Thank you for waiting. It was issued."}
    plain = {name: value for name, value in INTERACTION.items() if name != "steps"}
    found = []
    for number in range(count):
        event = accepted(encoded(plain | {"id": f"i-{number}"} | texts))
        assert isinstance(event, Interaction)
        found.append(event)
    return found


class Bench:
    """Everything that a batch needs. `clock` is added to noon."""

    def __init__(self, settings: Settings, redis: Redis, namespace: str, provider: Provider) -> None:
        self.settings, self.redis, self.provider = settings, redis, provider
        self.store = BatchStore(redis, namespace)
        self.plane_store = PlaneStore(redis, namespace, "live", lambda: 0.0)
        self.producer = FakeProducer()
        self.plan = Plan.of(settings.judge, shipped())
        self.clock = 0.0
        self.collects = Collection(
            self.store, provider, ScorePublisher(self.producer, 5.0), self.price, self.plane_store,
            settings.judge.max_answer_bytes, self.wall,
        )  # fmt: skip

    def wall(self) -> float:
        return NOON + self.clock

    def price(self, model: str) -> BatchPrice:
        return BatchPrice(self.settings.price_book(), model, 0.5)

    async def submit(
        self, events: Iterable[Interaction], *, budget: Budget = NO_LIMIT, rate: float = 1.0, most: int = 1000
    ) -> Submitted:
        rates: Any = dict.fromkeys(("resolved", "escalated", "failed", "abandoned", "denied"), rate)
        draw = Draw(self.plan, self.price(self.plan.model), rates, most, DAY)
        for event in events:
            draw.take(event)
        return await Submission(self.store, self.provider, budget, self.wall)(draw)

    async def collect(self, batch: Batch | None) -> tuple[Batch, Progress | None]:
        """Look until it has ended, or is found to be nothing."""
        assert batch is not None
        found = await self.collects(batch)
        for _ in range(5):
            if not found[0].open or found[1] is None:
                break
            found = await self.collects(found[0])
        return found

    async def claims(self, events: Iterable[Interaction]) -> list[bytes | None]:
        """What stands in the place of each interaction's claim, `None` for nothing (it is then claimed)."""
        store = self.plane_store
        return [await store.claim(identity_of(event), store.ticket(), 1000) or None for event in events]

    async def spent(self) -> Spent:
        return await self.store.spent(DAY)

    def sent(self) -> list[bytes]:
        """What was published, in an order of its own."""
        return sorted(json.dumps(event, sort_keys=True).encode() for event in self.producer.sent)


@asynccontextmanager
async def bench(server: ScriptedServer, url: str, namespace: str, **judge: Any) -> AsyncIterator[Bench]:
    """A bench whose provider is the server."""
    settings = settings_at(server, **judge)
    redis = Redis.from_url(url)
    try:
        async with provider_of(settings, {}, wait_seconds=0.001) as provider:
            yield Bench(settings, redis, namespace, provider)
    finally:
        await redis.aclose()
