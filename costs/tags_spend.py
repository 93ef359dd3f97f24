"""Spend without an owner, as it comes: dollars by the required tag that the usage lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from costs.tags_policy import Policy
from costs.tags_resolve import Tagger


class SpendTally:
    """Sums micro-dollars: all, and those of usage that lacks a required tag, by tag. A call may lack several.

    What a policy gives by alias or stand-in is not lacking. Flat costs are not spend of a call, and are not in it.
    """

    def __init__(self, policy: Policy) -> None:
        self.total = 0
        self.untagged: Counter[str] = Counter({name: 0 for name, rule in policy.tags.items() if rule.required})
        self._tagger = Tagger(policy)

    def note(self, environment: str, system: str, tags: Mapping[str, str] | None, micro: int, day: int) -> None:
        """Take one call in; `day` counts from 1970-01-01 UTC."""
        self.total += micro
        found = self._tagger.read(environment, system, tags)
        if found.problems:
            for problem in found.problems_on(day):
                if problem.kind == "missing":
                    self.untagged[problem.tag] += micro
