"""What the deployment tools have in common: words that their owners may add, and the event at the end.

None of the tools knows of agents, flows or canaries in our sense, but each carries a map of its owner's own: customData
of a CDEvent, the payload of a GitHub deployment, metadata of a Flagger webhook, annotations of a Rollout. `OWN_WORDS`
are looked up there, and go before what is guessed from the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas.base import JsonObject
from stream.adapters.foreign import event, first, percent, text
from stream.adapters.payload import Payload

OWN_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "environment": ("environment",),
    "system": ("system",),
    "component": ("component",),
    "version": ("version",),
    "previous_version": ("previous_version", "previousVersion"),
    "change": ("change",),
    "canary_percent": ("canary_percent", "canaryPercent", "canary_weight", "canaryWeight"),
    "tenant": ("tenant",),
}
"""Our word, and the names under which an owner's map may hold it."""

DEFAULT_CHANGE: Final = "flow"
"""What was changed where nobody says: code, that is the flow."""


def own_words(own: Any) -> dict[str, Any]:
    """What an owner's map says, by our words. A map inside it under `midwatch` goes first."""
    found: dict[str, Any] = {}
    for word, names in OWN_WORDS.items():
        value = first(own, [f"midwatch.{name}" for name in names])
        value = first(own, names) if value is None else value
        value = percent(value) if word == "canary_percent" else text(value)
        if value is not None:
            found[word] = value
    return found


def deployment(
    payload: Payload, producer: str, own: Mapping[str, Any], guessed: Mapping[str, Any], identity: str | None = None
) -> JsonObject:
    """A deployment event; `own` is what `own_words` found, `guessed` what the tool's own fields say.

    Raises RejectedRecord, with all that is missing.
    """
    words = {"change": DEFAULT_CHANGE, **guessed, **own}
    names = ("time", "environment", "system", "change", "component", "version", "phase", "canary_percent")
    required = {name: words.get(name) for name in names}
    optional = {name: words.get(name) for name in ("previous_version", "target", "artifact", "trace_id", "tenant")}
    return event(payload, producer, "deployment", required, optional, identity)
