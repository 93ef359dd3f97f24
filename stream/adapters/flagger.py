"""Flagger's webhooks of type `event`: name, namespace and phase of a canary, and what its controller just did.

The share of traffic stands in the message alone ("Advance refund.claims canary weight 20"), the version nowhere: it is
that of the webhook's own metadata (`version`), else the checksum of the canary's specification.

| phase | what it becomes |
|---|---|
| `Progressing`, "New revision detected" | `started` at 0 |
| `Progressing`, a message with a weight | `progressed` at it |
| `Succeeded` | `completed`, all traffic |
| `Failed` | `rolled_back` |
| any other phase or message | passed over: nothing about traffic |
"""

from __future__ import annotations

import re
from typing import Any, Final

from schemas.base import JsonObject
from stream.adapters.changes import deployment, own_words
from stream.adapters.foreign import at, moment, text, text_at
from stream.adapters.found import Found, PassedOver
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord, quote

PHASES: Final = (
    "Initializing",
    "Initialized",
    "Waiting",
    "WaitingPromotion",
    "Progressing",
    "Promoting",
    "Finalising",
    "Succeeded",
    "Failed",
    "Terminating",
    "Terminated",
)
_STARTED: Final = ("New revision detected", "Starting canary analysis")
_WEIGHT: Final = re.compile(r"\bcanary weight (\d{1,3})\b")


def is_canary(payload: Payload) -> bool:
    """Whether the value is the payload that Flagger gives its webhooks."""
    plain = payload.object
    known = "checksum" in plain or at(plain, "metadata.eventMessage") is not None
    return {"name", "namespace", "phase"} <= plain.keys() and known and "type" not in plain


def read_canary(payload: Payload) -> list[Found]:
    """How far the canary has come. Raises RejectedRecord, with what is missing."""
    plain = payload.object
    phase = plain.get("phase")
    if phase not in PHASES:
        shown = quote(phase) if isinstance(phase, str) else "no text"
        raise RejectedRecord("invalid_field", f"Flagger: `phase` is {shown}, none of {', '.join(PHASES)}")
    reached = _reached(phase, text_at(plain, "metadata.eventMessage") or "")
    if reached is None:
        return [PassedOver("a Flagger event that says no share of traffic")]
    name, namespace = text(plain.get("name")), text(plain.get("namespace"))
    guessed: dict[str, Any] = {
        "time": moment(payload, at(plain, "metadata.timestamp")),
        "component": name,
        "version": text(plain.get("checksum")),
        "phase": reached[0],
        "canary_percent": reached[1],
        "target": _target(namespace, name),
    }
    own = own_words(plain.get("metadata"))
    own.pop("canary_percent", None)
    return [deployment(payload, "Flagger", own, guessed)]


def _target(namespace: str | None, name: str | None) -> JsonObject | None:
    return {"kind": "flagger_canary", "ref": {"namespace": namespace, "name": name}} if namespace and name else None


def _reached(phase: str, message: str) -> tuple[str, float] | None:
    if phase == "Succeeded":
        return "completed", 100.0
    if phase == "Failed":
        return "rolled_back", 0.0
    if phase != "Progressing":
        return None
    if message.startswith(_STARTED):
        return "started", 0.0
    weight = _WEIGHT.search(message)
    return ("progressed", float(weight[1])) if weight else None
