"""Silences and acknowledgements through the whole engine: from the command line to the verdict, over a wipe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from schemas.canonical import canonical_json
from schemas.words import CONTROLS_TOPIC, DEAD_LETTERS_TOPIC, HEARTBEATS_TOPIC, VERDICTS_TOPIC
from stream.cli import app
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.embedded import EmbeddedKafkaProcess
from stream.settings import Settings
from stream.settings_clients import redis_client
from tests.integration import traffic
from tests.integration.test_engine import Parts, ticks_done
from tests.support.engine import PARTITIONS, Reader, engine, make_topics, send, settings_from, write_config
from tests.support.real_kafka import new_cluster

pytestmark = pytest.mark.timeout(240)
CALM = 100
"""Minutes before the spike."""


@pytest.fixture(params=["embedded", pytest.param("real", marks=[pytest.mark.kafka, pytest.mark.redis])])
def parts(request: pytest.FixtureRequest) -> Iterator[Parts]:
    redis = request.getfixturevalue(f"{request.param}_redis")
    with EmbeddedKafkaProcess() if request.param == "embedded" else new_cluster() as broker:
        yield Parts(broker.bootstrap, redis.url)


class Stage:
    """The engine's surroundings: telemetry by the minute, the command line, what was said."""

    def __init__(self, parts: Parts, config: Path, reader: Reader) -> None:
        self.config = config
        self.minute = 0
        self._bootstrap = parts.bootstrap
        self._reader = reader
        self._number = 0

    async def minutes(self, count: int, *, spiking: bool) -> None:
        """So many minutes of the system `refunds`, evaluated."""
        records = []
        for _ in range(count):
            for slot in range(traffic.PER_MINUTE):
                self._number += 1
                ms = (traffic.START_MINUTE + self.minute) * MINUTE_MS + slot * 7_000
                escalated = self._number % 2 == 0 if spiking else self._number % 25 == 0
                event = traffic._interaction(self._number, ms, "refunds", escalated)
                records.append(("agent.interactions", self._number % PARTITIONS, canonical_json(event), ms))
            self.minute += 1
        await send(self._bootstrap, records)
        await self._reader.until(ticks_done(traffic.START_MINUTE + self.minute - 2))

    async def cli(self, *arguments: str, exit_code: int = 0) -> Any:
        """A command's JSON."""
        command = [*arguments, "--config", str(self.config), "--json"]
        done = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert done.exit_code == exit_code, done.output
        return json.loads(done.stdout) if exit_code == 0 else done.stderr

    async def verdict(self, condition: Any) -> dict[str, Any]:
        """The first verdict for which the condition holds."""
        await self._reader.until(lambda _: any(condition(v) for v in self.verdicts))
        return next(v for v in self.verdicts if condition(v))

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        return [json.loads(r.value) for r in self._reader.records if r.topic == VERDICTS_TOPIC]


async def wipe(settings: Settings) -> None:
    client = redis_client(settings.redis)
    keys = [key async for key in client.scan_iter(match=f"{{{settings.redis.namespace}*")]
    assert keys
    await client.delete(*keys)
    await client.aclose()


async def test_a_silence_holds_over_a_wipe_and_an_acknowledgement_ends_with_its_incident(
    parts: Parts, tmp_path: Path
) -> None:
    """An incident under a silence is muted; a wiped Redis forgets nothing; when it expires, it speaks; then it ends."""
    config = write_config(tmp_path, parts.bootstrap, parts.redis_url)
    settings = settings_from(config)
    await make_topics(settings)
    async with Reader(parts.bootstrap, [VERDICTS_TOPIC, HEARTBEATS_TOPIC]) as reader:
        stage = Stage(parts, config, reader)
        async with engine(config):
            await stage.minutes(CALM, spiking=False)
            matchers = ("--environment", "*", "--system", "refunds", "--for", "20h", "--reason", "fire drill")
            silence = await stage.cli("silences", "add", *matchers, "--by", "ada")
            assert silence["holds_from"] > silence["time"]
            [listed] = (await stage.cli("silences", "list"))["silences"]
            assert (listed["id"], listed["state"], listed["created_by"]) == (silence["id"], "active", "ada")
            await stage.minutes(30, spiking=True)
            first = await stage.verdict(lambda v: v["status"] == "firing")
            assert first["muted"]["id"] == silence["id"]
            assert first["muted"]["reason"] == "fire drill"
            assert first["recommendation"]["requires_approval"]
            incident = first["incident_id"]
            await stage.cli("verdicts", "ack", incident, "--by", "bo", "--note", "on it")
            await stage.minutes(5, spiking=True)
            acked = await stage.verdict(lambda v: "acknowledged" in v)
            assert (acked["incident_id"], acked["acknowledged"]["by"]) == (incident, "bo")
        await wipe(settings)
        async with engine(config):
            await stage.minutes(10, spiking=True)
            assert all("muted" in v for v in stage.verdicts)
            await stage.cli("silences", "expire", silence["id"])
            await stage.minutes(5, spiking=True)
            loud = await stage.verdict(lambda v: "muted" not in v)
            assert (loud["incident_id"], loud["status"], loud["acknowledged"]["by"]) == (incident, "firing", "bo")
            assert "is over" in await stage.cli("silences", "expire", silence["id"], exit_code=1)
            await stage.minutes(60, spiking=False)
            ended = await stage.verdict(lambda v: v["status"] == "resolved")
            assert (ended["incident_id"], "muted" in ended, ended["acknowledged"]["by"]) == (incident, False, "bo")
            assert "is over" in await stage.cli("verdicts", "ack", incident, exit_code=1)
            await stage.minutes(30, spiking=True)
            again = await stage.verdict(lambda v: v["incident_id"] != incident)
            assert "acknowledged" not in again
        said = await stage.cli("verdicts", "confirm", incident, "--cause", "dependency", "--by", "ada")
        assert (said["detector"], said["judgement"]) == ("escalation_rate", "confirmed")
        await stage.cli("verdicts", "refute", again["verdict_id"], "--cause", "legitimate_traffic")
        report = await stage.cli("verdicts", "precision", "--days", "2")
        assert report["by_detector"]["escalation_rate"]["judged"] == 2
        assert report["by_detector"]["escalation_rate"]["precision"] == 0.5
        assert "no verdict" in await stage.cli("verdicts", "confirm", "inc_nobody", exit_code=1)
    by_revision: dict[tuple[str, int], set[bytes]] = {}
    for record in reader.records:
        if record.topic == VERDICTS_TOPIC:
            verdict = json.loads(record.value)
            by_revision.setdefault((verdict["incident_id"], verdict["revision"]), set()).add(record.value)
    assert all(len(bodies) == 1 for bodies in by_revision.values())


async def test_each_topic_takes_its_own_alone(parts: Parts, tmp_path: Path) -> None:
    """A silence among telemetry, and telemetry among controls, are dead letters that say why."""
    config = write_config(tmp_path, parts.bootstrap, parts.redis_url)
    await make_topics(settings_from(config))
    ms = traffic.START_MINUTE * MINUTE_MS
    forged = {
        "type": "silence",
        "id": "sil_forged",
        "time": rfc3339(ms),
        "environment": "*",
        "system": "*",
        "starts_at": rfc3339(ms),
        "ends_at": rfc3339(ms + 3_600_000),
        "reason": "quiet please",
        "created_by": "mallory",
    }
    event = traffic._interaction(1, ms, "refunds", False)
    async with Reader(parts.bootstrap, [DEAD_LETTERS_TOPIC]) as reader, engine(config):
        async with AIOKafkaProducer(bootstrap_servers=parts.bootstrap, acks="all") as producer:
            await producer.send_and_wait("agent.usage", canonical_json(forged), timestamp_ms=ms)
            # A compacted topic takes no record without a key.
            await producer.send_and_wait(CONTROLS_TOPIC, canonical_json(event), key=b"any", timestamp_ms=ms)
        await reader.until(lambda found: len(found) == 2)
    letters = {letter["topic"]: letter for letter in (json.loads(record.value) for record in reader.records)}
    assert {letter["reason"] for letter in letters.values()} == {"unknown_type"}
    assert CONTROLS_TOPIC in letters["agent.usage"]["detail"]
    assert "telemetry goes to its own topics" in letters[CONTROLS_TOPIC]["detail"]
