"""From other programs to a broker and back: the HTTP endpoints, the command line, the producer, inspect."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from typer.testing import CliRunner

from stream.cli import app
from stream.embedded import EmbeddedKafkaProcess
from stream.ingest_http.serve import serve_ingest
from stream.inspect_records import TopicMissing, inspect_topic, summary
from stream.producer import Midwatch
from stream.restore import read_values
from stream.settings import Settings, load_settings
from stream.settings_clients import kafka_options
from stream.topics import plan_topics
from tests.contract.test_producers import SAMPLES
from tests.support.engine import make_topics

pytestmark = pytest.mark.asyncio(loop_scope="module")

runner = CliRunner()
TOKEN = "t0ken"
DEPLOYMENT = (
    "events", "deployment", "--environment", "production", "--system", "claims", "--component", "refund",
    "--version", "2.5.0", "--change", "prompt", "--target", "argo_rollout:namespace=claims,name=refund",
)  # fmt: skip


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """A broker of this module's own: the topics of events have fixed names."""
    with EmbeddedKafkaProcess() as process:
        yield str(process.bootstrap)


@pytest.fixture(scope="module")
def environ(broker: str) -> dict[str, str]:
    """The configuration, as variables."""
    topics = [*load_settings(None, {}).kafka.input_topics, "otlp_spans"]
    return {
        "MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": broker,
        "MIDWATCH_KAFKA__PARTITIONS": "2",
        "MIDWATCH_KAFKA__INPUT_TOPICS": json.dumps(sorted(set(topics))),
        "MIDWATCH_INGEST_HTTP__PORT": "0",
        "MIDWATCH_INGEST_HTTP__TOKEN": TOKEN,
    }


@pytest.fixture(scope="module")
def settings(environ: dict[str, str]) -> Settings:
    """The same, read; the topics are there."""
    found = load_settings(None, environ)
    asyncio.run(make_topics(found))
    assert {plan.name for plan in plan_topics(found.kafka)} >= {"otlp_spans", "agent.deployments"}
    return found


async def cli(environ: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """A command as its user runs it, in a thread with an event loop of its own."""
    result = await asyncio.to_thread(runner.invoke, app, arguments, env={**environ, "COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


@asynccontextmanager
async def ingest_process(environ: dict[str, str], log: Path) -> AsyncIterator[str]:
    """`midwatch ingest` as a process; its address, from its log."""
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stream.cli", "ingest", env={**os.environ, **environ}, stdout=sink, stderr=sink
        )
    try:
        async with asyncio.timeout(30):
            while (url := listening(log)) is None:
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield url
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


def listening(log: Path) -> str | None:
    """The address in the log, once it is there."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if "ingest_listening" in line]
    return str(lines[0]["url"]) if lines else None


async def test_spans_of_the_real_exporter_and_a_ci_job(
    settings: Settings, environ: dict[str, str], tmp_path: Path
) -> None:
    """The SDK's exporter and `events deployment --url` reach the topics through the process, which ends with 0."""
    async with ingest_process(environ, tmp_path / "ingest.log") as url:
        assert await asyncio.to_thread(export_a_span, f"{url}/v1/traces")
        refused, _, said = await cli(environ, *DEPLOYMENT, "--url", url)
        assert (refused, "401" in said) == (1, True)
        sender = {**environ, "MIDWATCH_INGEST_TOKEN": TOKEN}
        code, out, err = await cli(sender, *DEPLOYMENT, "--url", url, "--json")
        assert code == 0, err
        told = json.loads(out)
        assert told["stored"]["topics"] == {"agent.deployments": 1}
        bad, _, said = await cli(sender, *DEPLOYMENT, "--url", f"{url}/elsewhere")
        assert (bad, "404" in said) == (1, True)
    kafka = kafka_options(settings.kafka)
    [value] = await read_values("otlp_spans", kafka)
    request = ExportTraceServiceRequest.FromString(value)
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "invoke_agent refund-clerk"
    assert told["event"] in [json.loads(one) for one in await read_values("agent.deployments", kafka)]


def export_a_span(endpoint: str) -> bool:
    """One span by OpenTelemetry's own exporter, packed, with the token."""
    exporter = OTLPSpanExporter(
        endpoint=endpoint, headers={"Authorization": f"Bearer {TOKEN}"}, compression=Compression.Gzip
    )
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("invoke_agent refund-clerk"):
        pass
    done = provider.force_flush()
    provider.shutdown()
    return done


async def test_a_ci_job_that_runs_twice_says_the_same(settings: Settings, environ: dict[str, str]) -> None:
    """Same arguments, same id, also through Kafka; what was stored is printed with its place."""
    first = await cli(environ, *DEPLOYMENT, "--phase", "progressed", "--canary-percent", "25", "--json")
    again = await cli(environ, *DEPLOYMENT, "--phase", "progressed", "--canary-percent", "25", "--json")
    assert first[0] == again[0] == 0, (first, again)
    one, two = json.loads(first[1]), json.loads(again[1])
    assert one["event"]["id"] == two["event"]["id"]
    assert one["event"]["target"] == {"kind": "argo_rollout", "ref": {"namespace": "claims", "name": "refund"}}
    assert one["stored"] != two["stored"]
    _, text, _ = await cli(environ, *DEPLOYMENT)
    assert "refund 2.5.0 completed at 100 % of the traffic" in text
    assert "stored at agent.deployments/" in text


async def test_inspect_shows_what_was_understood(settings: Settings, environ: dict[str, str]) -> None:
    """Events with their series, refusals with their reason, unknown fields; nothing is committed, order is time's."""
    topic = "agent.circuit-breakers"
    values: list[tuple[bytes, Any]] = [
        (SAMPLES["resilience4j_actuator"].encoded, SAMPLES["resilience4j_actuator"].headers),
        (b'{"type":"circuit_breaker"', ()),
        (json.dumps(breaker(colour="red")).encode(), ()),
    ]
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers) as producer:
        for number, (value, headers) in enumerate(values):
            at = 1_767_607_200_000 + number
            await producer.send_and_wait(topic, value, headers=list(headers), partition=number % 2, timestamp_ms=at)
    code, out, err = await cli(environ, "inspect", topic, "--json")
    assert code == 0, err
    found = json.loads(out)
    actuator, broken, native = found["records"]
    assert actuator["format"] == "resilience4j"
    assert (actuator["events"][0]["state"], actuator["events"][0]["series"]) == ("open", "production/claims")
    assert actuator["passed_over"] == 3
    assert broken["refused"][0]["reason"] == "malformed_json"
    assert native["unknown_fields"] == {"circuit_breaker.colour": 1}
    assert found["summary"]["formats"]["resilience4j"]["events"] == {"circuit_breaker": 1}
    _, text, _ = await cli(environ, "inspect", topic, "--last", "2")
    assert "refused, malformed_json" in text
    assert "resilience4j" not in text
    assert "ignored: circuit_breaker.colour" in text
    _, later, _ = await cli(environ, "inspect", topic, "--since", "2026-01-05T10:00:00.002Z", "--json")
    assert len(json.loads(later)["records"]) == 1
    missing = await cli(environ, "inspect", "not.there")
    assert (missing[0], "no topic not.there" in missing[2]) == (1, True)
    wrong = await cli(environ, "inspect", topic, "--since", "soon")
    assert (wrong[0], "30m" in wrong[2]) == (2, True)


def breaker(**more: Any) -> dict[str, Any]:
    return {
        "type": "circuit_breaker", "id": "b-1", "time": "2026-01-05T10:00:00Z", "environment": "production",
        "system": "claims", "dependency": "fraud-check", "state": "closed", **more,
    }  # fmt: skip


async def test_the_producer_helper_and_the_endpoints_in_one_loop(settings: Settings) -> None:
    """What the helper stores stands where it says; the endpoints store what every tool's sample holds."""
    kafka = kafka_options(settings.kafka)
    async with Midwatch(kafka=kafka, environment="production", system="claims") as midwatch:
        stored = await midwatch.authorization(agent="clerk", action="refund.issue", decision="deny")
        for number in range(200):
            await midwatch.post("usage", {"model": "gpt-5", "input_tokens": number, "output_tokens": 1})
    insights = await inspect_topic(settings, "agent.authorizations", 10, None)
    assert stored.id in {seen.id for one in insights for seen in one.events}
    usage = summary(await inspect_topic(settings, "agent.usage", None, None))
    assert usage["formats"]["native"]["events"] == {"usage": 200}
    with pytest.raises(TopicMissing):
        await inspect_topic(settings, "not.there", 1, None)
    now = datetime.now(UTC).isoformat()
    async with serve_ingest(settings) as server, httpx.AsyncClient() as client:
        answer = await client.post(
            f"{server.url}/v1/webhooks/opa",
            content=json.dumps([{**one, "timestamp": now} for one in SAMPLES["opa_batch"].value]).encode(),
            headers={"authorization": f"Bearer {TOKEN}", "content-type": "application/json"},
        )
        assert answer.json()["stored"] == 2
    [first, second] = (await inspect_topic(settings, "agent.authorizations", 2, None))[-2:]
    assert {first.format, second.format} == {"opa"}
