"""A running `midwatch run` for tests: its configuration, its process, what goes in and what comes out."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from schemas.base import JsonObject
from schemas.canonical import canonical_json
from stream.settings import Settings, load_settings
from stream.topics import create_topics, plan_topics

PARTITIONS = 4
SHARDS = 4
PATIENCE_SECONDS = 120.0


def write_config(folder: Path, bootstrap: str, redis_url: str, **engine: Any) -> Path:
    """A configuration whose time is the telemetry's own, so that a test decides how late it is."""
    quick = {"checkpoint_ticks": 5, "lease_seconds": 2.0, "stuck_seconds": 20.0, "stop_seconds": 60.0}
    lines = {"clock": '"stream"', "shards": SHARDS, **quick, **engine}
    path = folder / "midwatch.toml"
    path.write_text(
        "\n".join(
            [
                "[kafka]",
                f'bootstrap_servers = "{bootstrap}"',
                f"partitions = {PARTITIONS}",
                "max_batch_records = 500",
                "session_timeout_ms = 6000",
                "[redis]",
                f'url = "{redis_url}"',
                f'namespace = "{folder.name}"',
                "[engine]",
                *(f"{key} = {value}" for key, value in lines.items()),
                "[http]",
                "port = 0",
                "[dashboard]",
                "enabled = false",
            ]
        ),
        encoding="utf-8",
    )
    return path


def settings_from(path: Path) -> Settings:
    """The settings in a file."""
    return load_settings(path, {})


async def make_topics(settings: Settings) -> None:
    """All of Midwatch's topics, which keep everything: a real broker deletes at once what is older than its retention.

    The telemetry of these tests is of a fixed date, long ago.
    """
    plans = [replace(plan, configs={**plan.configs, "retention.ms": "-1"}) for plan in plan_topics(settings.kafka)]
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await admin.start()
    try:
        reports = await create_topics(admin, plans, 1)
    finally:
        await admin.close()
    assert all(report.status in {"created", "exists"} for report in reports), reports


@asynccontextmanager
async def engine(config: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The engine as a process of its own; ended with SIGTERM, its log kept beside the configuration."""
    log = config.with_name(f"{config.stem}-{os.urandom(4).hex()}.log")
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stream.cli", "run", "--config", str(config), *arguments,
            stdout=sink, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 30)


async def send(bootstrap: str, records: Iterable[tuple[str, int, bytes, int]]) -> None:
    """Produce (topic, partition, value, timestamp ms) without keys, in the order of each partition."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5) as producer:
        futures = [
            await producer.send(topic, value, partition=partition, timestamp_ms=at)
            for topic, partition, value, at in records
        ]
        await asyncio.gather(*futures)


class Reader:
    """Reads topics from their beginning and keeps all that came."""

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self.records: list[Any] = []
        self._consumer = AIOKafkaConsumer(
            *topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._consumer.stop()

    async def until(self, condition: Callable[[list[Any]], bool]) -> list[Any]:
        """Read until the condition holds for all that came. Raises TimeoutError if it never does."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(self.records):
                for batch in (await self._consumer.getmany(timeout_ms=500)).values():
                    self.records += batch
        return self.records


def line(event: JsonObject) -> bytes:
    """An event's bytes."""
    return canonical_json(event)
