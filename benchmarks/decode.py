"""What decoding costs: microseconds an event, Midwatch's decoder beside the ways that it was chosen over.

Run it with `python -m benchmarks.decode`. Contenders take turns in every round, so that a noisy machine treats them
alike; the median of the rounds is printed, and the ratio to the decoder's fast way, which holds up under noise.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from schemas.base import JsonObject
from schemas.events import EVENT
from stream.adapters import Decoder, NativeEvent
from stream.adapters.decoder import Record

EVENTS: Final = 2_000
ROUNDS: Final = 15
_START_MS: Final = 1_767_607_200_000


def interaction(number: int) -> JsonObject:
    """An interaction without steps or texts, of about 360 bytes."""
    second, millisecond = divmod(number * 37, 1000)
    return {
        "type": "interaction",
        "id": f"int-{number:012d}",
        "time": f"2026-01-05T10:{second // 60 % 60:02d}:{second % 60:02d}.{millisecond:03d}Z",
        "environment": "production",
        "system": "claims-intake",
        "flow": "claims-triage",
        "version": "2026.1.3",
        "model": "gpt-4.1-mini",
        "outcome": "escalated" if number % 10 == 0 else "resolved",
        "duration_ms": 1834.5 + number,
        "trace_id": f"{number:032x}",
        "conversation_id": f"conv-{number:08d}",
        "tags": {"business-unit": "claims", "cost-center": "cc-1"},
    }


def values(change: Callable[[JsonObject], JsonObject] = lambda event: event) -> list[bytes]:
    """The events as compact JSON, each after `change`."""
    return [json.dumps(change(interaction(number)), separators=(",", ":")).encode() for number in range(EVENTS)]


def records(contents: list[bytes], headers: tuple[tuple[str, bytes], ...] = ()) -> list[Record]:
    """The values as records received when the events happened."""
    return [(content, headers, _START_MS) for content in contents]


def with_texts(event: JsonObject) -> JsonObject:
    """The event with the texts that a judge reads, about 3,000 characters."""
    return event | {"request": "My window broke in the storm. " * 50, "response": "We will send someone. " * 68}


def with_steps(event: JsonObject) -> JsonObject:
    """The event with five steps."""
    step = {"agent": "triage", "operation": "chat", "start_ms": 0, "duration_ms": 310.5, "status": "ok"}
    return event | {"steps": [step | {"name": f"step-{number}"} for number in range(5)]}


def wrapped(event: JsonObject) -> JsonObject:
    """The event as the data of a structured CloudEvent."""
    return {"specversion": "1.0", "id": event["id"], "source": "/bench", "type": "midwatch.interaction", "data": event}


def contenders() -> Mapping[str, Callable[[], object]]:
    """Name to a run over all events."""
    decoder, plain = Decoder(), values()
    structures, untyped = msgspec.json.Decoder(NativeEvent).decode, msgspec.json.Decoder().decode
    texts, steps = records(values(with_texts)), records(values(with_steps))
    extra, bad = records(values(lambda event: event | {"shift": "night"})), records(values(lambda e: e | {"flow": 1}))
    structured = records(values(wrapped), (("content-type", b"application/cloudevents+json"),))
    batch = records(plain)
    return {
        "decoder, a batch": lambda: decoder.decode_batch(batch),
        "decoder, one by one": lambda: [decoder.decode(*record) for record in batch],
        "msgspec structures only": lambda: [structures(value) for value in plain],
        "msgspec without a schema": lambda: [untyped(value) for value in plain],
        "pydantic (the contract)": lambda: [EVENT.validate_json(value) for value in plain],
        "decoder, with five steps": lambda: decoder.decode_batch(steps),
        "decoder, with 3,000 characters of text": lambda: decoder.decode_batch(texts),
        "decoder, with an unknown field": lambda: decoder.decode_batch(extra),
        "decoder, structured CloudEvents": lambda: decoder.decode_batch(structured),
        "decoder, rejections": lambda: decoder.decode_batch(bad),
    }


def measure(runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median microseconds an event for each run."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            gc.collect()
            begin = time.process_time()
            run()
            taken[name].append((time.process_time() - begin) * 1e6 / EVENTS)
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    """Measure and print."""
    size = statistics.mean(map(len, values()))
    results = measure(contenders())
    base = results["decoder, a batch"]
    print(f"{EVENTS:,} interactions of {size:.0f} bytes, median of {ROUNDS} rounds")
    print(f"{'':42}{'us/event':>9}{'ratio':>8}")
    for name, microseconds in results.items():
        print(f"{name:42}{microseconds:9.2f}{microseconds / base:8.2f}")


if __name__ == "__main__":
    main()
