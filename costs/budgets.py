"""Budgets: which usage counts against which budget, and the series that it counts in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from costs.tags import fold
from schemas.series import SeriesKey

ANY = "*"


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """A budget covers the usage events of an environment and a system (`*`: every one) that carry all of `tags`.

    Names of tags do not differ by case, as in chargeback; values do.
    """

    name: str
    environment: str = ANY
    system: str = ANY
    tags: tuple[tuple[str, str], ...] = ()

    def covers(self, environment: str, system: str, tags: Mapping[str, str] | None) -> bool:
        """Whether a usage event counts against this budget."""
        if self.environment not in (ANY, environment) or self.system not in (ANY, system):
            return False
        return not self.tags or (tags is not None and all(_value(tags, name) == value for name, value in self.tags))

    def key(self) -> SeriesKey:
        """The budget's series. A budget over every environment or system has `*` there."""
        return SeriesKey("budget", self.environment, self.system, (self.name,))


def _value(tags: Mapping[str, str], name: str) -> str | None:
    """A tag's value. Of names that differ by case only the budget's own counts, else the first in order."""
    if name in tags:
        return tags[name]
    folded = fold(name)
    return next((tags[other] for other in sorted(tags) if fold(other) == folded), None)
