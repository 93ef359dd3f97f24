"""Usage of a month, priced once for each event, and summed into charges: the finest grain that reports are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, Protocol

from costs.money import usd_to_micro
from costs.months import Month
from costs.prices import LIST, Called, PriceBook
from costs.ptu import PtuTable
from costs.tags import Tags
from costs.tags_check import Violations
from costs.tags_resolve import Tagger
from schemas.words import Pricing, ServiceTier

MAX_CHARGES: Final = 500_000
"""Most charges of a month that are held."""

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


CostSource = Literal["book", "event", "flat", "none"]
"""Where a charge's cost is from: the price book, the events themselves, a flat commitment, nowhere (no price known)."""


class TooManyChargesError(ValueError):
    """The tags of the month's usage have more combinations than are held."""


class UsageEvent(Protocol):
    """What is read of a usage event; `time` is in ms since 1970-01-01 UTC, `input_tokens` includes the cached ones."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def time(self) -> int: ...  # noqa: D102
    @property
    def environment(self) -> str: ...  # noqa: D102
    @property
    def system(self) -> str: ...  # noqa: D102
    @property
    def tags(self) -> Mapping[str, str] | None: ...  # noqa: D102
    @property
    def agent(self) -> str | None: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def provider(self) -> str | None: ...  # noqa: D102
    @property
    def pricing(self) -> Pricing | None: ...  # noqa: D102
    @property
    def deployment(self) -> str | None: ...  # noqa: D102
    @property
    def service_tier(self) -> ServiceTier | None: ...  # noqa: D102
    @property
    def input_tokens(self) -> int: ...  # noqa: D102
    @property
    def cached_input_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def output_tokens(self) -> int: ...  # noqa: D102
    @property
    def cost_usd(self) -> float | None: ...  # noqa: D102


class ChargeKey(NamedTuple):
    """What makes two calls the same charge. `day` counts from 1970-01-01 UTC."""

    day: int
    environment: str
    system: str
    model: str
    provider: str
    deployment: str
    tier: ServiceTier
    pricing: Pricing
    source: CostSource
    tags: Tags


@dataclass(slots=True)
class Amounts:
    """Sums over calls. `micro` is the cost in micro-dollars; of `flat` and `none` charges it is 0 and means nothing."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    micro: int = 0

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.input_tokens + self.output_tokens

    def add(self, other: Amounts) -> None:
        """Add another's sums."""
        self.requests += other.requests
        self.input_tokens += other.input_tokens
        self.cached_tokens += other.cached_tokens
        self.output_tokens += other.output_tokens
        self.micro += other.micro


NO_UNITS: Final = PtuTable({}, ())
"""A table that knows no model."""


@dataclass(slots=True)
class ChargeBook:
    """The charges of one month, taken in event by event, in any order.

    An event counts once: a further one with the same environment, system and id is dropped and counted. Ids are kept
    as digests of 16 bytes.

    Attributes:
        units: what provisioned units carry, to share commitments out by.
        counted: events of the month.
        duplicates: events dropped because their id came before; `conflicts` of them said something else.
        elsewhere: events of other months, by month.
        violations: what is wrong with the tags.
    """

    month: Month
    tagger: Tagger
    prices: PriceBook = LIST
    units: PtuTable = NO_UNITS
    cap: int = MAX_CHARGES
    charges: dict[ChargeKey, Amounts] = field(default_factory=dict)
    counted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    elsewhere: Counter[Month] = field(default_factory=Counter)
    violations: Violations = field(default_factory=Violations)
    _seen: dict[bytes, int] = field(default_factory=dict)

    def add(self, event: UsageEvent) -> None:
        """Take an event in. Raises TooManyChargesError."""
        hour = event.time // HOUR_MS
        if not self.month.first_hour <= hour < self.month.end_hour:
            self.elsewhere[Month.of(hour)] += 1
            return
        if self._came_before(event):
            return
        self.counted += 1
        tagged = self.tagger.read(event.environment, event.system, event.tags)
        day = event.time // DAY_MS
        if tagged.problems:
            self.violations.note(event.environment, event.system, event.agent, tagged, day)
        tokens = (event.input_tokens, min(event.cached_input_tokens or 0, event.input_tokens), event.output_tokens)
        source, micro = self._cost(event, tokens, day)
        pricing: Pricing = event.pricing or "payg"
        where = (day, event.environment, event.system, event.model, event.provider or "")
        called = (event.deployment or "", event.service_tier or "standard")
        key = ChargeKey(*where, *called, pricing, source, tagged.tags)
        amounts = self.charges.get(key)
        if amounts is None:
            if len(self.charges) >= self.cap:
                raise TooManyChargesError(
                    f"the usage of {self.month} makes more than {self.cap:,} charges (one a day, system, model and set "
                    "of tags): is there a tag whose value differs with each call, such as a request id?"
                )
            amounts = self.charges[key] = Amounts()
        amounts.add(Amounts(1, *tokens, micro))

    def _cost(self, event: UsageEvent, tokens: tuple[int, int, int], day: int) -> tuple[CostSource, int]:
        if event.pricing == "ptu":
            return "flat", 0
        if event.cost_usd is not None:
            return "event", usd_to_micro(event.cost_usd)
        called = Called(event.model, event.provider, event.deployment, event.service_tier)
        micro = self.prices.micro(called, *tokens, day)
        return ("none", 0) if micro is None else ("book", micro)

    def _came_before(self, event: UsageEvent) -> bool:
        name = repr((event.environment, event.system, event.id))
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        content = hash((
            event.time, event.model, event.provider, event.pricing, event.input_tokens, event.cached_input_tokens,
            event.output_tokens, event.cost_usd, event.deployment, event.service_tier,
            tuple(sorted((event.tags or {}).items())),
        ))  # fmt: skip
        before = self._seen.setdefault(digest, content)
        if len(self._seen) == self.counted:
            self.duplicates += 1
            self.conflicts += before != content
            return True
        return False

    def sorted_charges(self) -> list[tuple[ChargeKey, Amounts]]:
        """The charges in the order of their keys, whatever the order of the events."""
        return sorted(self.charges.items())
