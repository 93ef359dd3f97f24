"""The batch commands' work: from settings to clients, and back to what is told."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from evaluation.batch_collect import Collection
from evaluation.batch_plan import Plan
from evaluation.batch_price import BatchPrice
from evaluation.batch_provider import LOOK_SECONDS, Provider
from evaluation.batch_sources import Range, SourceRead, read_file, read_range
from evaluation.batch_store import Batch, BatchStore
from evaluation.batch_submit import Draw, Submission, Submitted
from evaluation.budget import PlaneStore
from evaluation.build import JudgeConfigError, make_client
from evaluation.criteria import load_criteria
from evaluation.pacing import DAY_SECONDS
from evaluation.publish import ScorePublisher
from evaluation.purse import budget_of
from stream.settings import Settings
from stream.settings_clients import kafka_options, redis_client

MOST_RESULT_BYTES: Final = 8_000_000_000
"""Longest result file that is read; it is never held as a whole."""

PUBLISH_SECONDS: Final = 60.0
MOST_RECORDS: Final = 5_000_000
"""Most records of Kafka that are read for one batch."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or Kafka where there is none, and the range of time to take of it."""

    path: Path | None
    when: Range


@dataclass(frozen=True, slots=True)
class Begun:
    """What was read, drawn and begun."""

    read: SourceRead
    draw: Draw
    submitted: Submitted


@asynccontextmanager
async def provider_of(
    settings: Settings, environ: Mapping[str, str], wait_seconds: float = LOOK_SECONDS
) -> AsyncIterator[Provider]:
    """The provider's Batch API. Raises JudgeConfigError."""
    if settings.judge.provider == "scripted":
        raise JudgeConfigError(
            'judge.provider = "scripted" has no Batch API: name a model in [judge], or judge live by `evaluate run`'
        )
    client = make_client(settings.judge, environ, MOST_RESULT_BYTES)
    try:
        yield Provider(client, wait_seconds)
    finally:
        await client.close()


@asynccontextmanager
async def store_of(settings: Settings) -> AsyncIterator[tuple[Redis, BatchStore]]:
    """Redis, and the batches in it."""
    redis = redis_client(settings.redis)
    try:
        yield redis, BatchStore(redis, settings.redis.namespace)
    finally:
        await redis.aclose()


async def submit(
    settings: Settings,
    environ: Mapping[str, str],
    source: Source,
    *,
    every: bool,
    dry_run: bool,
    wall: Callable[[], float] = time.time,
) -> Begun:
    """Begin a batch of a source. `every` judges all interactions, not a sample; `dry_run` only says what would be.

    Raises CriteriaError, JudgeConfigError, SourceError, BatchError, OSError, KafkaError, RedisError.
    """
    sampling = settings.sampling
    plan = Plan.of(settings.judge, load_criteria(settings.judge.criteria_file, settings.judge.criteria))
    rates = dict.fromkeys(sampling.rates(), 1.0) if every else sampling.rates()
    draw = Draw(plan, _price(settings)(plan.model), rates, sampling.batch_interactions, int(wall() // DAY_SECONDS))
    budget = budget_of(sampling.batch_tokens_per_day, sampling.batch_usd_per_day)
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(provider_of(settings, environ))
        _, store = await stack.enter_async_context(store_of(settings))
        await store.batches()  # Redis is asked before anything is read: without it nothing can be begun.
        if source.path is not None:
            read = read_file(source.path, settings, source.when, draw.take)
        else:
            read = await read_range(settings, source.when, MOST_RECORDS, draw.take)
        submitted = await Submission(store, None if dry_run else provider, budget, wall)(draw)
    return Begun(read, draw, submitted)


@asynccontextmanager
async def collection(
    settings: Settings, environ: Mapping[str, str], wall: Callable[[], float] = time.time
) -> AsyncIterator[tuple[BatchStore, Collection]]:
    """What collects batches. Raises JudgeConfigError, KafkaError."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(provider_of(settings, environ))
        redis, store = await stack.enter_async_context(store_of(settings))
        await store.batches()
        producer = AIOKafkaProducer(**kafka_options(settings.kafka), acks="all", enable_idempotence=True, linger_ms=5)
        await producer.start()
        stack.push_async_callback(producer.stop)
        memory = PlaneStore(redis, settings.redis.namespace, "batch", time.monotonic)
        publisher = ScorePublisher(producer, PUBLISH_SECONDS)
        price, most_line = _price(settings), settings.judge.max_answer_bytes
        yield store, Collection(store, provider, publisher, price, memory, most_line, wall)


async def batches(settings: Settings) -> list[Batch]:
    """All batches that are remembered. Raises RedisError."""
    async with store_of(settings) as (_, store):
        return await store.batches()


def _price(settings: Settings) -> Callable[[str], BatchPrice]:
    book, share = settings.price_book(), settings.sampling.batch_price_share
    return lambda model: BatchPrice(book, model, share)
