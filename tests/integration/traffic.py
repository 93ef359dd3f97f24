"""Telemetry for the engine's integration tests: hours of calm, then escalations, over several partitions."""

from __future__ import annotations

from schemas.base import JsonObject
from schemas.canonical import canonical_json
from stream.core.ticks import MINUTE_MS, rfc3339
from tests.support.engine import PARTITIONS

START_MINUTE = 29_540_160
MINUTES = 240
SPIKE_AT = 200
SYSTEMS = ("refunds", "claims", "orders")
PER_MINUTE = 8
Record = tuple[str, int, bytes, int]


def _interaction(number: int, ms: int, system: str, escalated: bool) -> JsonObject:
    event: JsonObject = {
        "type": "interaction",
        "id": f"i{number}",
        "time": rfc3339(ms),
        "environment": "production",
        "system": system,
        "flow": f"{system}-flow",
        "version": "7",
        "outcome": "escalated" if escalated else "resolved",
        "trace_id": f"t{number}",
    }
    if escalated:
        event["escalation"] = {"reason": "ambiguous", "agent": "decider"}
    return event


def events() -> list[tuple[int, JsonObject]]:
    """(ms, event) in the order of time: one system in three spikes, one is steady, one has a denial spike."""
    found: list[tuple[int, JsonObject]] = []
    number = 0
    for minute in range(MINUTES):
        for index, system in enumerate(SYSTEMS):
            for slot in range(PER_MINUTE):
                number += 1
                ms = (START_MINUTE + minute) * MINUTE_MS + slot * 7_000 + index * 500
                spiking = system == "refunds" and minute >= SPIKE_AT
                escalated = number % 2 == 0 if spiking else number % 25 == 0
                found.append((ms, _interaction(number, ms, system, escalated)))
            ms = (START_MINUTE + minute) * MINUTE_MS + 59_000 + index
            denied = system == "claims" and minute >= SPIKE_AT
            for call in range(4):
                number += 1
                found.append(
                    (
                        ms,
                        {
                            "type": "authorization",
                            "id": f"a{number}",
                            "time": rfc3339(ms),
                            "environment": "production",
                            "system": system,
                            "agent": "executor",
                            "action": "transfer",
                            "principal": "customer",
                            "decision": "deny" if denied and call else "allow",
                        },
                    )
                )
    return sorted(found, key=lambda item: item[0])


def records() -> list[Record]:
    """The events spread over the partitions of two topics, without keys, each partition in the order of time.

    Any event type comes on any topic: what is in a record tells, not where it stands.
    """
    return [
        (("agent.interactions", "agent.authorizations")[index % 2], index // 2 % PARTITIONS, canonical_json(event), ms)
        for index, (ms, event) in enumerate(events())
    ]


def closing(minute: int) -> list[Record]:
    """One late event on each partition of every input topic, so that the watermark passes everything before."""
    from schemas.words import INPUT_TOPICS

    ms = (START_MINUTE + minute) * MINUTE_MS
    return [
        (topic, partition, canonical_json(_interaction(10**6 + 100 * t + partition, ms, "orders", False)), ms)
        for t, topic in enumerate(INPUT_TOPICS)
        for partition in range(PARTITIONS)
    ]
