"""What a subscriber makes of verdicts, whichever client reads them: pages, updates, all-clears, and nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Pager:
    """Remembers the last verdict of each open incident. A real one keeps this where a restart finds it.

    The dedup key of every message is the incident's id, so that a pager that has it already makes one of two.
    """

    seen: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """By incident: the last revision, and whether it is paged."""

    def take(self, verdict: Mapping[str, Any]) -> dict[str, Any] | None:
        """What to send for a verdict: `trigger`, `update` or `resolve`; None where nothing is to be sent."""
        incident, revision = verdict["incident_id"], verdict["revision"]
        last, paged = self.seen.get(incident, (-1, False))
        if revision <= last:
            return None  # a repeat, or older than what was dealt with
        over = verdict["status"] == "resolved" or "muted" in verdict
        self.seen[incident] = (revision, not over)
        if over and not paged:
            return None  # nobody knows of it, and nobody has to
        kind = "resolve" if over else "update" if paged else "trigger"
        return {
            "send": kind,
            "dedup_key": incident,
            "severity": verdict["severity"],
            "text": verdict["trigger"]["summary"],
            "advice": verdict["recommendation"]["reason"],
        }
