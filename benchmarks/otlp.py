"""What reading OpenTelemetry spans costs: spans a second of one core, beside the bare parse of the same bytes.

Run it with `python -m benchmarks.otlp`. Spans are shaped like those of an instrumented agent (five to nine attributes
each, prompts left out); "mixed" has three spans of other services for each of an agent's. Contenders take turns in
every round, so that a noisy machine treats them alike; the median of the rounds is printed. CPU time, not wall time.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stream.adapters import Decoder
from stream.adapters.otlp import OtlpReader
from stream.core.deltas import pack
from stream.core.fold import Batch, PartitionFold
from stream.core.shards import ShardMap
from stream.core.spans import TracePart
from stream.core.traces import Traces

SPANS: Final = 8_192
ROUNDS: Final = 7
JSON_FORMAT_SPANS: Final = 1_024
READER: Final = OtlpReader()
_START_MS: Final = 1_767_607_200_000


def attributes(span: Any, values: Mapping[str, str | int]) -> None:
    """Put attributes into a span or a resource."""
    for key, value in values.items():
        pair = span.attributes.add(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value


def shapes(number: int) -> tuple[tuple[str, dict[str, str | int]], ...]:
    """The spans of one request in the order of their ends, as name and attributes."""
    model: dict[str, str | int] = {"gen_ai.provider.name": "azure.ai.openai", "gen_ai.request.model": "gpt-4.1-mini"}
    chat: dict[str, str | int] = {
        "gen_ai.operation.name": "chat",
        **model,
        "gen_ai.response.model": "gpt-4.1-mini-2025-04-14",
        "gen_ai.response.id": f"chatcmpl-{number:012d}",
        "gen_ai.request.temperature": 0,
        "gen_ai.usage.input_tokens": 1_200 + number % 400,
        "gen_ai.usage.output_tokens": 80 + number % 40,
        "server.address": "claims.openai.azure.com",
        "server.port": 443,
    }
    tool: dict[str, str | int] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "policy_lookup",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": f"call_{number:012d}",
        "gen_ai.tool.description": "Looks a policy up by its number.",
    }
    agent: dict[str, str | int] = {
        "gen_ai.operation.name": "invoke_agent",
        **model,
        "gen_ai.agent.name": "claims-triage",
        "gen_ai.agent.id": "asst_1",
        "gen_ai.conversation.id": f"conv-{number:08d}",
        "gen_ai.usage.input_tokens": 2_600,
        "gen_ai.usage.output_tokens": 200,
    }
    return (("chat", chat), ("execute_tool policy_lookup", tool), ("chat", chat), ("invoke_agent claims-triage", agent))


OTHER: Final[dict[str, str | int]] = {
    "http.request.method": "GET",
    "url.full": "https://policies.internal/v1/policies/4711",
    "server.address": "policies.internal",
    "server.port": 443,
    "http.response.status_code": 200,
    "network.protocol.version": "1.1",
    "user_agent.original": "python-httpx/0.28.1",
}


def requests(per_message: int, *, mixed: bool = False) -> list[bytes]:
    """Export requests of `per_message` spans each, `SPANS` in all."""
    dice = random.Random(1)
    found, message = [], ExportTraceServiceRequest()
    spans: Any = None
    trace, number = b"", 0
    for index in range(SPANS):
        if index % per_message == 0:
            message = ExportTraceServiceRequest()
            part = message.resource_spans.add()
            attributes(part.resource, {"service.name": "claims", "service.version": "1.4.2", "host.name": "node-7"})
            attributes(part.resource, {"deployment.environment.name": "production", "telemetry.sdk.language": "python"})
            spans = part.scope_spans.add().spans
        ours = not mixed or index % 4 == 3
        shape = number % 4
        if shape == 0 or not trace:
            trace = dice.randbytes(16)
        name, said = shapes(number // 4)[shape] if ours else ("GET", OTHER)
        end = (_START_MS + index) * 1_000_000
        span = spans.add(
            trace_id=trace,
            span_id=dice.randbytes(8),
            name=name,
            kind=1 if ours else 3,
            start_time_unix_nano=end - 800_000_000,
            end_time_unix_nano=end,
        )
        if not (ours and shape == 3):
            span.parent_span_id = dice.randbytes(8)
        attributes(span, said)
        number += ours
        if (index + 1) % per_message == 0:
            found.append(message.SerializeToString())
    return found


def as_json(value: bytes) -> bytes:
    """The same request as OTLP JSON: ids in hexadecimal, as a collector writes them."""
    message = ExportTraceServiceRequest()
    message.ParseFromString(value)
    plain = json_format.MessageToDict(message, use_integers_for_enums=True)
    for part, source in zip(plain["resourceSpans"], message.resource_spans, strict=True):
        for scope, one in zip(part["scopeSpans"], source.scope_spans, strict=True):
            for span, own in zip(scope["spans"], one.spans, strict=True):
                span |= {"traceId": own.trace_id.hex(), "spanId": own.span_id.hex()}
                if own.parent_span_id:
                    span["parentSpanId"] = own.parent_span_id.hex()
    return json.dumps(plain, separators=(",", ":")).encode()


def _parse(values: list[bytes]) -> None:
    for value in values:
        ExportTraceServiceRequest().ParseFromString(value)


def _json_format(values: list[bytes]) -> None:
    for value in values:
        json_format.Parse(value, ExportTraceServiceRequest())


def _read(values: list[bytes]) -> None:
    Decoder(otlp=READER).decode_batch([(value, (), _START_MS) for value in values])


def _fold(values: list[bytes]) -> None:
    events = Decoder(otlp=READER).decode_batch([(value, (), _START_MS) for value in values]).events
    batch = Batch()
    PartitionFold(5_000).add(events, batch)
    for ticks in batch.spread(ShardMap(16)).values():
        for delta in ticks.values():
            pack(delta)


def costs(rounds: int) -> tuple[float, float]:
    """What waiting and finishing cost: bytes of an inbox a span, and microseconds a trace of four spans."""
    events = Decoder(otlp=READER).decode_batch([(value, (), _START_MS) for value in requests(128)]).events
    batch = Batch()
    PartitionFold(5_000).add(events, batch)
    ticks = {tick: delta for shard in batch.spread(ShardMap(1)).values() for tick, delta in shard.items()}
    stored = sum(len(pack(delta)) for delta in ticks.values())
    parts = {tick: [r for r in delta.records if isinstance(r, TracePart)] for tick, delta in ticks.items()}
    last, taken = max(parts), []
    for _ in range(rounds):
        traces = Traces()
        gc.collect()
        begin = time.process_time()
        for tick in range(min(parts), last + 10):
            traces.step(tick, parts.get(tick, ()))
        taken.append(time.process_time() - begin)
        if traces.finished.total() != SPANS // 4:
            raise RuntimeError(f"{traces.finished.total()} traces were finished, not {SPANS // 4}")
    return stored / SPANS, statistics.median(taken) / (SPANS // 4) * 1e6


def contenders(sizes: tuple[int, ...]) -> dict[str, tuple[int, Callable[[], object]]]:
    """Name to the number of spans and a run over them."""
    found: dict[str, tuple[int, Callable[[], object]]] = {}
    for size in sizes:
        for kind, values in (("agents", requests(size)), ("mixed", requests(size, mixed=True))):
            label = f"{kind}, {size} a record"
            texts = [as_json(value) for value in values]
            found[f"{label}: ParseFromString alone"] = (SPANS, partial(_parse, values))
            found[f"{label}: decode and map"] = (SPANS, partial(_read, values))
            found[f"{label}: JSON, decode and map"] = (SPANS, partial(_read, texts))
            if kind == "agents":
                found[f"{label}: decode, map, fold and pack"] = (SPANS, partial(_fold, values))
                few = texts[: max(JSON_FORMAT_SPANS // size, 1)]
                found[f"{label}: json_format alone"] = (size * len(few), partial(_json_format, few))
    return found


def measure(runs: dict[str, tuple[int, Callable[[], object]]], rounds: int) -> dict[str, float]:
    """Median spans a second for each run."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (spans, run) in runs.items():
            gc.collect()
            begin = time.process_time()
            run()
            taken[name].append(spans / (time.process_time() - begin))
    return {name: statistics.median(rates) for name, rates in taken.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sizes", type=int, nargs="*", default=[8, 128, 1024], help="spans a record; powers of two")
    options = parser.parse_args()
    results = measure(contenders(tuple(options.sizes)), options.rounds)
    bytes_each = statistics.mean(map(len, requests(128))) / 128
    print(f"{SPANS:,} spans of about {bytes_each:.0f} bytes, median of {options.rounds} rounds, CPU time of one core")
    print(f"{'':52}{'spans/s':>12}{'of the parse':>14}")
    for name, rate in results.items():
        base = results[f"{name.partition(':')[0]}: ParseFromString alone"]
        print(f"{name:52}{rate:12,.0f}{rate / base:14.3f}")
    stored, finishing = costs(options.rounds)
    print(f"a span takes {stored:.0f} bytes in an inbox; finishing a trace of four spans takes {finishing:.0f} us")


if __name__ == "__main__":
    main()
