"""Payloads of other tools, as files: where the shape comes from, what the decoder must make of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "samples" / "producers"


@dataclass(frozen=True)
class Sample:
    """One file. `events` give the fields that matter; `rejected` the reason and a part of the words, if it is bad."""

    name: str
    source: str
    format: str
    headers: list[tuple[str, bytes]]
    value: Any
    events: list[dict[str, Any]]
    passed_over: int
    rejected: tuple[str, str] | None

    @property
    def encoded(self) -> bytes:
        """The record's value."""
        return json.dumps(self.value).encode()


def samples() -> list[Sample]:
    """All of them, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.json"))]


def _read(path: Path) -> Sample:
    plain = json.loads(path.read_text(encoding="utf-8"))
    rejected = plain.pop("rejected", None)
    headers = [(name, text.encode()) for name, text in plain.pop("headers").items()]
    return Sample(path.stem, headers=headers, rejected=tuple(rejected) if rejected else None, **plain)
