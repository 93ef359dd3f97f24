"""An engine that does not get on ends, soon, and says what hangs, since when, and what to do."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from schemas.words import HEARTBEATS_TOPIC
from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis
from stream.watchdog import EXIT_STUCK
from tests.integration import traffic
from tests.support.engine import Reader, engine, make_topics, send, settings_from, write_config

pytestmark = pytest.mark.timeout(240)
STUCK_SECONDS = 10.0
PATIENCE_SECONDS = 60.0


class Case:
    """An engine that has begun to work, with servers of its own, and its last words."""

    def __init__(self, folder: Path, kafka: EmbeddedKafkaProcess, redis: EmbeddedRedis) -> None:
        self.kafka = kafka
        self.redis = redis
        self._folder = folder
        self.process: asyncio.subprocess.Process | None = None

    async def last_words(self) -> str:
        """What it says when it has ended by itself."""
        assert self.process is not None
        assert await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS) == EXIT_STUCK
        [log] = self._folder.glob("*.log")
        return log.read_text()


@asynccontextmanager
async def at_work(folder: Path, **more: float) -> AsyncIterator[Case]:
    folder.mkdir()  # noqa: ASYNC240  # an empty directory, on this machine
    with EmbeddedKafkaProcess(auto_create_topics=False) as kafka, EmbeddedRedis() as redis:
        config = write_config(folder, kafka.bootstrap, redis.url, **{"stuck_seconds": STUCK_SECONDS, **more})
        await make_topics(settings_from(config))
        case = Case(folder, kafka, redis)
        async with engine(config) as case.process:
            async with Reader(kafka.bootstrap, [HEARTBEATS_TOPIC]) as reader:
                await send(kafka.bootstrap, traffic.records()[:600])
                await reader.until(bool)
            try:
                yield case
            finally:
                for server in (kafka, redis):
                    os.kill(server.pid, signal.SIGCONT)


async def frozen_broker(folder: Path) -> str:
    """The broker is stopped like a machine that hangs: connections stay, nothing comes."""
    async with at_work(folder) as case:
        os.kill(case.kafka.pid, signal.SIGSTOP)
        return await case.last_words()


async def hung_redis(folder: Path) -> str:
    """The same for Redis, while telemetry waits."""
    async with at_work(folder) as case:
        os.kill(case.redis.pid, signal.SIGSTOP)
        await send(case.kafka.bootstrap, traffic.records()[600:1200])
        return await case.last_words()


async def refused_writes(folder: Path) -> str:
    """Kafka answers and gives telemetry, but takes nothing on a topic of ours."""
    async with at_work(folder) as case:
        admin = AIOKafkaAdminClient(bootstrap_servers=case.kafka.bootstrap)
        await admin.start()
        await admin.delete_topics([HEARTBEATS_TOPIC])
        await admin.close()
        await send(case.kafka.bootstrap, traffic.records()[600:1200])
        return await case.last_words()


async def hung_end(folder: Path) -> str:
    """Redis hangs when the engine is told to end."""
    async with at_work(folder, stop_seconds=1.0, stuck_seconds=600.0) as case:
        os.kill(case.redis.pid, signal.SIGSTOP)
        assert case.process is not None
        case.process.send_signal(signal.SIGTERM)
        return await case.last_words()


async def hung_start(folder: Path) -> str:
    """It is told to end while it starts, and waits for a Redis that takes connections and says nothing."""
    folder.mkdir()  # noqa: ASYNC240
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.read(1)
            asked.set()
            await reader.read()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0"
    with EmbeddedKafkaProcess(auto_create_topics=False) as kafka, EmbeddedRedis() as redis:
        config = write_config(folder, kafka.bootstrap, url, stop_seconds=1.0, stuck_seconds=600.0)
        await make_topics(settings_from(config))
        case = Case(folder, kafka, redis)
        async with silent, engine(config) as case.process:
            await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
            case.process.send_signal(signal.SIGTERM)
            return await case.last_words()


async def test_a_stuck_engine_ends_and_says_why(tmp_path: Path) -> None:
    """Each kind of it, side by side: exit code 75, what is stuck and since when, who is silent, what to do."""
    kinds = (frozen_broker, hung_redis, refused_writes, hung_end, hung_start)
    said = dict(zip(kinds, await asyncio.gather(*(kind(tmp_path / kind.__name__) for kind in kinds)), strict=True))
    for ending in (hung_end, hung_start):
        assert "told to end, and not done within 1 s" in said[ending]
    for words in (said[kind] for kind in (frozen_broker, hung_redis, refused_writes)):
        assert "is stuck: no progress for" in words
        assert f"exiting with code {EXIT_STUCK}" in words
        assert "kafka at 127.0.0.1:" in words
        assert "redis at redis://127.0.0.1:" in words
        assert "what waits for what:\n" in words
    assert "to do: see whether the brokers run" in said[frozen_broker]
    assert "to do: see whether Redis runs" in said[hung_redis]
    assert "evaluation (ticks from Redis, verdicts to Kafka) is stuck" in said[refused_writes]
    assert "to do: Kafka answers, but does not take what is written" in said[refused_writes]
