"""A real OpenTelemetry collector with the shipped configuration, between the real SDK and the engine's decoder.

Runs where `MIDWATCH_OTELCOL` names a collector with the kafka exporter: `deploy/otel-collector/builder.yaml` is one.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from stream.adapters import Decoder, Limits, Usage
from stream.adapters.otlp import OtlpReader
from stream.core.spans import Root, TracedSpan
from stream.embedded import EmbeddedKafkaProcess
from stream.embedded.ports import free_port
from tests.support.engine import Reader, make_topics, settings_from, write_config
from tests.support.otlp import RESOURCE

CONFIG = Path(__file__).parents[2] / "deploy/otel-collector/collector.yaml"
TRACES = 500

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif("MIDWATCH_OTELCOL" not in os.environ, reason="MIDWATCH_OTELCOL names no collector"),
]


@asynccontextmanager
async def collector(folder: Path, bootstrap: str, change: Callable[[str], str]) -> AsyncIterator[str]:
    """The collector with the shipped configuration, on ports of its own; the address that takes OTLP by HTTP."""
    grpc, http = free_port(), free_port()
    text = CONFIG.read_text(encoding="utf-8").replace(":4317", f":{grpc}").replace(":4318", f":{http}")
    config = folder / "collector.yaml"
    config.write_text(change(text), encoding="utf-8")
    with (folder / "collector.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            os.environ["MIDWATCH_OTELCOL"],
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
        yield f"http://127.0.0.1:{http}/v1/traces"
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)


def send(endpoint: str) -> None:
    """Traces of an agent with a model call, by the SDK's batching exporter."""
    provider = TracerProvider(resource=Resource(RESOURCE), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    tracer = provider.get_tracer("test")
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "triage"}
    chat: dict[str, str | int] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    chat["gen_ai.usage.input_tokens"] = 5
    for _ in range(TRACES):
        with tracer.start_as_current_span("a", attributes=agent), tracer.start_as_current_span("c", attributes=chat):
            pass
    provider.force_flush()
    provider.shutdown()


@pytest.mark.parametrize("form", ["protobuf", "json, a trace a record"])
async def test_a_collectors_records_are_read(form: str, tmp_path: Path) -> None:
    """Every span comes through, once, in either encoding and with or without keys."""

    def change(text: str) -> str:
        if form == "protobuf":
            return text
        text = text.replace("otlp_proto", "otlp_json")
        return text.replace("partition_traces_by_id: false", "partition_traces_by_id: true")

    with EmbeddedKafkaProcess() as broker:
        await make_topics(settings_from(write_config(tmp_path, broker.bootstrap, "redis://127.0.0.1:1/0")))
        collecting = collector(tmp_path, broker.bootstrap, change)
        async with Reader(broker.bootstrap, ["otlp_spans"]) as reader, collecting as to:
            await asyncio.to_thread(send, to)
            decoder = Decoder(Limits(), otlp=OtlpReader())

            def spans(records: list[Any]) -> list[Any]:
                batch = decoder.decode_batch([(one.value, one.headers, one.timestamp) for one in records])
                assert not batch.rejections
                return batch.events

            def all_there(records: list[Any]) -> bool:
                return sum(isinstance(one, Usage) for one in spans(records)) >= TRACES

            found = spans(await reader.until(all_there))
    roots = [one for one in found if isinstance(one, TracedSpan) and one.fact.root == Root.TRUE]
    assert len({one.trace_id for one in roots}) == len(roots) == TRACES
    assert sum(one.input_tokens for one in found if isinstance(one, Usage)) == 5 * TRACES
    assert {(one.environment, one.system) for one in found} == {("production", "support")}
