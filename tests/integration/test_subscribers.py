"""The example subscribers, each with its own client: they page once, say when it is over, and go on after a restart."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.canonical import canonical_json
from schemas.outputs import Muted, Verdict
from schemas.words import VerdictStatus
from tests.support.node import node_example
from tests.unit.test_cli_verdicts_text import example

PYTHON = Path(__file__).parents[2] / "deploy/subscribers/python"
CLIENTS = ("aiokafka", "confluent", "kafkajs")
MUTED = Muted(by="silence", id="sil_x", reason="planned")


def verdict(incident: str, revision: int, status: VerdictStatus, muted: Muted | None = None) -> Verdict:
    changes = {"incident_id": incident, "revision": revision, "status": status, "muted": muted}
    return example().model_copy(update=changes)


STORY = (
    verdict("inc_a", 0, "firing"),
    verdict("inc_a", 0, "firing"),  # the same again, as after a crash between emitting and committing
    verdict("inc_a", 1, "updated"),
    verdict("inc_a", 2, "updated", MUTED),
    verdict("inc_a", 1, "updated"),  # older than what was dealt with
    verdict("inc_a", 3, "updated"),
    verdict("inc_a", 4, "resolved"),
    verdict("inc_b", 0, "firing", MUTED),
    verdict("inc_b", 1, "resolved", MUTED),
)
SENT = [("inc_a", "trigger"), ("inc_a", "update"), ("inc_a", "resolve"), ("inc_a", "trigger"), ("inc_a", "resolve")]


async def publish(bootstrap: str, topic: str, verdicts: tuple[Verdict, ...]) -> None:
    """As the engine does: keyed by incident, canonical JSON."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        for one in verdicts:
            await producer.send_and_wait(topic, canonical_json(one), key=one.incident_id.encode())
    finally:
        await producer.stop()


async def new_topic(bootstrap: str) -> str:
    """A topic of the test's own, of two partitions."""
    name = f"verdicts-{secrets.token_hex(6)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 2, 1)])
    finally:
        await admin.close()
    return name


def command(client: str) -> list[str]:
    if client == "kafkajs":
        return ["node", str(node_example() / "subscriber.mjs")]
    return [sys.executable, str(PYTHON / f"with_{client}.py")]


async def subscribe(client: str, bootstrap: str, topic: str, how_many: int) -> list[dict[str, Any]]:
    """Run an example until it has read so many verdicts; what it sends."""
    process = await asyncio.create_subprocess_exec(
        *command(client),
        bootstrap,
        str(how_many),
        env={**os.environ, "VERDICTS_TOPIC": topic, "KAFKAJS_NO_PARTITIONER_WARNING": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("client", CLIENTS)
async def test_an_example_pages_once_and_goes_on(client: str, kafka: Any) -> None:
    """Repeats, late revisions and silenced incidents page nobody; a second run begins behind the first."""
    topic = await new_topic(kafka.bootstrap)
    await publish(kafka.bootstrap, topic, STORY)
    sent = await subscribe(client, kafka.bootstrap, topic, len(STORY))
    assert [(one["dedup_key"], one["send"]) for one in sent] == SENT
    assert sent[0]["text"] == "41 of 300 escalated in 30 min, 13.7 % against 4.1 %"
    await publish(kafka.bootstrap, topic, (verdict("inc_c", 0, "firing"),))
    again = await subscribe(client, kafka.bootstrap, topic, 1)
    assert [(one["dedup_key"], one["send"]) for one in again] == [("inc_c", "trigger")]
