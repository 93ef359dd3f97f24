"""The telemetry of the fault suite: a fleet whose incidents follow a script, the same for the same seed.

Time goes by slices of 20 seconds of event time. What a slice holds depends on the seed and the slice's number alone, so
a run can be told again, and nothing of it need be kept. Each system has an incident every two and a half hours, of one
of four causes in turn. Some events come late, some come twice, and one record in a hundred is poison.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from schemas.base import JsonObject
from stream.core.ticks import MINUTE_MS, rfc3339

START_MS: Final = 29_540_160 * MINUTE_MS
SLICE_MS: Final = 20_000
SYSTEMS: Final = 12
PARTITIONS: Final = 3
TOPICS: Final = (
    "agent.interactions",
    "agent.authorizations",
    "agent.circuit-breakers",
    "agent.evaluations",
    "agent.deployments",
)
INCIDENT_EVERY: Final = 150
INCIDENT_MINUTES: Final = 35
CALM_MINUTES: Final = 200
"""Minutes of history before the first incident: baselines want some."""

CAUSES: Final = ("deployment", "denials", "dependency", "riskier cohort")
LATE_SHARE: Final = 0.005
REPEATED_SHARE: Final = 0.005
REPEATED_CHANGES_SHARE: Final = 0.1
POISON_SHARE: Final = 0.01
MARK: Final = b"poison-"
"""Every poison record carries it, and no other does."""

OVERSIZE: Final = 70_000
MAX_RECORD_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Sent:
    """A record for a topic; `ms` is its timestamp."""

    topic: str
    partition: int
    value: bytes
    ms: int


class Fleet:
    """What the fleet sends in each slice.

    Args:
        seed: another seed is another fleet.
        per_slice: events in a slice, poison not counted.
    """

    def __init__(self, seed: int, per_slice: int) -> None:
        self.seed = seed
        self.per_slice = per_slice

    def records(self, number: int) -> Iterator[Sent]:
        """The records of the slice `number`, in the order in which they are sent."""
        chance = random.Random(f"{self.seed}/{number}")
        start = START_MS + number * SLICE_MS
        times = sorted(start + chance.randrange(SLICE_MS) for _ in range(self.per_slice))
        for place, ms in enumerate(times):
            identity = f"{number}-{place}"
            system = chance.randrange(SYSTEMS)
            kind = chance.random()
            if kind < 0.80:
                yield from self._interaction(chance, identity, system, ms)
            elif kind < 0.97:
                yield _sent(chance, "agent.authorizations", _authorization(chance, identity, system, ms), ms)
            else:
                yield from _twice_at_times(
                    chance, "agent.evaluations", _evaluation(chance, identity, system, ms), ms, REPEATED_CHANGES_SHARE
                )
            if chance.random() < POISON_SHARE:
                value = poison(chance, identity, ms)
                yield Sent(chance.choice(TOPICS), chance.randrange(PARTITIONS), value, ms)
        yield from self._changes(chance, number, start)

    def _interaction(self, chance: random.Random, identity: str, system: int, ms: int) -> Iterator[Sent]:
        late = chance.random() < LATE_SHARE
        own = ms - chance.randrange(1, 20) * MINUTE_MS if late else ms
        incident = cause_at(system, own)
        share = {None: 0.04, "denials": 0.45}.get(incident, 0.55)
        event: JsonObject = {
            "type": "interaction",
            "id": f"i-{identity}",
            **_where(system, own),
            "flow": f"flow-{chance.randrange(3)}",
            "version": "8" if incident == "deployment" else "7",
            "outcome": "escalated" if chance.random() < share else "resolved",
            "trace_id": f"{chance.getrandbits(64):016x}",
        }
        if event["outcome"] == "escalated":
            reason = "dependency_unavailable" if incident == "dependency" else "ambiguous"
            event["escalation"] = {"reason": reason, "agent": "decider"}
        yield from _twice_at_times(chance, "agent.interactions", event, ms, REPEATED_SHARE)

    def _changes(self, chance: random.Random, number: int, start: int) -> Iterator[Sent]:
        """Deployments and breakers at the beginning of incidents, each sent twice now and then."""
        for system in range(SYSTEMS):
            minute = start // MINUTE_MS
            if start % MINUTE_MS or not _begins(system, minute):
                continue
            cause = cause_at(system, start)
            if cause == "deployment":
                event = {
                    "type": "deployment",
                    "id": f"d-{system}-{number}",
                    **_where(system, start),
                    "change": "flow",
                    "component": "flow-0",
                    "version": "8",
                    "previous_version": "7",
                    "phase": "completed",
                    "canary_percent": 100,
                }
                yield from _twice_at_times(chance, "agent.deployments", event, start, 0.5)
            if cause == "dependency":
                event = {
                    "type": "circuit_breaker",
                    "id": f"b-{system}-{number}",
                    **_where(system, start),
                    "dependency": "fraud-check",
                    "state": "open",
                    "previous_state": "closed",
                }
                yield from _twice_at_times(chance, "agent.circuit-breakers", event, start, 0.5)

    def closing(self, number: int) -> Iterator[Sent]:
        """One event on each partition at the start of slice `number`: every watermark passes what was before."""
        ms = START_MS + number * SLICE_MS
        for place, topic in enumerate(TOPICS):
            for partition in range(PARTITIONS):
                identity = f"c-{number}-{place}-{partition}"
                event: JsonObject = {
                    "type": "interaction",
                    "id": identity,
                    **_where(0, ms),
                    "flow": "flow-0",
                    "outcome": "resolved",
                }
                yield Sent(topic, partition, msgspec.json.encode(event), ms)


def _offset(system: int) -> int:
    """The first minute of a system's first incident."""
    return START_MS // MINUTE_MS + CALM_MINUTES + system * (INCIDENT_EVERY // SYSTEMS)


def _begins(system: int, minute: int) -> bool:
    since = minute - _offset(system)
    return since >= 0 and since % INCIDENT_EVERY == 0


def cause_at(system: int, ms: int) -> str | None:
    """What is wrong with a system at a time, if anything."""
    since = ms // MINUTE_MS - _offset(system)
    if since < 0 or since % INCIDENT_EVERY >= INCIDENT_MINUTES:
        return None
    return CAUSES[(system + since // INCIDENT_EVERY) % len(CAUSES)]


def _where(system: int, ms: int) -> JsonObject:
    # Tags that change from event to event: a verdict shows which one's count.
    tags = {"cost-center": f"cc-{ms % 7}"}
    return {"time": rfc3339(ms), "environment": "production", "system": f"system-{system}", "tags": tags}


def _authorization(chance: random.Random, identity: str, system: int, ms: int) -> JsonObject:
    denied = chance.random() < (0.6 if cause_at(system, ms) == "denials" else 0.01)
    return {
        "type": "authorization",
        "id": f"a-{identity}",
        **_where(system, ms),
        "agent": "executor",
        "action": "transfer",
        "principal": f"customer-{chance.randrange(5)}",
        "decision": "deny" if denied else "allow",
    }


def _evaluation(chance: random.Random, identity: str, system: int, ms: int) -> JsonObject:
    return {
        "type": "evaluation",
        "id": f"e-{identity}",
        **_where(system, ms),
        "flow": f"flow-{chance.randrange(3)}",
        "criterion": "escalation_appropriateness",
        "score": chance.choice((3.5, 4.0, 4.0, 4.5)),
    }


def _sent(chance: random.Random, topic: str, event: JsonObject, ms: int) -> Sent:
    return Sent(topic, chance.randrange(PARTITIONS), msgspec.json.encode(event), ms)


def _twice_at_times(
    chance: random.Random, topic: str, event: JsonObject, ms: int, share: float
) -> Iterator[Sent]:
    """The event, and a share of times once more, maybe on another partition: the producer repeats itself."""
    yield _sent(chance, topic, event, ms)
    if chance.random() < share:
        yield _sent(chance, topic, event, ms)


def poison(chance: random.Random, identity: str, ms: int) -> bytes:
    """A record that nobody can read as an event, of one of nine kinds."""
    mark = MARK.decode() + identity
    event: JsonObject = {"type": "interaction", "id": mark, **_where(0, ms), "flow": "flow-0", "outcome": "resolved"}
    kinds: tuple[bytes, ...] = (
        f'{{"{mark}": '.encode(),
        f'["{mark}"]'.encode(),
        b"\xff\xfe" + mark.encode(),
        f'{{"{mark}": '.encode() + b"[" * 300 + b"]" * 300 + b"}",
        msgspec.json.encode({**event, "outcome": "exploded"}),
        msgspec.json.encode({**event, "time": "yesterday"}),
        msgspec.json.encode({**event, "time": "2100-01-01T00:00:00Z"}),
        msgspec.json.encode({**event, "type": "horoscope"}),
        msgspec.json.encode({**event, "request": "x" * OVERSIZE}),
    )
    return chance.choice(kinds)
