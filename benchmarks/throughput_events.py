"""The telemetry of the throughput benchmark: 362 bytes an event, four types, about 1,000 series or more.

Of 20 events 10 are interactions (one in ten of them escalated), 5 usage, 4 authorizations (one in 50 denied) and one is
an evaluation: the scores are a sample of the traffic, not a copy of it. 33 systems have 5 flows and 5 agents each,
which makes 165 series of each of six kinds; more systems make more. Event time moves by a second every 10,000 events.
Events of a series are in one partition, under its name as their key, which spares the peers a repartitioning.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.base import JsonObject
from stream.core.ticks import rfc3339

SIZE: Final = 362
PARTITIONS: Final = 4
SYSTEMS: Final = 33
FLOWS: Final = 5
SERIES_A_SYSTEM: Final = 30
START_MS: Final = 1_767_607_200_000
EVENTS_A_SECOND: Final = 10_000
KINDS: Final = ("interaction",) * 10 + ("usage",) * 5 + ("authorization",) * 4 + ("evaluation",)


def event_ms(number: int) -> int:
    """The event time of the event `number`, in ms."""
    return START_MS + number * 1000 // EVENTS_A_SECOND


def systems_for(series: int) -> int:
    """How many systems have about so many series."""
    return max(series // SERIES_A_SYSTEM, 1)


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as it goes to Kafka; `place` decides its partition."""

    place: int
    key: bytes
    value: bytes
    time_ms: int


def values(count: int, seed: int = 7, systems: int = SYSTEMS) -> Iterator[bytes]:
    """`count` events as compact JSON, padded to the same size. The same seed gives the same bytes."""
    return (sent.value for sent in events(count, seed, systems))


def events(count: int, seed: int = 7, systems: int = SYSTEMS) -> Iterator[Sent]:
    """The same with their keys and places."""
    chance = random.Random(seed)
    for number in range(count):
        time_ms = event_ms(number)
        place, kind = chance.randrange(systems * FLOWS), chance.choice(KINDS)
        yield _sent(_event(kind, place, number, time_ms, chance), place, time_ms)


def closing(partition: int, number: int) -> Sent:
    """An event an hour behind all others, which closes the windows of its partition."""
    time_ms = event_ms(number) + 3_600_000
    event = _event("interaction", 0, number, time_ms, random.Random(partition))
    return _sent(event | {"system": "closing"}, partition, time_ms)


def _sent(event: JsonObject, place: int, time_ms: int) -> Sent:
    text = json.dumps(event, separators=(",", ":"))
    event["conversation_id"] = "c" * max(SIZE - len(text) - len(',"conversation_id":""'), 1)
    key = f"{event['type']}|{event['system']}|{place % FLOWS}".encode()
    return Sent(place, key, json.dumps(event, separators=(",", ":")).encode(), time_ms)


def _event(kind: str, series: int, number: int, time_ms: int, chance: random.Random) -> JsonObject:
    event: JsonObject = {
        "type": kind,
        "id": f"{kind[:3]}-{number:012d}",
        "time": rfc3339(time_ms),
        "environment": "production",
        "system": f"system-{series // FLOWS:02d}",
        "trace_id": f"{chance.getrandbits(128):032x}",
        "tags": {"cost-center": f"cc-{series % 7}"},
    }
    return event | _body(kind, series % FLOWS, chance)


def _body(kind: str, place: int, chance: random.Random) -> JsonObject:
    flow, agent = f"flow-{place}", f"agent-{place}"
    if kind == "interaction":
        escalated = chance.random() < 0.1
        more = {"escalation": {"reason": "high_risk"}} if escalated else {}
        outcome = "escalated" if escalated else "resolved"
        duration = chance.uniform(100, 9000)
        return {"flow": flow, "version": "2026.1.3", "outcome": outcome, "duration_ms": duration, **more}
    if kind == "usage":
        tokens = {"input_tokens": chance.randrange(100, 8000), "output_tokens": chance.randrange(10, 900)}
        cost = {"cost_usd": chance.randrange(100, 9000) / 1_000_000}
        return {"agent": agent, "flow": flow, "model": "gpt-4.1-mini", **tokens, **cost}
    if kind == "authorization":
        decision = "deny" if chance.random() < 0.02 else "allow"
        return {"agent": agent, "action": "read-policy", "decision": decision, "principal": f"service-{place}"}
    return {"flow": flow, "version": "2026.1.3", "criterion": "tone", "score": round(chance.uniform(1, 5), 2)}
