"""What a scenario file may say: a story, the traffic, what happens, what must be found, what must not be said.

Unknown keys are refused. Times are clock times (UTC) of the story's date, `HH:MM`; `yesterday HH:MM`, `tomorrow HH:MM`
and `YYYY-MM-DD HH:MM` are other days. Shares are in per cent, and keys say their unit.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from scenarios.stories.happenings import Clock, Happening, Share
from schemas.words import (
    Action,
    Cause,
    DetectorName,
    MutedBy,
    Pricing,
    RecommendationKind,
    Severity,
    Tier,
    TriageResult,
)

Source = Literal["authorizations", "breakers", "scores", "deployments", "usage", "steps", "versions", "reasons", "tags"]
"""What a system may not send at all."""


class Part(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Traffic(Part):
    """Ordinary operation of one flow; `flows` makes so many alike, `flow-001` and on."""

    system: str = Field("refunds", min_length=1, description="the product that the flow belongs to")
    flow: str = Field("refund-request", min_length=1, description="its name")
    flows: int = Field(1, ge=1, le=1000, description="so many flows of this kind")
    per_minute: float = Field(8.0, gt=0, le=1000, description="interactions a minute, mean over the week")
    escalated_percent: Share = Field(4.0, description="handed to a person in good times")
    agent: str = Field("refund-agent", min_length=1, description="who acts, and asks for permission")
    denied_percent: Share = Field(0.2, description="of its requests that are refused in good times")
    dependency: str = Field("payments-api", min_length=1, description="what every interaction calls")
    version: str = Field("1.0", min_length=1, description="the version that serves at first")
    scored_percent: Share = Field(15.0, description="of the interactions that the judge scores")
    breaker_instances: int = Field(1, ge=1, le=100, description="instances, each with a breaker of the dependency")
    pricing: Pricing = Field("payg", description="how its model calls are paid")
    launched: Clock | None = Field(None, description="when its first customers came; long ago if not given")
    busiest_hour: float = Field(12.0, ge=0, lt=24, description="of the day, UTC")
    without: list[Source] = Field(default_factory=list, description="telemetry that this system does not send")


class BudgetPart(Part):
    """A monthly budget over the usage of a system (all systems if none is named)."""

    name: str = Field(min_length=1)
    amount_usd: float = Field(gt=0)
    system: str = "*"


class Fires(Part):
    """A claim that must be made: by which detector, in which tier, by when, about what."""

    detector: DetectorName
    by: Clock
    tier: Tier | None = None
    not_before: Clock | None = None
    flow: str | None = None
    agent: str | None = None
    version: str | None = None


class Heard(Part):
    """When a human first hears of an incident: the first verdict of it that is not muted."""

    by: Clock
    not_before: Clock | None = None


class RollBack(Part):
    """The target that the verdict must name."""

    component: str
    from_version: str
    to_version: str


class Expect(Part):
    """One incident that must be found, and the answer to it that must stand `as_of` (its last one if not given)."""

    system: str | None = None
    fires: list[Fires] = Field(default_factory=list)
    as_of: Clock | None = None
    triage_result: TriageResult | None = None
    action: Action | None = None
    probable_cause: TriageResult | Literal["none"] | None = None
    top_cause: Cause | None = None
    at_least_percent: Share | None = None
    recommendation: RecommendationKind | list[RecommendationKind] | None = None
    severity: Severity | None = None
    findings: dict[str, str] = Field(default_factory=dict)
    """By check: its reading, or `no_data`."""
    roll_back: RollBack | None = None
    flow: str | None = None
    agent: str | None = None
    says: str | None = Field(None, min_length=1)
    """Words that the probable cause, or else the recommendation, must contain."""
    series_at_least: int | None = Field(None, ge=1)
    """Fewest other scopes that the verdict lists beside its own."""
    onset_near: Clock | None = None
    """The true start; the estimate may be 10 minutes off."""
    revisions_at_most: int | None = Field(None, ge=1)
    resolved_by: Clock | None = None
    open_at_end: bool = False
    muted_by: MutedBy | Literal["none"] | None = None
    acknowledged_by: str | None = Field(None, min_length=1)
    """Who has it in hand; `none` for nobody."""
    inhibited: list[str] | None = None
    """The flows whose later firings it explains."""
    heard: Heard | None = None
    never_heard: bool = False
    """Every verdict of it is muted."""


class Never(Part):
    """What no firing and no verdict of the whole night may say."""

    detector: list[DetectorName] = Field(default_factory=list)
    tier: list[Tier] = Field(default_factory=list)
    triage_result: list[TriageResult] = Field(default_factory=list)
    top_cause: list[Cause] = Field(default_factory=list)
    recommendation: list[RecommendationKind] = Field(default_factory=list)
    severity: list[Severity] = Field(default_factory=list)
    muted_by: list[MutedBy] = Field(default_factory=list)


class Story(Part):
    """One scenario."""

    story: str = Field(min_length=20)
    date: str = Field("2026-03-03", pattern=r"^\d{4}-\d{2}-\d{2}$")
    begins: Clock = "01:00"
    ends: Clock = "05:00"
    seed: int = Field(1, ge=0)
    history_days: int = Field(8, ge=1, le=28)
    traffic: list[Traffic] = Field(default_factory=lambda: [Traffic()], min_length=1)
    budget: list[BudgetPart] = Field(default_factory=list)
    happens: list[Happening] = Field(default_factory=list)
    quiet: bool = False
    expect: list[Expect] = Field(default_factory=list)
    never: Never = Field(default_factory=Never)

    @field_validator("traffic", "expect", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        """A single table stands for a list of one."""
        return [value] if isinstance(value, dict) else value

    @field_validator("date")
    @classmethod
    def _is_a_day(cls, value: str) -> str:
        date.fromisoformat(value)
        return value

    @model_validator(mode="after")
    def _says_what_must_be_found(self) -> Story:
        if self.quiet == bool(self.expect):
            raise ValueError("say what must be found: either [[expect]] tables or quiet = true, for nothing at all")
        return self

    def ms(self, clock: str) -> int:
        """A clock time of this story in milliseconds since 1970-01-01 UTC."""
        return moment_of(clock, self.date)

    @property
    def begins_ms(self) -> int:
        """When the minute-by-minute part begins: the full hour before `begins`."""
        return self.ms(self.begins) // 3_600_000 * 3_600_000

    @property
    def ends_ms(self) -> int:
        """When it ends."""
        return self.ms(self.ends)


def moment_of(clock: str, day: str) -> int:
    """`02:14`, `yesterday 19:00` or `2026-03-01 09:30` in milliseconds since 1970-01-01 UTC."""
    base = date.fromisoformat(day)
    *word, hours = clock.split(" ")
    match word:
        case ["yesterday"]:
            base -= timedelta(days=1)
        case ["tomorrow"]:
            base += timedelta(days=1)
        case [other]:
            base = date.fromisoformat(other)
    hour, minute = hours.split(":")
    return int(datetime(base.year, base.month, base.day, int(hour), int(minute), tzinfo=UTC).timestamp()) * 1000
