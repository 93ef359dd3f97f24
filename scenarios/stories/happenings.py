"""What can happen in a story, one table each, told apart by `what`; and each as a sentence for people."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from schemas.words import ChangeKind, DetectorName, EscalationReason

Clock = Annotated[
    str,
    StringConstraints(pattern=r"^((yesterday|tomorrow|\d{4}-\d{2}-\d{2}) )?([01]\d|2[0-3]):[0-5]\d$"),
]
Share = Annotated[float, Field(ge=0, le=100)]


class Happens(BaseModel):
    """What all happenings have: when, and where (the only system or flow, if not given)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    at: Clock
    system: str | None = None
    flow: str | None = None


class Lasting(Happens):
    """One with an end (that of the story, if not given), rising and falling over `ramp_minutes`."""

    until: Clock | None = None
    ramp_minutes: int = Field(0, ge=0, le=1440)


class Deployment(Happens):
    """A version goes out: by a `canary` ("full": 5, 25, 50, 100 % over two hours; "none": at once) or by a `ramp`.

    `ramp` is a list of [minutes, per cent of the traffic]. What it does: nothing, if nothing more is said.
    """

    what: Literal["deployment"]
    version: str = Field(min_length=1)
    change: ChangeKind = "flow"
    component: str | None = Field(None, min_length=1)
    canary: Literal["full", "none"] = "none"
    ramp: list[tuple[int, float]] | None = Field(None, min_length=1)
    escalates_percent: Share = 0
    reason: EscalationReason = "ambiguous"
    denied_percent: Share = 0
    appropriateness_points: float = Field(0, ge=-4, le=4)
    names_target: bool = True

    def words(self) -> str:
        """As a sentence."""
        how = "at once, to all traffic" if self.canary == "none" else "through the full canary ramp"
        if self.ramp is not None:
            how = ", ".join(f"{percent:g} % after {minutes} min" for minutes, percent in self.ramp)
        return f"deployment of {self.change} {self.version}: {how}"


class Rollback(Happens):
    """A version is taken out of traffic again."""

    what: Literal["rollback"]
    version: str = Field(min_length=1)

    def words(self) -> str:
        """As a sentence."""
        return f"rollback of {self.version}"


class EscalationsRise(Lasting):
    """A further share of the interactions goes to a person."""

    what: Literal["escalations rise"]
    by_percent: Share
    reason: EscalationReason = "high_risk"

    def words(self) -> str:
        """As a sentence."""
        slowly = f" over {self.ramp_minutes} min" if self.ramp_minutes else ""
        reason = self.reason.replace("_", " ")
        return f"{self.by_percent:g} % more of the interactions go to a person{slowly} ({reason})"


class Denials(Lasting):
    """The agent asks for what it may not do, and is refused: `per_interaction` times with each interaction."""

    what: Literal["denials"]
    per_interaction: float = Field(gt=0, le=20)
    actions: list[str] = Field(default_factory=lambda: ["payments:transfer"], min_length=1)
    principals: list[str] = Field(default_factory=lambda: ["svc-refund-agent"], min_length=1)

    def words(self) -> str:
        """As a sentence."""
        return f"the agent asks for {', '.join(self.actions)} and is refused, as {', '.join(self.principals)}"


class DependencyFails(Lasting):
    """Calls of a dependency fail; what its breaker does about it."""

    what: Literal["dependency fails"]
    dependency: str | None = None
    failing_percent: Share = 60
    how: Literal["time-outs", "errors"] = "time-outs"
    breaker: Literal["stays closed", "opens", "flaps"] = "stays closed"
    after_seconds: int = Field(30, ge=0, le=3600)
    flap_minutes: int = Field(3, ge=1, le=120)
    on_instances: int | None = Field(None, ge=1, le=100)
    routed_percent: Share = 40

    def words(self) -> str:
        """As a sentence."""
        name = self.dependency or "the dependency"
        some = f" on {self.on_instances} of its instances" if self.on_instances is not None else ""
        return f"{self.failing_percent:g} % of the calls of {name} fail ({self.how}); its breaker {self.breaker}{some}"


class ScoresMove(Lasting):
    """The judge's scores of one criterion move."""

    what: Literal["scores move"]
    points: float = Field(ge=-4, le=4)
    criterion: str = "escalation_appropriateness"

    def words(self) -> str:
        """As a sentence."""
        return f"scores of {self.criterion} move by {self.points:+g} points"


class TrafficChanges(Lasting):
    """So many times the traffic; 0 is silence."""

    what: Literal["traffic changes"]
    times: float = Field(ge=0, le=100)

    def words(self) -> str:
        """As a sentence."""
        return "no more interactions" if self.times == 0 else f"{self.times:g} times the traffic"


class SourceStops(Lasting):
    """One kind of telemetry does not come."""

    what: Literal["source stops"]
    source: Literal["interactions", "authorizations", "breakers", "scores", "deployments", "usage", "everything"]

    def words(self) -> str:
        """As a sentence."""
        return "nothing is heard any more" if self.source == "everything" else f"no more {self.source} come"


class SpendingChanges(Lasting):
    """Model calls use so many times their tokens, or a share of them spills over from provisioned throughput."""

    what: Literal["spending changes"]
    times: float = Field(1.0, gt=0, le=100)
    spillover_percent: Share = 0

    def words(self) -> str:
        """As a sentence."""
        spill = f"{self.spillover_percent:g} % of the model calls spill over to pay-as-you-go"
        return spill if self.spillover_percent else f"model calls use {self.times:g} times their tokens"


class ClockSkew(Lasting):
    """A share of the events comes from a producer whose clock is wrong; negative seconds are slow."""

    what: Literal["clock skew"]
    seconds: int = Field(ge=-3600, le=300)
    share_percent: Share = 50

    def words(self) -> str:
        """As a sentence."""
        wrong = f"{abs(self.seconds)} s {'slow' if self.seconds < 0 else 'fast'}"
        return f"the clock of a producer of {self.share_percent:g} % of the events is {wrong}"


class LateEvents(Lasting):
    """A share of the events comes up to so many minutes late."""

    what: Literal["late events"]
    share_percent: Share = 5
    minutes: int = Field(10, ge=1, le=120)

    def words(self) -> str:
        """As a sentence."""
        return f"{self.share_percent:g} % of the events come up to {self.minutes} min late"


class Duplicates(Lasting):
    """A producer sends a share of its events twice."""

    what: Literal["duplicates"]
    share_percent: Share = 30

    def words(self) -> str:
        """As a sentence."""
        return f"{self.share_percent:g} % of the events come twice"


class Mutes(Happens):
    """Nobody is paged for what it covers, `until` a time, from `starts` on (from `at`, when it is made, if not given).

    It covers what fires in its system and flow, and of the agent, budget and detector that it names.
    """

    what: str
    starts: Clock | None = None
    until: Clock
    agent: str | None = None
    budget: str | None = None
    detector: DetectorName | None = None
    reason: str = Field(min_length=1, max_length=1000)

    def words(self) -> str:
        """As a sentence."""
        named = {"agent": self.agent, "budget": self.budget, "detector": self.detector}
        about = "".join(f" of {name} {value}" for name, value in named.items() if value is not None)
        begins = f" from {self.starts}" if self.starts is not None else ""
        return f"{self.what}{about}{begins} until {self.until}: {self.reason}"


class Silence(Mutes):
    """Somebody silences the pager."""

    what: Literal["silence"]


class MaintenanceWindow(Mutes):
    """The same, planned."""

    what: Literal["maintenance window"]


class Acknowledgement(Happens):
    """Somebody takes the incident in hand that is open then, or, `withdrawn`, gives it back."""

    what: Literal["acknowledgement"]
    by: str = Field(min_length=1)
    note: str | None = Field(None, min_length=1, max_length=1000)
    withdrawn: bool = False

    def words(self) -> str:
        """As a sentence."""
        note = f": {self.note}" if self.note else ""
        return f"{self.by} {'gives back' if self.withdrawn else 'acknowledges'} the incident{note}"


Happening = Annotated[
    Deployment
    | Rollback
    | EscalationsRise
    | Denials
    | DependencyFails
    | ScoresMove
    | TrafficChanges
    | SourceStops
    | SpendingChanges
    | ClockSkew
    | LateEvents
    | Duplicates
    | Silence
    | MaintenanceWindow
    | Acknowledgement,
    Field(discriminator="what"),
]
