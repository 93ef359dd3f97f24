"""CDEvents (cdevents.dev, versions 0.3 to 0.5): what the CD Foundation's tools say of services in environments.

| type `dev.cdevents.service.` | what it becomes |
|---|---|
| `deployed`, `upgraded` | `completed`, all traffic; `progressed` where the owner states a share below 100 % |
| `rolledback` | `rolled_back` of the version that was left, where customData names it |
| `published`, `removed` | passed over: they tell of addresses and ends, not of a new version taking traffic |

A CDEvent knows neither version nor share of traffic. The version is that of `customData.version`, else the tag or the
digest in `artifactId` (a package URL). The share is `customData.canary_percent`. After a rollback a CDEvent names the
artifact that runs *now*; the version that was left is `customData.rolled_back_version`, and without it the event is
read as what it says, the earlier version taking all traffic.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from schemas.base import JsonObject
from stream.adapters.changes import deployment, own_words
from stream.adapters.foreign import at, first, moment, text, text_at
from stream.adapters.found import Found, PassedOver
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord, quote

_PREFIX: Final = "dev.cdevents."
_SERVICE: Final = re.compile(r"dev\.cdevents\.service\.([a-z]+)\.(\d+)\.\d+\.\d+(?:-draft)?")
_TELLING: Final = ("deployed", "upgraded", "rolledback")
_SILENT: Final = ("published", "removed")
_LEFT: Final = ("midwatch.rolled_back_version", "rolled_back_version", "rolledBackVersion")
_FULL: Final = 100.0
_DIGEST: Final = 12
"""Characters of a digest that name a version."""


def is_cdevent(payload: Payload) -> bool:
    """Whether the value is a CDEvent, by the type in its context."""
    said = at(payload.object, "context.type")
    return isinstance(said, str) and said.startswith(_PREFIX)


def read_cdevent(payload: Payload) -> list[Found]:
    """The deployment that a service event tells of. Raises RejectedRecord, with what is missing."""
    plain = payload.object
    match = _SERVICE.fullmatch(at(plain, "context.type"))
    if match is None:
        if at(plain, "context.type").startswith("dev.cdevents.service."):
            raise RejectedRecord("unsupported_format", f"CDEvents type {quote(at(plain, 'context.type'))} is not known")
        return [PassedOver("a CDEvent of another subject than a service")]
    predicate = match[1]
    if predicate in _SILENT:
        return [PassedOver(f"CDEvents service.{predicate}")]
    if predicate not in _TELLING:
        raise RejectedRecord("unsupported_format", f"CDEvents service.{quote(predicate)} is not known")
    return [_deployment(payload, plain, predicate)]


def _deployment(payload: Payload, plain: JsonObject, predicate: str) -> JsonObject:
    own = own_words(at(plain, "customData"))
    artifact = text_at(plain, "subject.content.artifactId")
    guessed: dict[str, Any] = {
        "time": moment(payload, at(plain, "context.timestamp")),
        "environment": text_at(plain, "subject.content.environment.id"),
        "component": _last_part(text_at(plain, "subject.id")),
        "version": version_of(artifact),
        "phase": "completed",
        "canary_percent": _FULL,
        "artifact": artifact,
    }
    left = text(first(at(plain, "customData"), _LEFT))
    if predicate == "rolledback" and left is not None:
        own["version"] = left
        guessed |= {"phase": "rolled_back", "canary_percent": 0.0}
    elif own.get("canary_percent", _FULL) < _FULL:
        guessed["phase"] = "progressed"
    source, identity = text_at(plain, "context.source"), text_at(plain, "context.id")
    unique = f"{source} {identity}" if source and identity and len(source) + len(identity) < 255 else identity
    return deployment(payload, "CDEvents", own, guessed, unique)


def version_of(artifact: str | None) -> str | None:
    """The version in a package URL: its tag, else the part behind `@`, a digest cut short."""
    if artifact is None:
        return None
    name, _, query = artifact.partition("?")
    tag = parse_qs(query, max_num_fields=20).get("tag") if query.count("&") < 20 else None
    if tag:
        return tag[0]
    version = unquote(name.rpartition("@")[2]) if "@" in name else ""
    kind, colon, digest = version.partition(":")
    return (f"{kind}:{digest[:_DIGEST]}" if colon else version) or None


def _last_part(identity: str | None) -> str | None:
    """CDEvents recommend ids that are paths: the last step names the service."""
    return identity.rstrip("/").rpartition("/")[2] if identity else None
