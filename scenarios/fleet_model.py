"""What the simulated fleet consists of: systems, their flows, the steps of a flow, and what can happen to them.

All values. Times are integer milliseconds since 1970-01-01 UTC. What happens to a system (`Effect`) is a small value as
well, so that an incident is a few readable lines; the arithmetic that applies it is in `scenarios.fleet_effects`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.words import ChangeKind, EscalationReason, EventType, Pricing

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

MINUTE_MS = 60_000
HOUR_MS = 3_600_000

ENVIRONMENT = "production"


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One operation that every interaction of a flow goes through, in order.

    `median_ms` is the median of a log-normal latency; tokens are means, zero for a step that calls no model.
    """

    agent: str
    operation: str
    name: str
    median_ms: float
    dependency: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Permission:
    """What the acting agent of a flow asks for, and how rarely it is refused in good times."""

    agent: str
    action: str
    resource: str
    principal: str
    denied_share: float = 0.002
    per_interaction: float = 0.7


Omitted = Literal["version", "steps", "reason", "tags"]
"""What a producer may leave out of its events."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One agent flow: its traffic, how often it hands over to a human and why, and what it does.

    `per_minute` is the mean over a week; `escalated_share` the base rate; `reasons` the mix of reasons, summing to 1.
    """

    name: str
    per_minute: float
    escalated_share: float
    reasons: tuple[tuple[EscalationReason, float], ...]
    model: str
    version: str
    steps: tuple[StepPlan, ...]
    permission: Permission
    asks: tuple[str, ...]
    answers: tuple[str, ...]
    judged_share: float = 0.15
    """Interactions that the scripted judge scores; these alone carry their texts."""
    pricing: Pricing = "payg"
    launched_ms: int = 0
    """When its first customers came."""


@dataclass(frozen=True, slots=True)
class System:
    """A product with one or more flows. `peak_hour` (UTC) is when its customers are busiest.

    `breaker_instances` instances each have a breaker of every dependency; `omits` names what its events lack.
    """

    name: str
    flows: tuple[Flow, ...]
    tags: tuple[tuple[str, str], ...]
    peak_hour: float = 12.0
    breaker_instances: int = 1
    omits: frozenset[Omitted] = frozenset()

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The dependencies that its steps call, each once, in order of first use."""
        names = (step.dependency for flow in self.flows for step in flow.steps)
        return tuple(dict.fromkeys(name for name in names if name is not None))


@dataclass(frozen=True, slots=True)
class Period:
    """From `start_ms` up to `end_ms`, rising and falling linearly over `ramp_ms` at either end, inside the period."""

    start_ms: int
    end_ms: int
    ramp_ms: int = 0

    def weight(self, times: Times) -> Floats:
        """How far it is on at each time: 0 outside, 1 inside, between on the ramps."""
        inside = (times >= self.start_ms) & (times < self.end_ms)
        if not self.ramp_ms:
            return inside.astype(np.float64)
        rising = (times - self.start_ms) / self.ramp_ms
        falling = (self.end_ms - times) / self.ramp_ms
        return np.where(inside, np.clip(np.minimum(rising, falling), 0.0, 1.0), 0.0)


@dataclass(frozen=True, slots=True)
class MoreTraffic:
    """Volume is multiplied by `factor`; nothing else changes. Of one flow, if `flow` names it."""

    period: Period
    factor: float
    flow: str | None = None


@dataclass(frozen=True, slots=True)
class MoreEscalations:
    """A further share of interactions goes to a human, for `reason`. Of one flow, if `flow` names it."""

    period: Period
    share: float
    reason: EscalationReason
    flow: str | None = None


@dataclass(frozen=True, slots=True)
class DenialSpike:
    """The acting agent asks, beside its usual requests, for things outside its scope and is refused.

    `per_interaction` foreign requests come with each interaction, by the principals in turn; their `request_text` is
    what the customer wrote.
    """

    period: Period
    agent: str
    actions: tuple[str, ...]
    resource: str
    principals: tuple[str, ...]
    per_interaction: float
    request_text: str


@dataclass(frozen=True, slots=True)
class Outage:
    """A dependency fails on `failed_share` of its calls; a failed call fails the interaction or escalates it.

    With `breaker_opens_after_ms` set, the breaker opens that long after the start: calls stop, and what needs the
    dependency is routed to a human (`routed_share` of all interactions), until the dependency is back. With None the
    breaker stays closed and the calls go on failing. `flap_ms` makes it close and open again, for so long each.
    `open_instances` opens only so many of its instances, and only that share of the traffic is routed. `errors` makes
    calls end in errors instead of time-outs.
    """

    period: Period
    dependency: str
    failed_share: float
    breaker_opens_after_ms: int | None
    routed_share: float = 0.0
    flap_ms: int | None = None
    open_instances: int | None = None
    errors: bool = False

    @property
    def open_ms(self) -> int | None:
        """When the breaker opens, None if it does not."""
        return None if self.breaker_opens_after_ms is None else self.period.start_ms + self.breaker_opens_after_ms


@dataclass(frozen=True, slots=True)
class ScoreShift:
    """Scores of one criterion move by `points`. Of one flow, if `flow` names it."""

    period: Period
    criterion: str
    points: float
    flow: str | None = None


@dataclass(frozen=True, slots=True)
class Unheard:
    """Events of these types do not come, whatever happens."""

    period: Period
    types: frozenset[EventType]


@dataclass(frozen=True, slots=True)
class Spending:
    """Model calls use `factor` times their tokens, and `spillover_share` of them spill over to pay-as-you-go."""

    period: Period
    factor: float = 1.0
    spillover_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """A change of a flow. `ramp` holds (minutes after `start_ms`, percent of traffic); the last one completes it.

    Traffic follows each step after `LAG_MS`, over `SHIFT_MS`. `escalated_share` is what the new version adds to the
    share of escalations, 0 for a good change; `denied_share` of the requests that it makes are refused, and its scores
    move by `score_points` (criterion, points). A rollback at `rolled_back_ms` gives all traffic back. Where `component`
    is not the flow, the interactions do not say which version of it served them. `named_target` says whether its events
    name what can be rolled back.
    """

    flow: str
    change: ChangeKind
    start_ms: int
    version: str
    ramp: tuple[tuple[int, float], ...]
    escalated_share: float = 0.0
    reason: EscalationReason = "ambiguous"
    rolled_back_ms: int | None = None
    denied_share: float = 0.0
    score_points: tuple[tuple[str, float], ...] = ()
    component: str | None = None
    named_target: bool = True


LAG_MS = 3 * MINUTE_MS
"""From the event of a rollout's step to its first traffic: images are pulled, pods become ready."""

SHIFT_MS = 5 * MINUTE_MS
"""How long traffic then takes to follow: pods are replaced one after the other."""

FULL_CANARY: tuple[tuple[int, float], ...] = ((0, 5.0), (30, 25.0), (60, 50.0), (120, 100.0))
"""The ramp that a careful change goes through: two hours, half an hour or more on each step."""

AT_ONCE: tuple[tuple[int, float], ...] = ((0, 100.0),)
"""No canary at all."""

Effect = MoreTraffic | MoreEscalations | DenialSpike | Outage | ScoreShift | Rollout | Unheard | Spending
_E = TypeVar("_E", MoreTraffic, MoreEscalations, DenialSpike, Outage, ScoreShift, Rollout, Unheard, Spending)


def of_kind(effects: tuple[Effect, ...], kind: type[_E]) -> tuple[_E, ...]:
    """The effects of one kind, in their order."""
    return tuple(effect for effect in effects if isinstance(effect, kind))
