"""Counts of what is wrong with the tags of usage, by who sends it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from costs.tags import TagProblem
from costs.tags_resolve import Tagged
from schemas.base import JsonObject

MAX_KINDS: Final = 10_000
"""Most different violations that are listed; further ones are counted."""


class Violation(NamedTuple):
    """A tag problem and who sends it; `agent` is empty where the event names none."""

    environment: str
    system: str
    agent: str
    problem: TagProblem


@dataclass(slots=True)
class Violations:
    """Calls by what is wrong with their tags; `unlisted` are those beyond the cap, `calls` all calls with any."""

    found: Counter[Violation] = field(default_factory=Counter)
    unlisted: int = 0
    calls: int = 0

    def note(self, environment: str, system: str, agent: str | None, tagged: Tagged, day: int) -> None:
        """Take one call in; `day` counts from 1970-01-01 UTC."""
        wrong = False
        for problem in tagged.problems_on(day):
            wrong = True
            violation = Violation(environment, system, agent or "", problem)
            if violation in self.found or len(self.found) < MAX_KINDS:
                self.found[violation] += 1
            else:
                self.unlisted += 1
        self.calls += wrong

    @property
    def total(self) -> int:
        """Violations; one call may have several."""
        return self.found.total() + self.unlisted

    def ranked(self) -> list[tuple[Violation, int]]:
        """The most frequent first, equals in their own order."""
        return sorted(self.found.items(), key=lambda item: (-item[1], item[0]))

    def to_json(self) -> JsonObject:
        """The counts as plain JSON types."""
        return {
            "total": self.total,
            "calls": self.calls,
            "unlisted": self.unlisted,
            "found": [
                {
                    "environment": one.environment,
                    "system": one.system,
                    "agent": one.agent or None,
                    "problem": one.problem.kind,
                    "tag": one.problem.tag or None,
                    "detail": one.problem.detail,
                    "calls": calls,
                }
                for one, calls in self.ranked()
            ],
        }
