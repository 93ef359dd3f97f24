"""From a telemetry event to alerts in a real Alertmanager, and to their ends, through one `midwatch run`.

Two ways lead there: Midwatch's own delivery of the verdict, and a real Prometheus that reads its pages and has the
shipped rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.words import HEARTBEATS_TOPIC, VERDICTS_TOPIC
from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis, free_port
from tests.integration.test_controls import Stage
from tests.integration.test_engine import Parts
from tests.support.destinations import destination
from tests.support.engine import Reader, engine, make_topics, settings_from, write_config
from tests.support.real_alertmanager import RealAlertmanager, new_alertmanager
from tests.support.real_prometheus import RealPrometheus, new_prometheus

pytestmark = pytest.mark.timeout(240)
CALM = 100
TOKEN = "0123456789abcdef0123456789abcdef"


async def until(what: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """Ask another process until its answer is as wanted."""
    async with asyncio.timeout(60):
        while not holds(found := await asyncio.to_thread(what)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found


async def shown(alertmanager: RealAlertmanager, alert: str, count: int) -> list[dict[str, Any]]:
    """The active alerts of one name, once there are so many."""
    found: list[dict[str, Any]] = await until(lambda: active(alertmanager, alert), lambda them: len(them) == count)
    return found


def configure(folder: Path, bootstrap: str, redis_url: str, alertmanager: str) -> tuple[Path, dict[str, str]]:
    """The engine's configuration, and where its pages and those of the deliveries are."""
    pages = {"midwatch": free_port(), "midwatch-sinks": free_port()}
    config = write_config(folder, bootstrap, redis_url)
    text = config.read_text(encoding="utf-8").replace(
        "[http]\nport = 0", f'[http]\nport = {pages["midwatch"]}\ntoken_file = "{folder / "token"}"'
    )
    (folder / "token").write_text(TOKEN)
    config.write_text(
        f'{text}\npublic_url = "https://midwatch.example.com"\n[delivery]\nhttp_port = {pages["midwatch-sinks"]}\n'
        f'[sinks.alerts]\nkind = "alertmanager"\nurls = ["{alertmanager}"]\nallow_private = true\n'
        'resend_seconds = 5.0\nsystems = ["ref*"]\n',
        encoding="utf-8",
    )
    return config, {job: f"127.0.0.1:{port}" for job, port in pages.items()}


async def test_an_incident_is_an_alert_until_it_ends(embedded_redis: EmbeddedRedis, tmp_path: Path) -> None:
    """Escalations at threefold: the Alertmanager shows the alerts and notifies; they recede: they are resolved."""
    async with destination("receiver") as receiver:
        with EmbeddedKafkaProcess() as broker, new_alertmanager(receiver.url) as alertmanager:
            config, pages = configure(tmp_path, broker.bootstrap, embedded_redis.url, alertmanager.url)
            await make_topics(settings_from(config))
            with new_prometheus(pages, TOKEN, alertmanager.url) as prometheus:
                async with Reader(broker.bootstrap, [VERDICTS_TOPIC, HEARTBEATS_TOPIC]) as reader, engine(config):
                    stage = Stage(Parts(broker.bootstrap, embedded_redis.url), config, reader)
                    await stage.minutes(CALM, spiking=False)
                    await stage.minutes(30, spiking=True)
                    verdict = await stage.verdict(lambda v: v["status"] == "firing")
                    [alert] = await shown(alertmanager, "MidwatchIncident", 1)
                    assert alert["labels"] | {"severity": "any"} == {
                        "alertname": "MidwatchIncident", "environment": "production", "system": "refunds",
                        "incident": verdict["incident_id"], "severity": "any",
                    }  # fmt: skip
                    assert alert["status"]["state"] == "active"
                    assert "escalated in" in alert["annotations"]["summary"]
                    assert alert["generatorURL"] == f"https://midwatch.example.com/incidents/{verdict['incident_id']}"
                    firing = (await by_the_minute(stage, alertmanager, wanted=True))[0]
                    assert firing["labels"]["system"] == "refunds"
                    await receiver.until(lambda it: any(one.json["status"] == "firing" for one in it.taken))
                    await watched(prometheus, verdict["incident_id"])
                    await stage.minutes(60, spiking=False)
                    await stage.verdict(lambda v: v["status"] == "resolved")
                    await shown(alertmanager, "MidwatchIncident", 0)
                    await by_the_minute(stage, alertmanager, wanted=False)
                    assert len(active(alertmanager, "MidwatchWatchdog")) == 1
                    await receiver.until(lambda it: any(one.json["status"] == "resolved" for one in it.taken))


async def by_the_minute(stage: Stage, alertmanager: RealAlertmanager, *, wanted: bool) -> list[dict[str, Any]]:
    """Prometheus's own alert, once it is there or gone: the engine shows its signals as its minutes pass."""
    async with asyncio.timeout(90):
        while bool(found := await asyncio.to_thread(active, alertmanager, "MidwatchFiring")) != wanted:
            await stage.minutes(1, spiking=wanted)
            await asyncio.sleep(0.5)
    return found


def active(alertmanager: RealAlertmanager, alert: str) -> list[dict[str, Any]]:
    return [one for one in alertmanager.alerts() if one["labels"]["alertname"] == alert]


async def watched(prometheus: RealPrometheus, incident: str) -> None:
    """It reads every page, its rules have no error, and an example of a count of verdicts is the incident."""
    for job in ("midwatch", "midwatch-sinks"):
        await until(lambda job=job: prometheus.value(f'up{{job="{job}"}}'), lambda up: up == 1)  # type: ignore[misc]
    await until(lambda: prometheus.value("sum(midwatch_sink_deliveries_total)"), lambda count: count >= 1)
    for name in ("midwatch_verdicts_total", "midwatch_sink_delay_seconds_bucket"):
        examples = await until(
            lambda name=name: prometheus.ask("query_exemplars", query=name, start="0", end="4102444800"),  # type: ignore[misc]
            bool,
        )
        assert incident in {one["labels"].get("incident_id") for series in examples for one in series["exemplars"]}
    groups = prometheus.ask("rules")["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    assert any(rule["health"] == "ok" for group in groups for rule in group["rules"])
