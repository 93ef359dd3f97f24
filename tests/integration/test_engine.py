"""The engine end to end, on the embedded parts and on the real ones."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from schemas.series import COUNTERS
from schemas.words import HEARTBEATS_TOPIC, VERDICTS_TOPIC
from stream.assembly import machine_factory
from stream.core.checkpoint import load
from stream.core.deltas import unpack
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.embedded import EmbeddedKafkaProcess
from stream.replay import replay
from stream.settings import Settings
from stream.settings_clients import redis_client
from stream.store import Store
from tests.integration import traffic
from tests.support.engine import SHARDS, Reader, engine, make_topics, send, settings_from, write_config
from tests.support.real_kafka import new_cluster

pytestmark = pytest.mark.timeout(240)
END = traffic.MINUTES + 10


@dataclass(frozen=True)
class Parts:
    """A Kafka of this test's own (its topics' names are fixed), and a Redis."""

    bootstrap: str
    redis_url: str


@pytest.fixture(params=["embedded", pytest.param("real", marks=[pytest.mark.kafka, pytest.mark.redis])])
def parts(request: pytest.FixtureRequest) -> Iterator[Parts]:
    redis = request.getfixturevalue(f"{request.param}_redis")
    with EmbeddedKafkaProcess() if request.param == "embedded" else new_cluster() as broker:
        yield Parts(broker.bootstrap, redis.url)


def ticks_done(tick: int) -> Any:
    """Whether every shard's heartbeat has reached a tick."""

    def done(records: list[Any]) -> bool:
        newest: dict[int, str] = {}
        for record in records:
            if record.topic == HEARTBEATS_TOPIC:
                beat = json.loads(record.value)
                newest[beat["shard"]] = max(newest.get(beat["shard"], ""), beat["tick"])
        return len(newest) == SHARDS and min(newest.values()) >= rfc3339(tick * MINUTE_MS)

    return done


def golden(settings: Settings, folder: Path, records: list[traffic.Record]) -> tuple[dict[str, Any], Any]:
    """Verdicts by id, and the totals, of a replay of the same events."""
    path = folder / "events.jsonl"
    path.write_bytes(b"".join(value + b"\n" for _, _, value, _ in records))
    out = io.BytesIO()
    stats = replay([path], settings, out)
    verdicts = {}
    for line in out.getvalue().splitlines():
        record = json.loads(line)
        if record.pop("record") == "verdict":
            verdicts[record["verdict_id"]] = record
    return verdicts, stats.totals


async def totals(settings: Settings) -> dict[str, dict[str, int]]:
    """All counts in the windows, as Redis holds them."""
    client = redis_client(settings.redis)
    store = Store(client, settings.redis.namespace, settings.engine.shards)
    found: dict[str, dict[str, int]] = {}
    try:
        for shard in range(settings.engine.shards):
            meta = await store.meta(shard)
            assert meta is not None
            machine = machine_factory(settings)()
            if meta.checkpoint:
                load(machine, *await store.load(shard))
            token = await store.acquire(shard, "test", 1000)
            assert token is not None, "the engine left its lease behind"
            inboxes = await store.seal(shard, token, 2**40, meta.checkpoint + 1)
            assert inboxes is not None
            deltas = {tick: [unpack(blob) for blob in blobs] for tick, blobs in inboxes.items()}
            for _ in machine.run(deltas, max([*deltas, machine.tick])):
                pass
            for kind, windows in machine.windows.items():
                for block in windows.hour_blocks.values():
                    known = found.setdefault(kind, dict.fromkeys(COUNTERS[kind], 0))
                    for name, amount in zip(COUNTERS[kind], block.counts.sum(axis=0, dtype=int).tolist(), strict=True):
                        known[name] += amount
    finally:
        await client.aclose()
    return found


async def test_two_workers_one_killed_lose_nothing_and_say_nothing_twice(parts: Parts, tmp_path: Path) -> None:
    """A SIGKILL in mid-stream: the verdicts are those of a replay, to the byte, and the windows count every event."""
    config = write_config(tmp_path, parts.bootstrap, parts.redis_url)
    settings = settings_from(config)
    await make_topics(settings)
    records = traffic.records()
    half = len(records) // 2
    last = traffic.closing(END)
    wanted, wanted_totals = golden(settings, tmp_path, records + last)
    async with Reader(parts.bootstrap, [VERDICTS_TOPIC, HEARTBEATS_TOPIC]) as reader:
        async with engine(config), engine(config) as victim:
            await send(parts.bootstrap, records[:half])
            await reader.until(lambda found: any(r.topic == HEARTBEATS_TOPIC for r in found))
            await send(parts.bootstrap, records[half:])
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
            await send(parts.bootstrap, last)
            # The closing events stand at END; what is late by less than the lateness may still come.
            await reader.until(ticks_done(traffic.START_MINUTE + END - 1))
        found = [r for r in reader.records if r.topic == VERDICTS_TOPIC]
    said: dict[str, set[bytes]] = {}
    for record in found:
        said.setdefault(json.loads(record.value)["verdict_id"], set()).add(record.value)
    assert all(len(values) == 1 for values in said.values())
    assert {identity: json.loads(next(iter(values))) for identity, values in said.items()} == {
        identity: verdict
        for identity, verdict in wanted.items()
        if verdict["decided_at"] <= rfc3339((traffic.START_MINUTE + END - 1) * MINUTE_MS)
    }
    assert {v["scope"]["system"] for v in wanted.values()} == {"refunds", "claims"}
    assert await totals(settings) == wanted_totals


async def test_a_wiped_redis_is_rebuilt(parts: Parts, tmp_path: Path) -> None:
    """After a wipe in mid-stream the windows are rebuilt from Kafka, and no verdict is said in two ways."""
    config = write_config(tmp_path, parts.bootstrap, parts.redis_url)
    settings = settings_from(config)
    await make_topics(settings)
    records = traffic.records()
    half = len(records) // 2
    last = traffic.closing(END)
    wanted, wanted_totals = golden(settings, tmp_path, records + last)
    client = redis_client(settings.redis)
    async with Reader(parts.bootstrap, [VERDICTS_TOPIC, HEARTBEATS_TOPIC]) as reader:
        async with engine(config):
            await send(parts.bootstrap, records[:half])
            await reader.until(lambda found: any(r.topic == HEARTBEATS_TOPIC for r in found))
            keys = [key async for key in client.scan_iter(match=f"{{{settings.redis.namespace}*")]
            await client.delete(*keys)
            await send(parts.bootstrap, records[half:] + last)
            await reader.until(ticks_done(traffic.START_MINUTE + END - 1))
        found = [json.loads(r.value) for r in reader.records if r.topic == VERDICTS_TOPIC]
    await client.aclose()
    assert {v["verdict_id"] for v in found} <= wanted.keys()
    assert {v["scope"]["system"] for v in found} == {"refunds", "claims"}
    assert await totals(settings) == wanted_totals
