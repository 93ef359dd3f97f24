"""The engine on a Redis Cluster: a master dies with what it had not passed on, and no verdict shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.words import HEARTBEATS_TOPIC, VERDICTS_TOPIC
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.embedded import EmbeddedKafkaProcess
from tests.integration import traffic
from tests.integration.test_engine import END, golden, ticks_done, totals
from tests.support.engine import Reader, engine, make_topics, send, settings_from, write_config
from tests.support.redis_cluster import PASSWORD, USER, RedisCluster, stop_replication

pytestmark = [pytest.mark.timeout(240), pytest.mark.redis]


def configured(folder: Path, bootstrap: str, url: str) -> Path:
    """A configuration for the cluster, under the rules that are shipped."""
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    config = write_config(folder, bootstrap, url)
    keys = f'mode = "cluster"\nusername = "{USER}"\npassword_file = "{folder / "password"}"\n'
    config.write_text(config.read_text(encoding="utf-8").replace("[redis]\n", f"[redis]\n{keys}"), encoding="utf-8")
    return config


def tick_of_shard(shard: int, records: list[Any]) -> str:
    """The newest tick that a shard's heartbeats name."""
    beats = [json.loads(record.value) for record in records if record.topic == HEARTBEATS_TOPIC]
    return max((beat["tick"] for beat in beats if beat["shard"] == shard), default="")


def taken_at(shard: int, folder: Path) -> str:
    """The tick at which the engine's log says that a shard was taken the last time."""
    (log,) = folder.glob("*.log")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    ticks = [line["tick"] for line in lines if line["event"] == "shard_taken" and line["shard"] == shard]
    return rfc3339(ticks[-1] * MINUTE_MS)


async def test_a_master_that_dies_with_its_last_writes_changes_no_verdict(
    redis_cluster: RedisCluster, tmp_path: Path
) -> None:
    """Its replica lacks offsets, inboxes and ticks; they come from Kafka again, and all is as if nothing had been."""
    with EmbeddedKafkaProcess() as broker:
        config = configured(tmp_path, broker.bootstrap, redis_cluster.url)
        settings = settings_from(config)
        await make_topics(settings)
        records, last = traffic.records(), traffic.closing(END)
        half, most = len(records) // 2, len(records) * 3 // 4
        wanted, wanted_totals = golden(settings, tmp_path, records + last)
        master = redis_cluster.master_of(f"{{{settings.redis.namespace}:0}}:meta")
        async with Reader(broker.bootstrap, [VERDICTS_TOPIC, HEARTBEATS_TOPIC]) as reader, engine(config):
            await send(broker.bootstrap, records[:half])
            await reader.until(lambda found: bool(tick_of_shard(0, found)))
            with stop_replication(master):
                passed_on = tick_of_shard(0, reader.records)
                await send(broker.bootstrap, records[half:most])
                await reader.until(lambda found: tick_of_shard(0, found) > passed_on)
                before_death = tick_of_shard(0, reader.records)
                master.kill()
            await send(broker.bootstrap, records[most:] + last)
            await reader.until(ticks_done(traffic.START_MINUTE + END - 1))
            found = [record for record in reader.records if record.topic == VERDICTS_TOPIC]
        assert await totals(settings) == wanted_totals
    said: dict[str, set[bytes]] = {}
    for record in found:
        said.setdefault(json.loads(record.value)["verdict_id"], set()).add(record.value)
    assert all(len(values) == 1 for values in said.values())
    upto = rfc3339((traffic.START_MINUTE + END - 1) * MINUTE_MS)
    expected = {identity for identity, verdict in wanted.items() if verdict["decided_at"] <= upto}
    assert said.keys() == expected
    assert taken_at(0, tmp_path) < before_death, "no commit was lost, so nothing was shown"
