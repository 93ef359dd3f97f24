"""OpenTelemetry end to end: spans through Kafka to verdicts, and what real instrumentations emit."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.scripted_server import scripted_server
from schemas.canonical import canonical_json
from schemas.words import VERDICTS_TOPIC
from stream.adapters import Usage
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.embedded import EmbeddedKafkaProcess
from tests.integration import traffic
from tests.integration.test_engine import END, golden, ticks_done, totals
from tests.support.engine import PARTITIONS, Reader, engine, make_topics, send, settings_from, write_config
from tests.support.otlp import exporting, read, reading, spans_of

pytestmark = pytest.mark.timeout(240)


def records() -> list[traffic.Record]:
    """The fleet's interactions as spans, those of one trace on different partitions; the rest as it was."""
    found = []
    for number, (ms, event) in enumerate(traffic.events(), 1):
        if event["type"] == "interaction":
            spans = spans_of(event, number, ms)
            found += [(at, "otlp_spans", (number + one) % PARTITIONS, value) for one, (at, value) in enumerate(spans)]
        else:
            found.append((ms, "agent.authorizations", number % PARTITIONS, canonical_json(event)))
    return [(topic, partition, value, at) for at, topic, partition, value in sorted(found)]


def closing() -> list[traffic.Record]:
    """One more interaction on each partition that speaks, late enough for all that came before."""
    ms = (traffic.START_MINUTE + END) * MINUTE_MS
    found = []
    for partition in range(PARTITIONS):
        event = {"environment": "production", "system": "orders", "flow": "orders-flow", "outcome": "resolved"}
        ((at, value),) = spans_of(event, 10**6 + partition, ms)
        found.append(("otlp_spans", partition, value, at))
        native = {**event, "type": "interaction", "id": f"x{partition}", "time": rfc3339(ms)}
        found.append(("agent.authorizations", partition, canonical_json(native), ms))
    return found


async def test_a_fleet_that_speaks_otlp_is_watched_through_a_kill(embedded_redis: Any, tmp_path: Path) -> None:
    """Spans of one trace on several partitions, a worker killed: verdicts and windows are those of a replay."""
    with EmbeddedKafkaProcess() as broker:
        config = write_config(tmp_path, broker.bootstrap, embedded_redis.url)
        settings = settings_from(config)
        await make_topics(settings)
        sent, last = records(), closing()
        half = len(sent) // 2
        wanted, wanted_totals = golden(settings, tmp_path, sent + last)
        async with Reader(broker.bootstrap, [VERDICTS_TOPIC, "midwatch.heartbeats"]) as reader:
            async with engine(config), engine(config) as victim:
                await send(broker.bootstrap, sent[:half])
                await reader.until(lambda found: any(r.topic == "midwatch.heartbeats" for r in found))
                await send(broker.bootstrap, sent[half:])
                victim.send_signal(signal.SIGKILL)
                await victim.wait()
                await send(broker.bootstrap, last)
                await reader.until(ticks_done(traffic.START_MINUTE + END - 1))
            said = {json.loads(r.value)["verdict_id"]: r.value for r in reader.records if r.topic == VERDICTS_TOPIC}
    done = rfc3339((traffic.START_MINUTE + END - 1) * MINUTE_MS)
    assert {key: json.loads(value) for key, value in said.items()} == {
        key: verdict for key, verdict in wanted.items() if verdict["decided_at"] <= done
    }
    assert {verdict["scope"]["system"] for verdict in wanted.values()} == {"refunds", "claims"}
    assert await totals(settings) == wanted_totals
    interactions = sum(1 for _, event in traffic.events() if event["type"] == "interaction") + 2 * PARTITIONS
    assert wanted_totals["flow"]["interactions"] == interactions


async def test_openinference_of_the_real_client() -> None:
    """The OpenAI client, instrumented by OpenInference, asks the scripted server: one interaction, its tokens once."""
    from openai import AsyncOpenAI
    from openinference.instrumentation.openai import OpenAIInstrumentor

    schema = {"type": "object", "properties": {"tone": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "scores", "schema": schema}}
    with exporting() as sdk:
        instrumentor = OpenAIInstrumentor()
        instrumentor.instrument(tracer_provider=sdk.provider)
        try:
            async with (
                scripted_server() as server,
                AsyncOpenAI(base_url=f"{server.url}/v1", api_key="test", max_retries=0) as client,
            ):
                messages: Any = [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}]
                await asyncio.wait_for(
                    client.chat.completions.create(model="gpt-4o", messages=messages, response_format=wanted),  # type: ignore[call-overload]
                    20,
                )
        finally:
            instrumentor.uninstrument()
        value = sdk.one_record()
    talk = reading(value).interaction
    assert talk is not None
    assert (talk.flow, talk.outcome) == ("support", "resolved")
    (usage,) = [one for one in read(value) if isinstance(one, Usage)]
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert usage.provider == "openai"


async def exported_by(name: str) -> bytes:
    """What the fleet in a file of this folder exports; it runs in a process of its own and prints it in hex."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name(name)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return bytes.fromhex(output.decode().strip().rpartition("\n")[2])


async def test_the_openai_agents_sdk() -> None:
    """The Agents SDK's own tracing, by OpenInference: a tool call, then a hand-off to a human; each token once."""
    pytest.importorskip("openinference.instrumentation.openai_agents")
    value = await exported_by("openai_agents_fleet.py")
    found = reading(value)
    talk = found.interaction
    assert talk is not None
    assert (talk.flow, talk.outcome) == ("Agent workflow", "escalated")
    steps = [(step.agent, step.name) for step in talk.steps or () if step.operation in ("execute_tool", "handoff")]
    assert steps == [("triage", "lookup"), ("triage", "Human agent")]
    assert [(d.agent, d.action, d.decision) for d in found.decisions.values()] == [("triage", "lookup", "allow")]
    usages = [one for one in read(value) if isinstance(one, Usage)]
    assert [(one.model, one.input_tokens, one.output_tokens) for one in usages] == [("gpt-4o", 100, 10)] * 3
    assert found.sums == ()


async def test_agent_frameworks_own_instrumentation() -> None:
    """An agent with a tool that hands over: its spans make one escalated interaction, tokens of the calls alone."""
    value = await exported_by("agent_framework_fleet.py")
    found = reading(value)
    talk = found.interaction
    assert talk is not None
    assert (talk.flow, talk.outcome) == ("triage", "escalated")
    steps = [(step.agent, step.operation) for step in talk.steps or ()]
    assert steps == [("triage", name) for name in ("invoke_agent", "chat", "execute_tool", "chat", "handoff", "chat")]
    ((decision),) = found.decisions.values()
    assert (decision.agent, decision.action, decision.decision) == ("triage", "refund", "deny")
    usages = [one for one in read(value) if isinstance(one, Usage)]
    assert [(one.input_tokens, one.output_tokens) for one in usages] == [(100, 10)] * 3
    assert found.sums == ()
