"""From one version to the next, and past a damaged state: told to end amid its work, the engine loses nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from schemas.words import HEARTBEATS_TOPIC, SNAPSHOTS_TOPIC, VERDICTS_TOPIC
from stream.core.checkpoint import readable
from stream.core.layouts import LAYOUT, opened
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.embedded import EmbeddedKafkaProcess
from stream.settings import Settings
from stream.settings_clients import redis_client
from stream.store import Store
from tests.integration import traffic
from tests.integration.test_engine import END, golden, ticks_done, totals
from tests.support.checkpoints import as_layout_1
from tests.support.engine import Reader, engine, make_topics, send, settings_from, write_config

pytestmark = pytest.mark.timeout(240)


def in_topic(records: list[Any]) -> set[int]:
    """The shards that the compacted topic holds."""
    return {int(r.key.split(b"/")[-3]) for r in records if r.topic == SNAPSHOTS_TOPIC}


async def as_an_older_version_left_it(settings: Settings, put: set[int]) -> tuple[list[int], int]:
    """Every state in the older layout, but for a `put` one that is damaged; which are the one, which is the other."""
    client = redis_client(settings.redis)
    store = Store(client, settings.redis.namespace, settings.engine.shards)
    try:
        states: dict[int, Any] = {
            shard: await client.get(store.key(shard, "state")) for shard in range(settings.engine.shards)
        }
        damaged = max(put, key=lambda shard: len(states[shard] or b""))
        older = [shard for shard, state in states.items() if state and shard != damaged]
        for shard in older:
            await client.set(store.key(shard, "state"), as_layout_1(states[shard]))
            await client.hset(store.key(shard, "meta"), "layout", "1")
        await client.set(store.key(damaged, "state"), states[damaged][: len(states[damaged]) // 2])
    finally:
        await client.aclose()
    return older, damaged


async def layouts_of(settings: Settings, shards: list[int]) -> set[tuple[int, int]]:
    """The layouts in Redis, as the shard says, and as its state does."""
    client = redis_client(settings.redis)
    store = Store(client, settings.redis.namespace, settings.engine.shards)
    try:
        found = set()
        for shard in shards:
            state: Any = await client.get(store.key(shard, "state"))
            assert readable(state)
            layout: Any = await client.hget(store.key(shard, "meta"), "layout")
            found.add((int(layout), opened(state)[0]))
        return found
    finally:
        await client.aclose()


async def test_the_next_version_takes_over(embedded_redis: Any, tmp_path: Path) -> None:
    """SIGTERM amid the load, states of an older layout, one of them damaged: windows and verdicts are all there."""
    with EmbeddedKafkaProcess() as broker:
        config = write_config(tmp_path, broker.bootstrap, embedded_redis.url)
        settings = settings_from(config)
        await make_topics(settings)
        records, last = traffic.records(), traffic.closing(END)
        half = len(records) // 2
        wanted, wanted_totals = golden(settings, tmp_path, records + last)
        async with Reader(broker.bootstrap, [VERDICTS_TOPIC, HEARTBEATS_TOPIC, SNAPSHOTS_TOPIC]) as reader:
            async with engine(config) as process:
                await send(broker.bootstrap, records[:half])
                # A shard is put into the compacted topic as soon as it has evaluated something.
                await reader.until(lambda found: len(in_topic(found)) > 1)
                await send(broker.bootstrap, records[half:])
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
            older, damaged = await as_an_older_version_left_it(settings, in_topic(reader.records))
            assert older, "nothing was left to bring on"
            async with engine(config):
                await send(broker.bootstrap, last)
                await reader.until(ticks_done(traffic.START_MINUTE + END - 1))
        said: dict[str, set[bytes]] = {}
        for record in reader.records:
            if record.topic == VERDICTS_TOPIC:
                said.setdefault(json.loads(record.value)["verdict_id"], set()).add(record.value)
        assert all(len(values) == 1 for values in said.values())
        end = rfc3339((traffic.START_MINUTE + END - 1) * MINUTE_MS)
        assert {identity: json.loads(next(iter(values))) for identity, values in said.items()} == {
            identity: verdict for identity, verdict in wanted.items() if verdict["decided_at"] <= end
        }
        assert await layouts_of(settings, [*older, damaged]) == {(LAYOUT, LAYOUT)}
        assert await totals(settings) == wanted_totals
    lines = [json.loads(line) for path in tmp_path.glob("*.log") for line in path.read_text().splitlines()]  # noqa: ASYNC240
    assert [line["shard"] for line in lines if line["event"] == "state_unreadable"] == [damaged]
    rebuilt = [(line["shard"], line["source"]) for line in lines if line["event"] == "shard_rebuilt"]
    assert rebuilt == [(damaged, "snapshot")]
