"""A night of deliveries: verdicts of a system of its own, the sinks that take them, and what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas.canonical import canonical_json
from schemas.outputs import Undelivered, Verdict
from schemas.words import UNDELIVERED_TOPIC, VERDICTS_TOPIC
from stream.settings import Settings
from stream.sinks.process import Sinks, wall_ms
from tests.support.destinations import Destination
from tests.support.sinks import SECRET, minimal, settings_with, verdict


class Night:
    """One test's system, so that tests share a topic; what is published, and the deliveries that run."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.system = f"s-{uuid.uuid4().hex[:8]}"
        self.sinks: Sinks | None = None

    def settings(self, **sinks: dict[str, str]) -> Settings:
        """Settings of sinks that take this test's verdicts alone, from the first on, under names of their own."""
        common = {
            "SYSTEMS": f'["{self.system}"]', "START_AT": "earliest", "ALLOW_PRIVATE": "true", "PER_MINUTE": "60000",
            "BURST": "1000",
        }  # fmt: skip
        return settings_with(self.bootstrap, **{name: {**common, **keys} for name, keys in sinks.items()})

    def verdict(self, incident: str = "inc_a", revision: int = 0, status: str = "firing", **changes: Any) -> Verdict:
        return verdict(f"{incident}_{self.system}", revision, status, system=self.system, **changes)

    async def publish(self, *verdicts: Verdict, ago_ms: int = 0, stale: bool | None = None) -> None:
        """Publish as the engine does: keyed by incident, and marked where it says whether it speaks of the past."""
        mark = [] if stale is None else [("ce_stale", b"true" if stale else b"false")]
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
            now_ms = wall_ms() - ago_ms
            for one in verdicts:
                await producer.send_and_wait(
                    VERDICTS_TOPIC, canonical_json(one), key=one.incident_id.encode(), timestamp_ms=now_ms, headers=mark
                )

    @contextlib.asynccontextmanager
    async def deliver(self, settings: Settings) -> AsyncIterator[Sinks]:
        """The deliveries, in this process."""
        sinks, stop = Sinks(settings), asyncio.Event()
        running = asyncio.create_task(sinks.run(stop))
        try:
            yield sinks
        finally:
            stop.set()
            await asyncio.wait_for(running, 30)
            await sinks.close()


def name() -> str:
    """A name for a sink: its consumer group must be new."""
    return f"n{uuid.uuid4().hex[:10]}"


def hook(server: Destination, **more: str) -> dict[str, str]:
    return {"KIND": "webhook", "URL": server.url, "SECRET": SECRET, "TIMEOUT_SECONDS": "0.4", **more}


def pager(server: Destination, **more: str) -> dict[str, str]:
    return minimal("pagerduty", URL=server.url + "/v2/enqueue", TIMEOUT_SECONDS="0.4", **more)


async def undelivered(bootstrap: str, sink: str, reason: str) -> list[Undelivered]:
    """What a sink gave up."""
    consumer = AIOKafkaConsumer(UNDELIVERED_TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            while True:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found = [Undelivered.model_validate_json(record.value) for record in records]
                    if mine := [one for one in found if (one.sink, one.reason) == (sink, reason)]:
                        return mine
    finally:
        await consumer.stop()


def metric(sinks: Sinks, what: str, sink: str, **labels: str) -> float:
    return sinks.metrics.registry.get_sample_value(f"midwatch_sink_{what}", {"sink": sink, **labels}) or 0.0
