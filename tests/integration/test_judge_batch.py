"""`midwatch evaluate batch` as a user types it: interactions on Kafka, a provider over HTTP, scores on Kafka."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evaluation.scripted_server import scripted_server
from stream.cli import app
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.embedded import EmbeddedKafkaProcess
from tests.integration.test_plane import START_MINUTE, Parts, configured, drawn, interaction, traffic
from tests.support.engine import Reader, make_topics, send, settings_from

pytestmark = pytest.mark.timeout(120)
COUNT = 40


async def _midwatch(config: Path, *arguments: str) -> tuple[int, str, str]:
    """A command, in a thread with an event loop of its own."""
    words = ["evaluate", "batch", *arguments, "--config", str(config)]
    result = await asyncio.to_thread(CliRunner().invoke, app, words)
    return result.exit_code, result.stdout, result.stderr


async def _json(config: Path, *arguments: str) -> Any:
    code, out, err = await _midwatch(config, *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


async def test_a_night_of_batches(embedded_redis: Any, tmp_path: Path) -> None:
    """What the live plane would have drawn of a range of time is judged by a batch, and its scores are on the topic."""
    with EmbeddedKafkaProcess() as broker:
        config = configured(tmp_path, Parts(broker.bootstrap, embedded_redis.url), judge_seconds=30.0)
        await make_topics(settings_from(config))
        records = traffic(COUNT)
        await send(broker.bootstrap, [*records, interaction("late", 60_000, "escalated")])
        # `late` comes a hundred minutes after the others.
        window = ["--since", rfc3339(START_MINUTE * MINUTE_MS), "--until", rfc3339((START_MINUTE + 10) * MINUTE_MS)]
        async with scripted_server() as server, Reader(broker.bootstrap, ["agent.evaluations"]) as reader:
            server.batches.looks = 2
            config.write_text(f'{config.read_text()}base_url = "{server.url}/v1"\n')
            dry = await _json(config, "submit", *window, "--dry-run")
            assert (dry["batch"], server.batches.batches) == (None, {})
            begun = await _json(config, "submit", *window)
            assert begun["read"] == COUNT
            assert begun["interactions"] == dry["interactions"] == len(drawn(records))
            code, out, _ = await _midwatch(config, "status")
            assert (code, "  out  " in out) == (0, True)
            assert (await _json(config, "collect"))["batches"][0]["provider_status"] == "in_progress"
            done = (await _json(config, "collect"))["batches"]
            assert [batch["state"] for batch in done] == ["collected"]
            found = await reader.until(lambda found: len(found) >= 3 * len(drawn(records)))
            events = [json.loads(record.value) for record in found]
            assert {event["interaction_id"]: event["sampling"]["rate"] for event in events} == drawn(records)
            assert (await _json(config, "submit", *window))["judged_before"] == len(drawn(records))
            assert (await _json(config, "collect")) == {"batches": []}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["submit"], 2, "--since 24h"),
        (["submit", "--since", "yesterday"], 2, "like 24h or 7d"),
        (["submit", "--since", "1h", "--until", "2h"], 2, "must lie before --until"),
        (["submit", "--since", "1h"], 2, "has no Batch API"),
        (["collect", "--wait", "long"], 2, "90m, 2h"),
        (["collect"], 2, "has no Batch API"),
        (["status"], 1, "no Redis can be reached at 127.0.0.1:1"),
    ],
)
async def test_what_cannot_be_done_is_said(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    """Before anything is paid for: exit code 2 for a wrong command line or configuration, 1 for what is away."""
    config = tmp_path / "midwatch.toml"
    config.write_text('[judge]\nprovider = "scripted"\n[redis]\nurl = "redis://127.0.0.1:1/0"\n')
    found = await _midwatch(config, *arguments)
    assert found[0] == code
    assert said in found[2]
    assert found[1] == ""
