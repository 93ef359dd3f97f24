"""The read model over the whole engine: an incident appears, is acted on by the API, and the verdict shows it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from dashboard.acts import KafkaActs
from dashboard.app import build_app
from dashboard.model import ReadModel
from schemas.canonical import canonical_json
from schemas.controls import CONTROL, Silence
from schemas.words import CONTROLS_TOPIC, HEARTBEATS_TOPIC, VERDICTS_TOPIC
from stream.core.ticks import MINUTE_MS
from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis
from stream.settings import Settings
from tests.integration import traffic
from tests.integration.test_engine import ticks_done
from tests.support.dashboard_verdicts import KEY, recommendation, verdict
from tests.support.engine import PARTITIONS, Reader, engine, make_topics, send, settings_from, write_config

pytestmark = pytest.mark.timeout(240)
CALM, PATIENCE_SECONDS = 100, 60.0


def minutes(first: int, count: int, *, spiking: bool) -> list[tuple[str, int, bytes, int]]:
    """So many minutes of the system `refunds`."""
    records = []
    for minute in range(first, first + count):
        for slot in range(traffic.PER_MINUTE):
            number = minute * traffic.PER_MINUTE + slot
            ms = (traffic.START_MINUTE + minute) * MINUTE_MS + slot * 7_000
            event = traffic._interaction(number, ms, "refunds", number % (2 if spiking else 25) == 0)
            records.append(("agent.interactions", number % PARTITIONS, canonical_json(event), ms))
    return records


@asynccontextmanager
async def page(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, ReadModel]]:
    """The page, without its HTML, reading beside the engine."""
    model = ReadModel(settings)
    acts = KafkaActs(settings, model.memory)
    app = build_app(model, acts, settings.dashboard, changed=model.memory.changed)
    reading = asyncio.create_task(model.run())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        http.headers["x-csrf-token"] = (await http.get("/api/v1/me")).json()["csrf"]
        yield http, model
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def until(model: ReadModel, http: httpx.AsyncClient, path: str, condition: Any) -> Any:
    """The answer of the first time that the condition holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        known = -1
        while True:
            known = await model.memory.changed(known, 1.0)
            view = (await http.get(path)).json()
            if condition(view):
                return view


async def test_an_incident_is_shown_taken_and_silenced(embedded_redis: EmbeddedRedis, tmp_path: Path) -> None:
    """It appears with chart, band and traces; each act is stored with who did it; the verdict's revision shows it."""
    with EmbeddedKafkaProcess() as broker:
        config = write_config(tmp_path, broker.bootstrap, embedded_redis.url)
        settings = settings_from(config)
        await make_topics(settings)
        reader = Reader(broker.bootstrap, [VERDICTS_TOPIC, HEARTBEATS_TOPIC])
        async with reader, engine(config), page(settings) as (http, model):
            silent = (await http.get("/api/v1/overview")).json()
            assert silent["health"]["problems"], "nothing has been heard yet"
            await send(broker.bootstrap, minutes(0, CALM, spiking=False) + minutes(CALM, 30, spiking=True))
            await reader.until(ticks_done(traffic.START_MINUTE + CALM + 28))
            shown = await until(model, http, "/api/v1/overview", lambda view: view["open"])
            [card] = shown["open"]
            assert shown["health"]["problems"] == []
            assert card["scope"]["flow"] == "refunds-flow"
            path = f"/api/v1/incidents/{card['incident_id']}"
            await _look(http, path)
            acts = [
                ("acknowledge", {"note": "on it"}),
                ("silence", {"minutes": 60, "reason": "fixing"}),
                ("judge", {"right": False, "cause": "dependency", "note": "it was the bank"}),
            ]
            for act, body in acts:
                done = await http.post(f"{path}/{act}", json=body)
                assert done.status_code == 200, done.text
            await send(broker.bootstrap, minutes(CALM + 30, 5, spiking=True))
            taken = await until(model, http, path, lambda view: view["card"]["state"] == "muted")
            assert taken["card"]["acknowledged_by"] == taken["verdict"]["acknowledged"]["by"]
            assert any("took it" in one["text"] for one in taken["revisions"])
            said = [action["what"] for action in taken["actions"]]
            assert {"Took the incident in hand", "Refuted the verdict, cause: dependency"} <= set(said)
            refused = await http.post(f"{path}/rollback", json={"key": "act_forged", "approve": True})
            assert (refused.status_code, "does not recommend" in refused.json()["error"]) == (409, True)
        stored = await _controls(broker.bootstrap)
    silence = next(one for one in stored if isinstance(one, Silence))
    assert (silence.system, silence.flow, silence.reason) == ("refunds", "refunds-flow", "fixing")
    assert silence.created_by == card_name(taken)


async def test_a_rollback_is_approved_once_by_the_commands_own_function(tmp_path: Path) -> None:
    """What the verdict recommends is approved on the topic under its key; then nothing waits any longer."""
    now = datetime.now(UTC)
    told = verdict(decided_at=now, onset_at=now, recommendation=recommendation(not_after=now + timedelta(minutes=10)))
    with EmbeddedKafkaProcess() as broker:
        config = write_config(tmp_path, broker.bootstrap, "redis://127.0.0.1:9/0", clock='"wall"')
        settings = settings_from(config)
        await make_topics(settings)
        key = told.incident_id.encode()
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
            await producer.send_and_wait(VERDICTS_TOPIC, canonical_json(told), key=key)
        async with page(settings) as (http, model):
            path = f"/api/v1/incidents/{told.incident_id}"
            waiting = await until(model, http, path, lambda view: view.get("approval_key"))
            assert waiting["card"]["awaits_approval"]
            body = {"key": waiting["approval_key"], "approve": True}
            done = await http.post(f"{path}/rollback", json=body)
            assert done.status_code == 200, done.text
            control = done.json()["detail"]["control"]
            assert (control["decision"], control["idempotency_key"]) == ("approve", KEY)
            after = (await http.get(path)).json()
            assert after["approval_key"] is None
            assert "Approved the rollback" in [action["what"] for action in after["actions"]]
            texts = [problem["text"] for problem in after and (await http.get("/api/v1/health")).json()["problems"]]
            assert any(text.startswith("Starting") for text in texts)
        [stored] = await _controls(broker.bootstrap, 1)
    assert (stored.type, stored.by) == ("approval", control["by"])


def card_name(view: dict[str, Any]) -> str:
    return str(view["card"]["acknowledged_by"])


async def _look(http: httpx.AsyncClient, path: str) -> None:
    """The chart has the detector's band, the signals the rate, Redis was only read."""
    view = (await http.get(path)).json()
    points = [point for point in view["chart"]["lines"][0]["points"] if point["value"] is not None]
    assert max(point["value"] for point in points) > 0.4
    assert all(point["low"] <= point["expected"] <= point["high"] for point in points)
    assert points[-1]["value"] > points[-1]["high"]
    assert any(mark["kind"] == "onset" for mark in view["chart"]["marks"])
    signals = (await http.get("/api/v1/signals", params={"system": "refunds"})).json()
    assert signals["choices"]["flows"] == ["refunds-flow"]
    assert signals["escalation"]["lines"][0]["points"][-1]["value"] > 0.3
    assert (await http.get("/api/v1/signals", params={"system": "none"})).json()["escalation"] is None
    assert (await http.get("/api/v1/costs")).status_code == 200
    assert (await http.get("/api/v1/quality")).status_code == 200


async def _controls(bootstrap: str, count: int = 2) -> list[Any]:
    consumer = AIOKafkaConsumer(CONTROLS_TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with consumer:
        found: list[Any] = []
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [CONTROL.validate_json(record.value) for record in records]
        return found


async def test_the_engine_keeps_its_page_and_outlives_it(embedded_redis: EmbeddedRedis, tmp_path: Path) -> None:
    """`midwatch run` serves the page, starts it again when it is killed, and ends it with itself."""
    with EmbeddedKafkaProcess() as broker:
        config = write_config(tmp_path, broker.bootstrap, embedded_redis.url)
        config.write_text(config.read_text().replace("enabled = false", "enabled = true\nport = 0"))
        await make_topics(settings_from(config))
        async with engine(config) as process:
            [first] = await _pages(tmp_path, 1)
            os.kill(first["pid"], signal.SIGKILL)
            both = await _pages(tmp_path, 2)
            assert process.returncode is None
            async with httpx.AsyncClient(base_url=both[1]["address"], trust_env=False) as http:
                assert (await http.get("/api/v1/overview")).status_code == 200
                assert "<script" in (await http.get("/")).text
        async with httpx.AsyncClient(base_url=both[1]["address"], trust_env=False) as http:
            with pytest.raises(httpx.TransportError):
                await http.get("/api/v1/overview")


async def _pages(folder: Path, count: int) -> list[dict[str, Any]]:
    """What the log says of pages that were started, once there are so many."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = [json.loads(line) for line in _log(folder) if '"page_started"' in line]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.2)


def _log(folder: Path) -> list[str]:
    return [line for log in folder.glob("*.log") for line in log.read_text().splitlines()]
