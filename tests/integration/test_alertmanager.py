"""From a telemetry event to an alert in a real Alertmanager, and to its end, through one `midwatch run`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from schemas.words import HEARTBEATS_TOPIC, VERDICTS_TOPIC
from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis
from tests.integration.test_controls import Stage
from tests.integration.test_engine import Parts
from tests.support.destinations import destination
from tests.support.engine import Reader, engine, make_topics, settings_from, write_config
from tests.support.real_alertmanager import RealAlertmanager, new_alertmanager

pytestmark = pytest.mark.timeout(240)
CALM = 100


async def shown(alertmanager: RealAlertmanager, count: int) -> list[dict[str, Any]]:
    """The active alerts, once there are so many."""
    async with asyncio.timeout(60):
        while len(found := await asyncio.to_thread(alertmanager.alerts)) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found


async def test_an_incident_is_an_alert_until_it_ends(embedded_redis: EmbeddedRedis, tmp_path: Path) -> None:
    """Escalations at threefold: the Alertmanager shows the alert and notifies; they recede: it is resolved."""
    async with destination("receiver") as receiver:
        with EmbeddedKafkaProcess() as broker, new_alertmanager(receiver.url) as alertmanager:
            config = write_config(tmp_path, broker.bootstrap, embedded_redis.url)
            with config.open("a") as more:
                more.write(
                    '\npublic_url = "https://midwatch.example.com"\n'
                    f'[delivery]\nhttp_port = 0\n[sinks.alerts]\nkind = "alertmanager"\nurls = ["{alertmanager.url}"]\n'
                    'allow_private = true\nresend_seconds = 5.0\nsystems = ["ref*"]\n'
                )
            await make_topics(settings_from(config))
            async with Reader(broker.bootstrap, [VERDICTS_TOPIC, HEARTBEATS_TOPIC]) as reader, engine(config):
                stage = Stage(Parts(broker.bootstrap, embedded_redis.url), config, reader)
                await stage.minutes(CALM, spiking=False)
                await stage.minutes(30, spiking=True)
                verdict = await stage.verdict(lambda v: v["status"] == "firing")
                [alert] = await shown(alertmanager, 1)
                assert alert["labels"] | {"severity": "any"} == {
                    "alertname": "MidwatchIncident", "environment": "production", "system": "refunds",
                    "incident": verdict["incident_id"], "severity": "any",
                }  # fmt: skip
                assert alert["status"]["state"] == "active"
                assert "escalated in" in alert["annotations"]["summary"]
                assert alert["generatorURL"] == f"https://midwatch.example.com/incidents/{verdict['incident_id']}"
                await receiver.until(lambda it: any(one.json["status"] == "firing" for one in it.taken))
                await stage.minutes(60, spiking=False)
                await stage.verdict(lambda v: v["status"] == "resolved")
                assert await shown(alertmanager, 0) == []
                await receiver.until(lambda it: any(one.json["status"] == "resolved" for one in it.taken))
