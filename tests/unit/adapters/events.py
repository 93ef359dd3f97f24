"""Valid events of every type, in the smallest form, for tests to change."""

from __future__ import annotations

import json
from typing import Any, cast

from stream.adapters import Decoder, NativeEvent, Rejection
from stream.adapters.payload import Headers

NOW_MS = 1_767_607_200_000
"""2026-01-05T10:00:00Z, the time of all events here."""

COMMON = {"id": "e-1", "time": "2026-01-05T10:00:00Z", "environment": "production", "system": "claims"}

SMALLEST: dict[str, dict[str, Any]] = {
    "interaction": COMMON | {"type": "interaction", "flow": "triage", "outcome": "resolved"},
    "authorization": COMMON | {"type": "authorization", "agent": "a", "action": "read", "decision": "deny"},
    "circuit_breaker": COMMON | {"type": "circuit_breaker", "dependency": "fraud-check", "state": "open"},
    "evaluation": COMMON | {"type": "evaluation", "flow": "triage", "criterion": "tone", "score": 4.5},
    "deployment": COMMON
    | {
        "type": "deployment",
        "change": "prompt",
        "component": "triage",
        "version": "2",
        "phase": "started",
        "canary_percent": 5,
    },
    "usage": COMMON | {"type": "usage", "model": "m", "input_tokens": 10, "output_tokens": 2},
}

INTERACTION = SMALLEST["interaction"]


def encoded(event: Any) -> bytes:
    """The event as JSON."""
    return json.dumps(event).encode()


def decode(decoder: Decoder, value: bytes | None, headers: Headers = ()) -> Any:
    """What `decoder` makes of a record that was received at `NOW_MS`."""
    return decoder.decode(value, headers, NOW_MS)


def rejected(value: bytes, headers: Headers = ()) -> Rejection:
    """Why a fresh decoder refuses `value`."""
    outcome = decode(Decoder(), value, headers)
    assert isinstance(outcome, Rejection), outcome
    return outcome


def accepted(value: bytes, headers: Headers = ()) -> NativeEvent:
    """What a fresh decoder reads in `value`."""
    outcome = decode(Decoder(), value, headers)
    assert outcome is not None
    assert not isinstance(outcome, Rejection), outcome
    return cast("NativeEvent", outcome)
