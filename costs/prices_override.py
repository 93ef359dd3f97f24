"""Contract prices: what is charged instead of the list price, for which calls, and from when to when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from costs.money import UnitPrices
from schemas.words import ServiceTier

ANY = "*"


class Called(NamedTuple):
    """What a call's price depends on, beside its tokens and its day."""

    model: str
    provider: str | None = None
    deployment: str | None = None
    tier: ServiceTier | None = None


@dataclass(frozen=True)
class PriceOverride:
    """Prices of a contract. `model` may end in `*`; a provider or deployment that is None matches every one.

    `tiers` are the prices of other service tiers than `standard`; a tier that is not named costs what standard does.
    `above` are the standard prices of calls with more input tokens than each step says, ascending. Days count from
    1970-01-01 UTC; `end_day` is the first day on which the contract no longer holds.
    """

    name: str
    model: str
    prices: UnitPrices
    provider: str | None = None
    deployment: str | None = None
    first_day: int | None = None
    end_day: int | None = None
    tiers: Mapping[ServiceTier, UnitPrices] = field(default_factory=dict)
    above: tuple[tuple[int, UnitPrices], ...] = ()

    def matches(self, called: Called, day: int) -> bool:
        """Whether a call of that day costs this."""
        return (
            self._names(called.model)
            and self.provider in (None, called.provider)
            and self.deployment in (None, called.deployment)
            and (self.first_day is None or day >= self.first_day)
            and (self.end_day is None or day < self.end_day)
        )

    def _names(self, model: str) -> bool:
        stem = self.model.removesuffix(ANY)
        return model == self.model or (stem != self.model and model.startswith(stem))

    @property
    def precision(self) -> tuple[bool, bool, int, int]:
        """Of several that match a call, the highest counts: deployment, exact model, longest stem, then provider."""
        exact = not self.model.endswith(ANY)
        return (self.deployment is not None, exact, len(self.model), int(self.provider is not None))

    @property
    def rank(self) -> tuple[tuple[bool, bool, int, int], int]:
        """Precision first, then the later start."""
        return (self.precision, self.first_day if self.first_day is not None else -1)

    def steps(self, tier: ServiceTier | None) -> tuple[tuple[int | None, UnitPrices], ...]:
        """(up to how many input tokens, prices), ascending, the last without end."""
        if tier is not None and tier in self.tiers:
            return ((None, self.tiers[tier]),)
        if tier not in (None, "standard") or not self.above:
            return ((None, self.prices),)
        limits = [step for step, _ in self.above]
        prices = [self.prices, *(units for _, units in self.above)]
        return (*zip(limits, prices[:-1], strict=True), (None, prices[-1]))


def ambiguous(overrides: list[PriceOverride]) -> list[tuple[str, str]]:
    """Pairs of contracts that would price the same call on the same day, and neither is the more precise."""
    found = []
    for place, one in enumerate(overrides):
        for other in overrides[place + 1 :]:
            same = (one.model, one.provider, one.deployment) == (other.model, other.provider, other.deployment)
            if same and one.first_day == other.first_day:
                found.append((one.name, other.name))
    return found
