"""What may stand in a command: names that come from a verdict, checked one by one. Nothing is escaped or repaired."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from stream.rollback.executors.base import Refused

KUBERNETES: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
"""Names of objects (RFC 1123 subdomains)."""

NAMESPACE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""Names of namespaces (RFC 1123 labels)."""

AZURE_ML: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
"""Endpoints and deployments of Azure ML: letters, digits and dashes, at most 32."""

WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+@-]{0,252}")
"""Versions, components, flags: what no option parser, path or URL can take for anything else."""


def checked(pattern: re.Pattern[str], what: str, value: str | None) -> str:
    """The value, if all of it fits the pattern and no part of it climbs a path. Raises Refused."""
    if value is None:
        raise Refused(f"the target has no {what}")
    if pattern.fullmatch(value) is None or ".." in value:
        shown = "".join(c if c.isprintable() and ord(c) < 127 else "?" for c in value[:80])
        raise Refused(f"{what} {shown!r} is no name that may stand in a command")
    return value


def ref(reference: Mapping[str, str], key: str, pattern: re.Pattern[str]) -> str:
    """A part of the target's reference, checked. Raises Refused."""
    if key not in reference:
        raise Refused(f"the target's ref has no {key!r}; the deployment event must say it")
    return checked(pattern, f"ref.{key}", reference[key])
