"""Everything that runs during a fault run, and the doors through which faults come."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.chaos.proxy import Proxy
from benchmarks.chaos.servers import FragileRedis, ProxiedKafka
from benchmarks.chaos.workers import Worker, config_text, settings_from
from stream.settings import Settings
from stream.topics import create_topics, plan_topics
from tests.support.kafka_libs import LibsUnavailable, kafka_libs

WORKERS: Final = 3
SPARE: Final = WORKERS
"""The index of one more worker, that joins and leaves."""


class NotHere(RuntimeError):
    """This machine lacks what the suite runs on; the message says what."""


@dataclass(frozen=True, slots=True)
class World:
    """The servers, the proxies before them, and the workers.

    `redis_proxies` has one for each worker, so that one of them can lose Redis alone; `kafka_proxies` one a broker.
    """

    folder: Path
    kafka: ProxiedKafka
    redis: FragileRedis
    kafka_proxies: list[Proxy]
    redis_proxies: list[Proxy]
    workers: list[Worker]
    spare: Worker
    settings: Settings

    @property
    def proxies(self) -> list[Proxy]:
        """All of them."""
        return [*self.kafka_proxies, *self.redis_proxies]


@asynccontextmanager
async def world(folder: Path, brokers: int) -> AsyncIterator[World]:
    """Start servers and proxies; the workers are there, but not started. Raises NotHere."""
    program = shutil.which("redis-server")
    if program is None:
        raise NotHere("no redis-server: install it")
    if shutil.which("java") is None:
        raise NotHere("no Java for a real Kafka: install a JRE 17 and Maven")
    try:
        libs = await asyncio.to_thread(kafka_libs)
    except LibsUnavailable as why:
        raise NotHere(f"no real Kafka: {why}") from why
    async with AsyncExitStack() as stack:
        redis, kafka = FragileRedis(program), ProxiedKafka(brokers, libs)
        stack.callback(redis.discard)
        stack.callback(redis.kill)
        stack.callback(kafka.stop)
        await asyncio.to_thread(redis.start)
        await asyncio.to_thread(kafka.start)
        kafka_proxies = [
            await stack.enter_async_context(Proxy(node.inner_port, node.proxy_port)) for node in kafka.proxied
        ]
        redis_proxies = [await stack.enter_async_context(Proxy(redis.port)) for _ in range(WORKERS + 1)]
        workers = [
            Worker(index, folder, config_text(kafka.proxied_bootstrap, proxy.port))
            for index, proxy in enumerate(redis_proxies)
        ]
        settings = await _settings(folder, kafka, redis, brokers)
        for worker in workers:
            stack.push_async_callback(worker.stop)
        yield World(
            folder, kafka, redis, kafka_proxies, redis_proxies, workers[:WORKERS], workers[SPARE], settings
        )


async def _settings(folder: Path, kafka: ProxiedKafka, redis: FragileRedis, brokers: int) -> Settings:
    """The same settings, but straight to the servers; and the topics are made."""
    path = folder / "direct.toml"
    path.write_text(config_text(kafka.bootstrap, redis.port), encoding="utf-8")
    settings = settings_from(path)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        # Event times are those of the script, and old: the broker must not clear them away meanwhile.
        plans = [replace(plan, configs={**plan.configs, "retention.ms": "-1"}) for plan in plan_topics(settings.kafka)]
        reports = await create_topics(admin, plans, min(brokers, 3))
    finally:
        await admin.close()
    failed = [f"{report.plan.name}: {report.error}" for report in reports if report.status not in {"created", "exists"}]
    if failed:
        raise NotHere(f"topics could not be made: {'; '.join(failed)}")
    return settings
