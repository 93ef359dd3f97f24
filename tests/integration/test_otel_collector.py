"""A real OpenTelemetry collector with the shipped configuration, between the real SDK and the engine's decoder."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from stream.adapters import Decoder, Evaluation, Limits, Usage
from stream.adapters.otlp import OtlpReader
from stream.core.spans import Root, TracedSpan
from stream.embedded.ports import free_port
from tests.support.engine import Reader, make_topics, settings_from, write_config
from tests.support.otelcol import otelcol
from tests.support.otlp import RESOURCE

CONFIG = Path(__file__).parents[2] / "deploy/otel-collector/collector.yaml"
TRACES = 500

# A first run builds the collector.
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


@asynccontextmanager
async def collector(folder: Path, bootstrap: str, change: Callable[[str], str]) -> AsyncIterator[str]:
    """The collector with the shipped configuration, on ports of its own; the address that takes OTLP by HTTP."""
    grpc, http = free_port(), free_port()
    text = CONFIG.read_text(encoding="utf-8").replace(":4317", f":{grpc}").replace(":4318", f":{http}")
    config = folder / "collector.yaml"
    config.write_text(change(text), encoding="utf-8")
    with (folder / "collector.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(otelcol()),
            "--config",
            str(config),
            env={**os.environ, "KAFKA_BROKERS": bootstrap},
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        async with asyncio.timeout(30):
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", http)) == 0:
                        break
                assert process.returncode is None, (folder / "collector.log").read_text(encoding="utf-8")
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{http}"
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)


def send(endpoint: str, run: str) -> None:
    """Traces of an agent with a model call, by the SDK's batching exporter, and a score, as a log of the SDK's."""
    resource = Resource({**RESOURCE, "service.name": run})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    tracer = provider.get_tracer("test")
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "triage"}
    chat: dict[str, str | int] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    chat["gen_ai.usage.input_tokens"] = 5
    for _ in range(TRACES):
        with tracer.start_as_current_span("a", attributes=agent), tracer.start_as_current_span("c", attributes=chat):
            pass
    provider.force_flush()
    provider.shutdown()
    logs = LoggerProvider(resource=resource, shutdown_on_exit=False)
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(endpoint=f"{endpoint}/v1/logs")))
    score: dict[str, Any] = {"gen_ai.evaluation.name": "coherence", "gen_ai.evaluation.score.value": 4.0}
    logs.get_logger("test").emit(
        LogRecord(timestamp=time.time_ns(), event_name="gen_ai.evaluation.result", attributes=score)
    )
    logs.shutdown()


@pytest.mark.parametrize("form", ["protobuf", "json, a trace a record"])
async def test_a_collectors_records_are_read(form: str, real_kafka: Any, tmp_path: Path) -> None:
    """Through a real Kafka every span comes once, and the score, in either encoding and with or without keys."""

    def change(text: str) -> str:
        if form == "protobuf":
            return text
        text = text.replace("otlp_proto", "otlp_json")
        return text.replace("partition_traces_by_id: false", "partition_traces_by_id: true")

    bootstrap, run = real_kafka.bootstrap, f"collector-{form[:4]}-{os.getpid()}"
    await make_topics(settings_from(write_config(tmp_path, bootstrap, "redis://127.0.0.1:1/0")))
    async with Reader(bootstrap, ["otlp_spans", "otlp_logs"]) as reader, collector(tmp_path, bootstrap, change) as to:
        await asyncio.to_thread(send, to, run)
        decoder = Decoder(Limits(), otlp=OtlpReader())

        def mine(records: list[Any]) -> list[Any]:
            batch = decoder.decode_batch([(one.value, one.headers, one.timestamp) for one in records])
            assert not batch.rejections
            return [one for one in batch.events if one.system == run]

        def all_there(records: list[Any]) -> bool:
            found = mine(records)
            return sum(isinstance(one, Usage) for one in found) >= TRACES and any(
                isinstance(one, Evaluation) for one in found
            )

        found = mine(await reader.until(all_there))
    roots = [one for one in found if isinstance(one, TracedSpan) and one.fact.root == Root.TRUE]
    assert len({one.trace_id for one in roots}) == len(roots) == TRACES
    assert sum(one.input_tokens for one in found if isinstance(one, Usage)) == 5 * TRACES
    assert {one.environment for one in found} == {"production"}
    assert [(one.criterion, one.score) for one in found if isinstance(one, Evaluation)] == [("coherence", 4.0)]
