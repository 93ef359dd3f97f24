"""From the tags that an event carries to those that it is charged by, under a policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from costs.tags import TagProblem, Tags, azure_problems, fold, shown
from costs.tags_policy import Policy

MEMO: Final = 16_384
"""Sets of tags whose answer is remembered."""

_EPOCH: Final = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Tagged:
    """What usage is charged by, what is wrong with it, and from which day (since 1970-01-01; 0: always) each is."""

    tags: Tags
    problems: tuple[tuple[TagProblem, int], ...]

    def problems_on(self, day: int) -> Iterator[TagProblem]:
        """The problems that count on a day."""
        return (problem for problem, since in self.problems if day >= since)

    def value(self, folded: str) -> str | None:
        """The value of the tag with this folded name; None if it is absent or empty."""
        for name, value in self.tags:
            if fold(name) == folded:
                return value or None
        return None


class Tagger:
    """Applies a policy. Remembers a bounded number of answers; the answers do not depend on what came before."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._names = {fold(written): name for name, rule in policy.tags.items() for written in (name, *rule.aliases)}
        self._memo: dict[tuple[str, str, Tags], Tagged] = {}

    def canonical(self, name: str) -> str:
        """The policy's own name of a tag, or the name as it is."""
        return self._names.get(fold(name), name)

    def read(self, environment: str, system: str, tags: Mapping[str, str] | None) -> Tagged:
        """The tags that usage of a system is charged by, and their problems.

        Aliases become the tag that they stand for. The event's own environment and system stand in for tags of these
        names, then come the policy's defaults. Of two names that differ by case only, the policy's spelling counts,
        else the first in order.
        """
        key = (environment, system, tuple(sorted((tags or {}).items())))
        found = self._memo.get(key)
        if found is None:
            if len(self._memo) >= MEMO:
                self._memo.clear()
            found = self._memo[key] = self._read(environment, system, dict(key[2]))
        return found

    def read_bill(self, tags: Mapping[str, str]) -> Tags:
        """The tags of a bill's row: aliases become the tag that they stand for; nothing stands in."""
        return tuple(sorted(self._known(tags).values()))

    def _known(self, tags: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Name and value by folded name; the policy's spelling counts first, then the first in order."""
        known: dict[str, tuple[str, str]] = {}
        for name in sorted(tags, key=lambda name: (name != self.canonical(name), name)):
            canonical = self.canonical(name)
            known.setdefault(fold(canonical), (canonical, tags[name]))
        return known

    def _read(self, environment: str, system: str, tags: dict[str, str]) -> Tagged:
        known = self._known(tags)
        for stand_in in self._stand_ins(environment, system):
            for name, value in stand_in.items():
                canonical = self.canonical(name)
                if not known.get(fold(canonical), ("", ""))[1]:
                    known[fold(canonical)] = (canonical, value)
        found = Tagged(tuple(sorted(known.values())), ())
        problems = [(problem, 0) for problem in azure_problems(tags, storage=self.policy.storage)]
        return Tagged(found.tags, (*problems, *self._policy_problems(found)))

    def _stand_ins(self, environment: str, system: str) -> Iterator[Mapping[str, str]]:
        yield {"environment": environment, "system": system}
        for default in self.policy.defaults:
            if default.covers(environment, system):
                yield default.tags

    def _policy_problems(self, found: Tagged) -> Iterator[tuple[TagProblem, int]]:
        for name, rule in self.policy.tags.items():
            since = rule.since.toordinal() - _EPOCH if rule.since is not None else 0
            value = found.value(fold(name))
            if value is None:
                if rule.required:
                    yield TagProblem("missing", name, "the policy requires it"), since
            elif not rule.accepts(value):
                wanted = f"one of {', '.join(rule.allowed[:10])}" if rule.allowed else f"the form {rule.pattern}"
                yield TagProblem("value_not_allowed", name, f"{shown(value)} is not {wanted}"), since
