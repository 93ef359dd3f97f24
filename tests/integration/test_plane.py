"""The evaluation plane end to end: Faust, an embedded Kafka and Redis, processes that are killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evaluation.sampling import decide, draw_of
from schemas.canonical import canonical_json
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.embedded import EmbeddedKafkaProcess
from tests.integration import traffic as events
from tests.support.engine import Reader, engine, make_topics, send, settings_from, write_config
from tests.support.plane import plane

pytestmark = pytest.mark.timeout(240)
START_MINUTE = 29_540_000
SAMPLING = {
    "start_at": '"earliest"',
    "resolved_rate": 0.25,
    "escalated_rate": 1.0,
    "judge_seconds": 2.0,
    "http_port": 0,
    "concurrency": 4,
    "tokens_per_day": 1_000_000_000,
}


@dataclass(frozen=True)
class Parts:
    """A Kafka of this test's own, and a Redis."""

    bootstrap: str
    redis_url: str


@pytest.fixture(params=["embedded", pytest.param("real", marks=[pytest.mark.kafka, pytest.mark.redis])])
def parts(request: pytest.FixtureRequest) -> Iterator[Parts]:
    from tests.support.real_kafka import new_cluster

    redis = request.getfixturevalue(f"{request.param}_redis")
    with EmbeddedKafkaProcess() if request.param == "embedded" else new_cluster() as broker:
        yield Parts(broker.bootstrap, redis.url)


def configured(folder: Path, parts: Parts, **sampling: Any) -> Path:
    config = write_config(folder, parts.bootstrap, parts.redis_url)
    chosen = {**SAMPLING, **sampling}
    lines = [f"{key} = {value}" for key, value in chosen.items()]
    # The model's own limits, which must be within the plane's, and which a judge of these tests has none of.
    seconds = chosen["judge_seconds"] * 0.9
    bounds = [f"timeout_seconds = {seconds}", f"total_seconds = {seconds}", ""]
    text = [config.read_text(encoding="utf-8"), "[sampling]", *lines, "[judge]", *bounds]
    config.write_text("\n".join(text), encoding="utf-8")
    return config


def interaction(name: str, index: int, outcome: str) -> tuple[str, int, bytes, int]:
    at = START_MINUTE * MINUTE_MS + index * 100
    event = {
        "type": "interaction",
        "id": name,
        "time": rfc3339(at),
        "environment": "production",
        "system": "refunds",
        "flow": "refund-flow",
        "outcome": outcome,
        "request": "Refund me.",
        "response": "Done.",
    }
    return "agent.interactions", index % 4, canonical_json(event), at


def traffic(count: int) -> list[tuple[str, int, bytes, int]]:
    return [interaction(f"i-{n}", n, "escalated" if n % 5 == 0 else "resolved") for n in range(count)]


def drawn(records: list[tuple[str, int, bytes, int]]) -> dict[str, float]:
    """The interactions that must be judged, with their rates."""
    rates: Any = {"resolved": 0.25, "escalated": 1.0, "failed": 0.1, "abandoned": 0.05, "denied": 0.25}
    found = {}
    for _, _, value, _ in records:
        event = json.loads(value)
        one = decide(draw_of("production", "refunds", event["id"]), event["outcome"], rates)
        if one is not None:
            found[event["id"]] = one.rate
    return found


async def test_a_kill_loses_no_sample_and_gives_no_score_two_ids(parts: Parts, tmp_path: Path) -> None:
    """SIGKILL in the middle, a new start: every drawn interaction is scored at its rate, under one id."""
    config, judged = configured(tmp_path, parts), tmp_path / "judged.txt"
    await make_topics(settings_from(config))
    records = traffic(400)
    wanted = drawn(records)
    assert 100 < len(wanted) < 250
    async with Reader(parts.bootstrap, ["agent.evaluations"]) as reader:
        async with plane(config, judged) as victim:
            await send(parts.bootstrap, records[:200])
            await reader.until(lambda found: len(found) >= 30)
            victim.kill()
            await victim.wait()
        await send(parts.bootstrap, records[200:])
        async with plane(config, judged) as second:
            found = await reader.until(
                lambda found: {json.loads(r.value)["interaction_id"] for r in found} >= wanted.keys()
            )
        assert second.returncode == 0
    events = [json.loads(record.value) for record in found]
    assert {event["interaction_id"]: event["sampling"]["rate"] for event in events} == wanted
    ids: dict[str, set[str]] = {}
    for event in events:
        ids.setdefault(event["interaction_id"], set()).add(event["id"])
    assert all(len(several) == 1 for several in ids.values())


async def test_a_judge_that_hangs_costs_its_samples_and_nothing_else(parts: Parts, tmp_path: Path) -> None:
    """Every call runs into its time limit; the plane goes on to the next, and stops when told."""
    config, judged = configured(tmp_path, parts, judge_seconds=0.2), tmp_path / "judged.txt"
    await make_topics(settings_from(config))
    records = [interaction(f"i-{n}", n, "escalated") for n in range(12)]
    async with plane(config, judged, "hang") as process:
        await send(parts.bootstrap, records)
        async with Reader(parts.bootstrap, ["agent.interactions"]) as reader:
            await reader.until(lambda _: judged.exists() and len(judged.read_text().split()) >= 12)
        assert process.returncode is None
    assert process.returncode == 0


async def test_a_judge_that_swallows_its_cancellation_does_not_keep_the_process(
    embedded_redis: Any, tmp_path: Path
) -> None:
    """It never ends, whatever it is told: the plane goes on to the next, and SIGTERM ends the process, with a word."""
    with EmbeddedKafkaProcess() as broker:
        config = configured(tmp_path, Parts(broker.bootstrap, embedded_redis.url), judge_seconds=0.2)
        judged = tmp_path / "judged.txt"
        await make_topics(settings_from(config))
        async with plane(config, judged, "stubborn") as process:
            await send(broker.bootstrap, [interaction(f"i-{n}", n, "escalated") for n in range(8)])
            async with Reader(broker.bootstrap, ["agent.interactions"]) as reader:
                await reader.until(lambda _: judged.exists() and len(judged.read_text().split()) >= 8)
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 40) == 1
    (line,) = [line for line in _log(tmp_path) if line["event"] == "forced_exit"]
    assert line["of"] == ["FileJudge.judge"]


async def test_a_stop_does_not_wait_for_what_was_given_up(embedded_redis: Any, tmp_path: Path) -> None:
    """SIGTERM while judgements go on for longer than anybody waits: they are cancelled, and the process ends well."""
    with EmbeddedKafkaProcess() as broker:
        config = configured(tmp_path, Parts(broker.bootstrap, embedded_redis.url), judge_seconds=100.0)
        judged = tmp_path / "judged.txt"
        await make_topics(settings_from(config))
        async with plane(config, judged, "hang") as process:
            await send(broker.bootstrap, [interaction(f"i-{n}", n, "escalated") for n in range(8)])
            async with Reader(broker.bootstrap, ["agent.interactions"]) as reader:
                await reader.until(lambda _: judged.exists() and len(judged.read_text().split()) >= 4)
        assert process.returncode == 0
    assert {line["event"] for line in _log(tmp_path)} == {"plane_started", "plane_stopped"}


def _log(folder: Path) -> list[dict[str, Any]]:
    (log,) = folder.glob("plane-*.log")
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


TOLD = "escalated interactions of refunds-flow scored below 3, mean 2.0"


def bursts(found: list[Any]) -> list[Any]:
    scores = [json.loads(record.value) for record in found if record.topic == "agent.evaluations"]
    return [event for event in scores if event.get("sampling", {}).get("purpose") == "burst"]


def verdicts(found: list[Any]) -> list[Any]:
    return [json.loads(record.value) for record in found if record.topic == "midwatch.verdicts"]


async def test_a_burst_joins_the_verdict_as_a_later_revision(parts: Parts, tmp_path: Path) -> None:
    """The incident's own escalated interactions are judged once it fires, and a later revision tells of them."""
    topics = '["agent.interactions", "agent.authorizations"]'
    config = configured(tmp_path, parts, escalated_rate=0.001, resolved_rate=0.001, topics=topics)
    await make_topics(settings_from(config))
    fired = events.SPIKE_AT + 8
    fired_ms = (events.START_MINUTE + fired) * MINUTE_MS
    records = events.records()
    async with Reader(parts.bootstrap, ["agent.evaluations", "midwatch.verdicts"]) as reader:  # noqa: SIM117
        async with engine(config), plane(config, tmp_path / "judged.txt", "strict"):
            await send(parts.bootstrap, [r for r in records if r[3] < fired_ms] + events.closing(fired))
            await reader.until(lambda found: len(bursts(found)) >= 10)
            await send(parts.bootstrap, [r for r in records if r[3] >= fired_ms] + events.closing(events.MINUTES + 10))
            found = await reader.until(lambda found: any(TOLD in str(v["findings"]) for v in verdicts(found)))
    first = next(v for v in verdicts(found) if v["scope"]["system"] == "refunds" and v["revision"] == 0)
    assert "Burst" not in str(first["findings"])
    mine = [event for event in bursts(found) if event["sampling"]["incident_id"] == first["incident_id"]]
    assert 10 <= len(mine) <= 20
    assert len({event["id"] for event in mine}) == len({event["interaction_id"] for event in mine})


async def test_kafka_away_for_too_long_ends_the_process_with_an_error(embedded_redis: Any, tmp_path: Path) -> None:
    """The broker dies under a plane that runs: it exits with 1, for its supervisor to start it again."""
    with EmbeddedKafkaProcess() as broker:
        config = configured(tmp_path, Parts(broker.bootstrap, embedded_redis.url), away_seconds=3.0)
        await make_topics(settings_from(config))
        async with plane(config, tmp_path / "judged.txt") as process:
            await send(broker.bootstrap, [interaction("i-1", 0, "escalated")])
            async with Reader(broker.bootstrap, ["agent.evaluations"]) as reader:
                await reader.until(lambda found: len(found) == 1)
            broker.__exit__(None, None, None)
            assert await asyncio.wait_for(process.wait(), 90) == 1


async def test_redis_away_from_the_start_judges_a_small_allowance(tmp_path: Path) -> None:
    """Nothing waits for Redis: as many interactions as an hour without it allows are scored, and it stops when told."""
    with EmbeddedKafkaProcess() as broker:
        config = configured(tmp_path, Parts(broker.bootstrap, "redis://127.0.0.1:1/0"), offline_per_hour=5)
        await make_topics(settings_from(config))
        judged = tmp_path / "judged.txt"
        async with plane(config, judged) as process:
            await send(broker.bootstrap, [interaction(f"i-{n}", n, "escalated") for n in range(20)])
            async with Reader(broker.bootstrap, ["agent.evaluations"]) as reader:
                await reader.until(lambda found: len(found) == 5)
        assert process.returncode == 0
        assert len(judged.read_text(encoding="utf-8").split()) == 5
