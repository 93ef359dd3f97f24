"""An engine that was off for hours: it says of the past what it would have said, and pages for the present alone."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.words import HEARTBEATS_TOPIC, VERDICTS_TOPIC
from stream.clock import wall_ms
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.embedded import EmbeddedKafkaProcess
from stream.replay import replay
from stream.settings import Settings
from stream.sinks.process import Sinks
from stream.worker import Worker
from tests.support.destinations import destination
from tests.support.engine import Reader, make_topics, send, settings_from, write_config
from tests.support.outage import Outage, Record
from tests.support.sinks import minimal, settings_with

pytestmark = pytest.mark.timeout(240)
SHARDS = 1


@pytest.fixture
def broker() -> Iterator[EmbeddedKafkaProcess]:
    """A Kafka of the test's own: the topics' names are fixed."""
    with EmbeddedKafkaProcess() as found:
        yield found


@contextlib.asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """A worker in this process, told to stop at the end."""
    stop = asyncio.Event()
    running = asyncio.create_task(Worker(settings).run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(running, 60)


def reached(tick: int) -> Callable[[list[Any]], bool]:
    """Whether every shard's heartbeat has reached a tick."""

    def done(records: list[Any]) -> bool:
        beats = [json.loads(record.value) for record in records if record.topic == HEARTBEATS_TOPIC]
        return len({beat["shard"] for beat in beats if beat["tick"] >= rfc3339(tick * MINUTE_MS)}) == SHARDS

    return done


def golden(settings: Settings, folder: Path, records: list[Record]) -> dict[str, Any]:
    """The verdicts of an engine that was never off, by id."""
    path, out = folder / "events.jsonl", io.BytesIO()
    path.write_bytes(b"".join(value + b"\n" for _, _, value, _ in records))
    replay([path], settings, out)
    said = [json.loads(line) for line in out.getvalue().splitlines()]
    return {one["verdict_id"]: one for one in said if one.pop("record") == "verdict"}


def stale(record: Any) -> bool:
    return bool(dict(record.headers)["ce_stale"] == b"true")


@pytest.mark.parametrize("hours", [6, 24])
async def test_the_past_is_said_and_marked_and_the_present_pages(
    hours: int, broker: EmbeddedKafkaProcess, embedded_redis: Any, tmp_path: Path
) -> None:
    """Verdicts equal to the byte those without an outage; the pager hears of what goes on, once, and nothing else."""
    more = {"clock": '"wall"', "shards": SHARDS, "stuck_seconds": 600.0}
    config = write_config(tmp_path, broker.bootstrap, embedded_redis.url, **more)
    settings = settings_from(config)
    await make_topics(settings)
    outage = Outage(wall_ms() // MINUTE_MS, hours)
    wanted = golden(settings, tmp_path, outage.before() + outage.missed())
    async with contextlib.AsyncExitStack() as stack:
        pager = await stack.enter_async_context(destination("pager", answer=202))
        topics = [VERDICTS_TOPIC, HEARTBEATS_TOPIC]
        reader = await stack.enter_async_context(Reader(broker.bootstrap, topics))
        keys = minimal("pagerduty", URL=pager.url + "/v2/enqueue", START_AT="earliest", ALLOW_PRIVATE="true")
        sinks, stop = Sinks(settings_with(broker.bootstrap, pager=keys)), asyncio.Event()
        stack.push_async_callback(sinks.close)
        await send(broker.bootstrap, outage.before())
        # Its clock stood at the end of this telemetry then; that of the wall would make the outage a silence.
        engine = settings.engine.model_copy(update={"clock": "stream"})
        async with working(settings.model_copy(update={"engine": engine})):
            await reader.until(reached(outage.off - 1))
        delivering = asyncio.create_task(sinks.run(stop))
        await send(broker.bootstrap, outage.missed())
        async with working(settings):
            await reader.until(reached(outage.end))
            await pager.until(lambda it: bool(it.taken))
        stop.set()
        await delivering
    said = [record for record in reader.records if record.topic == VERDICTS_TOPIC]
    bodies: dict[str, set[bytes]] = {}
    for record in said:
        bodies.setdefault(json.loads(record.value)["verdict_id"], set()).add(record.value)
    assert all(len(values) == 1 for values in bodies.values())
    found = {identity: json.loads(next(iter(values))) for identity, values in bodies.items()}
    last = rfc3339(outage.end * MINUTE_MS)
    assert {i: v for i, v in found.items() if v["decided_at"] <= last} == {
        i: v for i, v in wanted.items() if v["decided_at"] <= last
    }
    verdicts = [(json.loads(record.value), stale(record)) for record in said]
    present = rfc3339((outage.end - 30) * MINUTE_MS)
    assert {v["scope"]["system"] for v, _ in verdicts} == {"long-ago", "just-over", "ongoing"}
    assert all(old for v, old in verdicts if v["scope"]["system"] != "ongoing" and v["decided_at"] < present)
    standing = [v for v, old in verdicts if not old and v["decided_at"] < present]
    assert {v["scope"]["system"] for v in standing} == {"ongoing"}
    heard = [(one.json["event_action"], one.json["dedup_key"]) for one in pager.taken]
    [ongoing] = {v["incident_id"] for v, _ in verdicts if v["scope"]["system"] == "ongoing"}
    assert heard == [("trigger", ongoing)]
