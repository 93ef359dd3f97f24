"""`midwatch evaluate run` as a user starts it: a judge over HTTP, interactions in, scores and metrics out."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from evaluation.scripted_server import scripted_server
from stream.embedded import EmbeddedKafkaProcess
from tests.integration.test_plane import Parts, configured, interaction
from tests.support.engine import Reader, make_topics, send, settings_from

pytestmark = pytest.mark.timeout(120)
COUNT = 12
JUDGED = "judged.requests"


async def new_topic(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()


async def _page_with(url: str, part: str) -> str:
    """The page as soon as it holds the part."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as answer:
                page = await answer.text()
            if part in page:
                return page
            await asyncio.sleep(0.1)


async def test_a_judge_scores_what_comes_over_kafka(tmp_path: Path, embedded_redis: object) -> None:
    """Every escalated interaction has a score for each criterion, and /metrics tells of plane, judge and anchors.

    They come on a topic of their own, as of a fleet whose interactions the engine puts together from spans.
    """
    with EmbeddedKafkaProcess() as broker:
        parts = Parts(broker.bootstrap, embedded_redis.url)  # type: ignore[attr-defined]  # the fixture's own type
        config = configured(tmp_path, parts, judge_seconds=30.0, topics=f'["{JUDGED}"]')
        settings = settings_from(config)
        assert JUDGED not in settings.kafka.input_topics
        await make_topics(settings)
        await new_topic(parts.bootstrap, JUDGED)
        asked = [interaction(f"i-{number}", number, "escalated") for number in range(COUNT)]
        await send(parts.bootstrap, [(JUDGED, 0, value, at) for _, _, value, at in asked])
        async with scripted_server() as server, Reader(parts.bootstrap, ["agent.evaluations"]) as reader:
            config.write_text(f'{config.read_text()}base_url = "{server.url}/v1"\n')
            log = tmp_path / "plane.log"
            with log.open("wb") as sink:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "stream.cli", "evaluate", "run", "--config", str(config)),
                    stdout=sink,
                    stderr=asyncio.subprocess.STDOUT,
                )
            try:
                records = await reader.until(lambda found: len(found) >= 3 * COUNT)
                (url,) = set(re.findall(r"http://[\d.:]+/metrics", log.read_text()))
                page = await _page_with(url, 'midwatch_judge_anchor_error{criterion="tone"}')
            finally:
                process.terminate()
                await asyncio.wait_for(process.wait(), 40)
    events = [json.loads(record.value) for record in records]
    assert {event["interaction_id"] for event in events} == {f"i-{number}" for number in range(COUNT)}
    assert {event["criterion"] for event in events} == {"correctness", "escalation_appropriateness", "tone"}
    assert {event["judge"]["method"] for event in events} == {"scripted"}
    types = [line for line in page.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    assert "midwatch_judge_interactions_sampled_total" in page
