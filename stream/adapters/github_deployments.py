"""GitHub's webhooks `deployment` and `deployment_status`.

| event | what it becomes |
|---|---|
| `deployment`, created | `started` at the share that the deployment's payload states, else 0 |
| `deployment_status`, `in_progress` | `progressed`, if payload or description state a share; else passed over |
| `deployment_status`, `success` | `completed`, all traffic; `progressed` where a share below 100 % is stated |
| other states, other webhooks | passed over: queued, waiting, pending, inactive say nothing of traffic |

A share is `canary_percent` of the deployment's payload (an object, or JSON as text), or "25 %" in the status's
description. `failure` and `error` are passed over, too: they do not say whether the new version serves, and to take it
for rolled back would acquit a version that does. Whoever rolls back says so with a deployment of the old version, or
with `midwatch events deployment --phase rolled_back`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from schemas.base import JsonObject
from stream.adapters.changes import deployment, own_words
from stream.adapters.foreign import at, moment, text_at
from stream.adapters.found import Found, PassedOver
from stream.adapters.payload import Payload
from stream.adapters.reading import read_json
from stream.adapters.rejection import RejectedRecord, quote

EVENT_HEADER: Final = "x-github-event"
_READ: Final = ("deployment", "deployment_status")
STATES: Final = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success", "waiting")
_SHARE: Final = re.compile(r"\b(\d{1,3}(?:\.\d{1,3})?) ?%")
_LONGEST_TEXT: Final = 65_536
_OWN_DEPTH: Final = 16


def is_webhook(payload: Payload) -> bool:
    """Whether a header says that it is a webhook of GitHub's, or the value looks like one about a deployment."""
    if payload.header(EVENT_HEADER) is not None:
        return True
    plain = payload.object
    return isinstance(plain.get("deployment"), dict) and isinstance(plain.get("repository"), dict)


def read_webhook(payload: Payload) -> list[Found]:
    """The deployment that a webhook tells of. Raises RejectedRecord, with what is missing."""
    plain = payload.object
    kind = payload.header(EVENT_HEADER) or ("deployment_status" if "deployment_status" in plain else "deployment")
    if kind not in _READ:
        return [PassedOver("a GitHub webhook that is not about a deployment")]
    if not isinstance(plain.get("deployment"), dict):
        raise RejectedRecord("invalid_field", f"GitHub {kind}: `deployment` is missing")
    own = own_words(_own(at(plain, "deployment.payload")))
    if kind == "deployment":
        share = own.get("canary_percent", 0.0)
        return [_event(payload, plain, own, ("deployment", "started", share))]
    state = at(plain, "deployment_status.state")
    if state not in STATES:
        shown = quote(state) if isinstance(state, str) else "no text"
        raise RejectedRecord("invalid_field", f"GitHub: `deployment_status.state` is {shown}, not one that is known")
    stated = own.get("canary_percent", _described(plain))
    if state == "success":
        full = stated is None or stated >= 100
        reached = ("completed", 100.0) if full else ("progressed", stated)
        return [_event(payload, plain, own, ("deployment_status", *reached))]
    if state == "in_progress" and stated is not None:
        return [_event(payload, plain, own, ("deployment_status", "progressed", stated))]
    return [PassedOver(f"GitHub deployment_status {state}")]


def _event(payload: Payload, plain: JsonObject, own: dict[str, Any], reached: tuple[str, str, float]) -> JsonObject:
    """The event; `reached` is the object that tells of it, the phase and the share."""
    teller, phase, share = reached
    sha = text_at(plain, "deployment.sha")
    guessed: dict[str, Any] = {
        "time": moment(payload, at(plain, f"{teller}.created_at")),
        "environment": text_at(plain, f"{teller}.environment", "deployment.environment"),
        "component": text_at(plain, "repository.name"),
        "version": sha,
        "phase": phase,
        "artifact": text_at(plain, "deployment.url"),
    }
    identity = text_at(plain, f"{teller}.id")
    own = {**own, "canary_percent": share}
    unique = f"github-{teller}-{identity}" if identity and len(identity) < 200 else None
    return deployment(payload, "GitHub", own, guessed, unique)


def _own(said: Any) -> Any:
    """The payload of a deployment: an object, or, from older callers, an object as text."""
    if not isinstance(said, str) or len(said) > _LONGEST_TEXT:
        return said
    try:
        return read_json(said.encode(), _OWN_DEPTH)
    except RejectedRecord:
        return None


def _described(plain: JsonObject) -> float | None:
    match = _SHARE.search(text_at(plain, "deployment_status.description") or "")
    return float(match[1]) if match else None
