"""The demonstration on its real parts: embedded broker, Redis, and the engine as `midwatch run`."""

import asyncio
import html
import io
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rich.console import Console

from scenarios import demo_stage
from scenarios.demo import INTERRUPTED
from scenarios.demo_engine import PARTITIONS, EngineError, engine_process
from scenarios.demo_judge import judge
from scenarios.demo_kafka import listener, make_topics, player
from scenarios.demo_stage import Plan, open_stage
from scenarios.fleet import Fleet, encode
from scenarios.fleet_model import HOUR_MS, MINUTE_MS
from scenarios.fleet_systems import ORDERS, REFUNDS
from scenarios.incidents import happenings, incidents
from schemas.canonical import canonical_json
from schemas.outputs import Engine, Heartbeat
from schemas.words import HEARTBEATS_TOPIC, INPUT_TOPICS, TOPIC_OF_TYPE, VERDICTS_TOPIC
from stream.embedded import EmbeddedKafka
from tests.unit.scenarios.verdict_samples import at, right

ROOT = Path(__file__).resolve().parents[2]
LIVE = Plan().live_start_ms


@pytest.fixture
async def bootstrap() -> AsyncIterator[str]:
    async with EmbeddedKafka() as broker:
        await make_topics(broker.bootstrap)
        yield broker.bootstrap


def quiet() -> Console:
    return Console(file=io.StringIO(), width=160)


async def test_the_player_sends_every_event_once_without_keys_over_all_partitions(bootstrap: str) -> None:
    """Each event lies in the topic of its type, byte for byte, at its event time, with no key, on every partition."""
    events = list(Fleet(1, (REFUNDS,)).events(LIVE, LIVE + HOUR_MS))
    async with player(bootstrap) as fleet_player:
        await fleet_player.send(events)
    consumer = AIOKafkaConsumer(*INPUT_TOPICS, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        records = [await consumer.getone() for _ in events]
    finally:
        await consumer.stop()
    sent = Counter((TOPIC_OF_TYPE[event["type"]], encode(event), time_ms, None) for time_ms, event in events)
    assert Counter((record.topic, record.value, record.timestamp, record.key) for record in records) == sent
    assert {record.partition for record in records if record.topic == "agent.interactions"} == set(range(PARTITIONS))


async def test_the_listener_waits_for_every_shard_and_reads_what_was_said_before(bootstrap: str) -> None:
    """It is not there until the last shard is, and then has every verdict once, however often it was sent."""
    incident = next(one for one in incidents(LIVE) if one.name == "bad deployment")
    engine = Engine(version="0", config_hash="cfg")
    heard: list[str] = []

    async def beat(producer: AIOKafkaProducer, shard: int, time_ms: int) -> None:
        body = Heartbeat(shard=shard, shards=2, tick=at(time_ms), worker="w", epoch=1, series=0, engine=engine)
        await producer.send_and_wait(HEARTBEATS_TOPIC, canonical_json(body), key=str(shard).encode())

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        async with listener(bootstrap, lambda verdict: heard.append(verdict.verdict_id)) as ears:
            running = asyncio.create_task(ears.run())
            reached = asyncio.create_task(ears.reach(LIVE))
            await beat(producer, 0, LIVE)
            await beat(producer, 1, LIVE - MINUTE_MS)
            for _ in range(2):
                await producer.send_and_wait(VERDICTS_TOPIC, canonical_json(right(incident)))
            await ears.reach(LIVE - MINUTE_MS)
            assert not reached.done()
            await beat(producer, 1, LIVE)
            await asyncio.wait_for(reached, 30)
            running.cancel()
            assert heard == [right(incident).verdict_id]
    finally:
        await producer.stop()


@pytest.mark.timeout(400)
async def test_the_whole_engine_finds_an_injection_and_lets_a_surge_pass() -> None:
    """On a short history, the engine tells the prompt injection as labelled, and says nothing about the surge.

    All scores that it had came from the judge of the evaluation plane, each with the rate that it was drawn at; the
    page says of them that rules gave them, and has budgets to show.
    """
    plan = Plan(history_hours=8, live_minutes=200)
    labelled = tuple(one for one in incidents(plan.live_start_ms) if one.system in {"refunds", "orders"})
    effects = {one.system: happenings(plan.live_start_ms)[one.system] for one in labelled}
    fleet = Fleet(1, (REFUNDS, ORDERS), effects, with_scores=False)
    console = quiet()
    async with open_stage(fleet, console, plan) as stage:
        await stage.run(stage.catch_up())
        await stage.run(stage.play(fleet, 1_000))
        judgements = judge(labelled, stage.listener.verdicts, stage.listener.firings)
        dead = stage.listener.dead_letters
        page = await pages_of(stage.page, "/quality", "/costs")
        scores = await everything(stage.bootstrap, TOPIC_OF_TYPE["evaluation"])
    assert {score["judge"]["method"] for score in scores} == {"scripted"}
    assert {score["sampling"]["purpose"] for score in scores} == {"sample"}
    assert len({score["sampling"]["rate"] for score in scores}) > 2
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Judge: scripted, rules and no model" in shown
    assert re.search(r"11:00 judge: [1-9]\S* of \S+ interactions sampled, .* tokens today, \$0.00 scripted", shown)
    assert "scripted: rules, no model" in page["/quality"]
    assert re.search(r"4\.\d\d of 5 \(4\.\d\d to 4\.\d\d\) over [1-9]", page["/quality"])
    assert "of $30,000 spent" in page["/costs"]
    assert [one.problems for one in judgements] == [(), ()]
    assert dead == []


async def pages_of(address: str, *paths: str) -> dict[str, str]:
    """What the page shows, as text without entities."""
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as http:
        return {path: html.unescape((await http.get(path, headers={"accept": "text/html"})).text) for path in paths}


async def everything(bootstrap: str, topic: str) -> list[dict[str, Any]]:
    """All that a topic holds."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(sorted(consumer.assignment()))
        return [json.loads((await consumer.getone()).value) for _ in range(sum(ends.values()))]
    finally:
        await consumer.stop()


async def test_a_failing_engine_is_shown_with_the_end_of_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An engine that ends by itself ends the demonstration with what it said last."""
    bad = tmp_path / "bad.toml"
    bad.write_text("[engine]\nclock = 7\n", encoding="utf-8")
    monkeypatch.setattr(demo_stage, "engine_process", lambda _, log: engine_process(bad, log))
    plan = Plan(history_hours=1)
    with pytest.raises(EngineError, match=r"(?s)ended by itself with exit code .*clock"):
        async with open_stage(Fleet(1, (REFUNDS,)), quiet(), plan) as stage:
            await stage.run(stage.catch_up())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are looked up in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_ends_everything_that_was_started(tmp_path: Path, number: signal.Signals) -> None:
    """After Ctrl-C or SIGTERM the exit code says so, no process is left, and the temporary files are gone."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stream.cli", "demo", "--headless"),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if line.startswith(b"Embedded Kafka"):
            break
    servers = children(process.pid)
    assert servers
    process.send_signal(number)
    rest = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == INTERRUPTED
    assert b"Interrupted" in rest[0]
    assert alive(servers) == []
    assert left_in(tmp_path) == []


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def left_in(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def children(parent: int) -> list[int]:
    """The processes that `parent` started and that are still there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(entry.parent.name))
    return found
