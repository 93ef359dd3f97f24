"""The demonstration's evaluation plane: it scores what is about to be played, and its scores are played along.

Sampler, judge, budget and claims are those of `midwatch evaluate run`; only what feeds them is not. That process reads
interactions from Kafka and has its scores there a moment later: at 300 times the clock, minutes later, and never the
same number of them when a verdict falls due. Here a stretch of interactions is drawn and judged before it is played,
at the time that the events say, and the scores join it in the order of their time. So the same seed has the same scores
at the same place, whatever the judge's answers take and however many are waited for at once.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from evaluation.budget import PlaneStore
from evaluation.build import build_judge
from evaluation.criteria import load_criteria
from evaluation.judgement import Judge
from evaluation.metrics import PlaneMetrics
from evaluation.pacing import Spent
from evaluation.plane import Plane
from evaluation.publish import ScorePublisher
from evaluation.purse import Purse, budget_of
from evaluation.scoring import SCRIPTED_PREFIX
from scenarios.fleet import encode
from scenarios.fleet_events import Emitted
from schemas.base import JsonObject
from schemas.series import MICRO_USD
from stream.adapters import Decoder
from stream.adapters.decoder import Limits
from stream.adapters.native import Interaction
from stream.settings import Settings
from stream.settings_clients import redis_client
from stream.settings_sampling import SamplingSettings

PACE_SECONDS = 60.0
"""How often, in event time, the sampling is fitted to the budget."""

PUBLISH_SECONDS = 30.0


@dataclass(slots=True)
class Counts:
    """Interactions that were seen, sampled, and sampled in vain; and what today's judging took."""

    seen: int = 0
    sampled: int = 0
    unscored: int = 0
    spent: Spent = field(default_factory=Spent)


class Scores:
    """Holds scores until their stretch is played: what a `ScorePublisher` takes for its producer."""

    def __init__(self) -> None:
        self._held: list[Emitted] = []

    async def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, *, timestamp_ms: int | None = None
    ) -> asyncio.Future[object]:
        """Take one in."""
        if value is None or timestamp_ms is None:
            raise ValueError(f"a score has a value and a time, unlike that of {key!r} for {topic}")
        self._held.append(Emitted(timestamp_ms, msgspec.json.decode(value)))
        held: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        held.set_result(None)
        return held

    def taken(self) -> list[Emitted]:
        """All that are held, which then are no longer."""
        taken, self._held = self._held, []
        return taken


class Evaluation:
    """Judges a sample of each stretch of events, and counts."""

    def __init__(self, settings: Settings, judge: Judge, store: PlaneStore) -> None:
        sampling, metrics = settings.sampling, PlaneMetrics()
        budget = budget_of(sampling.tokens_per_day, sampling.usd_per_day)
        self._model = settings.judge.model
        self._now = 0.0
        self._counts = Counts()
        self._scores = Scores()
        self._decoder = Decoder(Limits(max_future_ms=None, max_age_ms=None))
        self._room = asyncio.Semaphore(sampling.concurrency)
        self._purse = Purse("sample", budget, sampling.expected_tokens, 0, store, metrics, lambda: self._now)
        self._plane = Plane(
            judge, load_criteria(None), ScorePublisher(self._scores, PUBLISH_SECONDS), store, self._purse, sampling,
            metrics, lambda: self._now,
        )  # fmt: skip
        self._plane.pace_seconds = PACE_SECONDS

    def draw_at(self, sampling: SamplingSettings) -> None:
        """Draw at these rates from now on, and count anew what is seen and sampled; the day's budget goes on."""
        self._plane.rates = sampling.rates()
        self._counts = Counts(spent=self._counts.spent)

    async def join(self, events: Sequence[Emitted]) -> list[Emitted]:
        """The events of a stretch with the scores of a sample of them, by time. Stretches come in order, in one day."""
        drawn: list[tuple[Interaction, JsonObject]] = []
        for event in self._interactions(events):
            self._counts.seen += 1
            self._now = event.time / 1000
            sampling = await self._plane.draw(event)
            if sampling is not None:
                drawn.append((event, sampling))
        if not drawn:
            return list(events)
        self._counts.sampled += len(drawn)
        async with asyncio.TaskGroup() as tasks:
            for event, sampling in drawn:
                tasks.create_task(self._score(event, sampling))
        self._counts.spent = await self._purse.show() or self._counts.spent
        return sorted([*events, *self._scores.taken()], key=_order)

    def _interactions(self, events: Sequence[Emitted]) -> list[Interaction]:
        records = [(encode(one.event), (), one.time_ms) for one in events if one.event["type"] == "interaction"]
        batch = self._decoder.decode_batch(records)
        if batch.rejections:
            raise ValueError(f"the fleet wrote an interaction that cannot be read: {batch.rejections[0][1]}")
        return [event for event in batch.events if isinstance(event, Interaction)]

    def told(self) -> str:
        """What was sampled since the rates were set, and what the judge took today, by the clock of the events."""
        counts, budget = self._counts, self._purse.budget
        scripted = self._model.startswith(SCRIPTED_PREFIX)
        thinned = f", thinned to {self._plane.factor:.0%}" if self._plane.factor < 1 else ""
        vain = f", {counts.unscored:,} of them without a score" if counts.unscored else ""
        limit = "" if budget.tokens is None else f" of {budget.tokens:,}"
        dollars = f"${counts.spent.micro_usd / MICRO_USD:,.2f}"
        return (
            f"judge: {counts.sampled:,} of {counts.seen:,} interactions sampled{thinned}{vain}, "
            f"{counts.spent.tokens:,}{limit} tokens today, {dollars} {'scripted' if scripted else self._model}"
        )

    async def _score(self, event: Interaction, sampling: JsonObject) -> None:
        async with self._room:
            judgements = await self._plane.score(event, sampling, self._purse)
        self._counts.unscored += not any(one.status == "scored" for one in judgements)


@asynccontextmanager
async def open_evaluation(settings: Settings, judge: Judge | None = None) -> AsyncIterator[Evaluation]:
    """An evaluation with the Redis of the settings, and their judge if none is given. Raises `JudgeConfigError`."""
    async with AsyncExitStack() as stack:
        judge = build_judge(settings, os.environ) if judge is None else judge
        stack.push_async_callback(judge.aclose)
        redis = redis_client(settings.redis)
        stack.push_async_callback(redis.aclose)
        yield Evaluation(settings, judge, PlaneStore(redis, settings.redis.namespace, "demo", time.monotonic))


def _order(emitted: Emitted) -> tuple[int, str, str]:
    return emitted.time_ms, emitted.event["type"], emitted.event["id"]
