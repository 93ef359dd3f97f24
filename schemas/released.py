"""The contract of now against that of a release: every event, answer and control, each in its direction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from schemas.compat import Direction, broken_promises
from schemas.export import ANSWER_MODELS, documents


def current() -> dict[str, Any]:
    """The schemas of this version, by name."""
    found = {name: json.loads(body) for name, body in documents().items() if name.startswith("json/")}
    return {name.removeprefix("json/").removesuffix(".json"): schema for name, schema in found.items()}


def direction_of(name: str) -> Direction:
    """Whether a schema is of what Midwatch writes, or of what it reads."""
    return "written" if name in ANSWER_MODELS else "read"


def broken_since(released: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What this version breaks of the released schemas (by name): pairs of a name and a sentence, in order."""
    now = current()
    found: list[tuple[str, str]] = []
    for name, old in sorted(released.items()):
        if name not in now:
            found.append((name, "it is gone altogether"))
            continue
        found.extend((name, problem) for problem in broken_promises(old, now[name], direction_of(name)))
    return found
