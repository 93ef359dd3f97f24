"""What the doctor says, a line at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]
Clock = Callable[[], int]
"""Wall time in milliseconds since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Line:
    """One finding: what was looked at, how it stands, in words, and what to do if it is not ok."""

    level: Level
    subject: str
    detail: str
    remedy: str = ""
