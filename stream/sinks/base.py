"""What a sink is: settings, a pure part that says what to send for a step of an incident, and the sending.

A sink knows one kind of destination. When and how often it sends, retries, limits, offsets: all that is
`stream.sinks.delivery`'s, the same for all. A third party adds a sink by an entry point of the group
`midwatch.sinks`: its name is the `kind`, its value a class as those of `stream.sinks.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import Field

from schemas.outputs import Verdict
from schemas.words import Severity, Tier
from stream.settings_sections import Seconds, Section, Wildcard

StepKind = Literal["opened", "changed", "acknowledged", "released", "muted", "ended"]
"""What became of an incident, for somebody who is paged: see `stream.sinks.course`."""

FailureReason = Literal[
    "timeout", "connection", "rate_limited", "server_error", "rejected_by_destination", "forbidden_address", "refused"
]

LONGEST_ANSWER: Final = 300
"""Most characters of a destination's answer that are kept."""


class SinkSettings(Section):
    """What every sink has: which verdicts it takes, how fast, how long it tries."""

    kind: str = Field(description="Kind of destination.")
    enabled: bool = Field(default=True, description="Whether it is delivered to.")
    environments: tuple[Wildcard, ...] = Field((), description="Environments to tell of, * as wildcard; all if empty.")
    systems: tuple[Wildcard, ...] = Field((), description="Systems to tell of, * as wildcard; all if empty.")
    severities: tuple[Severity, ...] = Field((), description="Severities to tell of; all if empty.")
    tiers: tuple[Tier, ...] = Field((), description="Tiers to tell of, page or warning; all if empty.")
    start_at: Literal["latest", "earliest"] = Field(
        "latest", description="Where the very first start begins: with new verdicts, or with all that are kept."
    )
    max_age_minutes: float = Field(
        120.0, gt=0, le=129_600, description="Older verdicts open nothing; a delivery is given up after as long."
    )
    timeout_seconds: Seconds = Field(10.0, description="Longest wait for the destination's answer.")
    per_minute: float = Field(100.0, ge=1, le=60_000, description="Most deliveries a minute.")
    burst: int = Field(20, ge=1, le=10_000, description="Deliveries that may go at once before that limit holds.")
    allow_private: bool = Field(
        default=False, description="Allow addresses of private networks and of this machine, and plain http to them."
    )


class HttpSinkSettings(SinkSettings):
    """What sinks have that speak HTTP."""

    tls_cafile: Path | None = Field(None, description="CA certificates (PEM); the system's if not given.")

    def url_problems(self, urls: Sequence[str], key: str) -> list[str]:
        """What is wrong with addresses of destinations, in words."""
        wrong = []
        for url in urls:
            try:
                parts = urlsplit(url)
                sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
            except ValueError:
                sound = False
            if not sound:
                wrong.append(f"{key} must be an address that starts with https://")
            elif parts.username is not None or parts.password is not None:
                wrong.append(f"{key} holds a name or password: take it out, secrets have keys of their own")
            elif parts.scheme == "http" and not self.allow_private:
                wrong.append(f"{key} must start with https://; plain http is for private networks, with allow_private")
        return wrong


@dataclass(frozen=True, slots=True)
class Heard:
    """What a destination knows of an incident. `verdict` is the last that was told while it stands open there."""

    revision: int
    loud: bool
    verdict: Verdict | None = None
    severity: Severity = "info"
    """The gravest that was told since it opened."""
    at_ms: int = 0
    """When the newest verdict was published."""


@dataclass(frozen=True, slots=True)
class Step:
    """What there is to tell: the verdict, as it stands on the topic, and what it changes.

    `kinds` is empty where there is nothing to tell a person: a repeat, a muted incident, a resolve nobody waits for.
    `before` is what the destination knew, None if nothing.
    """

    verdict: Verdict
    value: bytes
    kinds: frozenset[StepKind]
    before: Heard | None
    link: str | None
    now_ms: int

    @property
    def loud(self) -> bool:
        """Whether the incident stands open at the destination after this."""
        return self.verdict.status != "resolved" and self.verdict.muted is None


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message to a destination. `what` is a word for people: trigger, resolve."""

    what: str
    body: bytes
    about: Mapping[str, str] = field(default_factory=dict)


class DeliveryFailed(Exception):
    """The destination did not take a parcel.

    `again`: whether the same parcel may be taken later. `everyone`: whether the failure is the destination's, so that
    other parcels would fail as well. `wait_seconds`: what the destination asked for.
    """

    def __init__(
        self,
        reason: FailureReason,
        detail: str,
        *,
        again: bool = True,
        everyone: bool = False,
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason: FailureReason = reason
        self.detail = detail[:LONGEST_ANSWER]
        self.again = again
        self.everyone = everyone
        self.wait_seconds = wait_seconds


class Sink(Protocol):
    """One destination. `send` raises DeliveryFailed; what else it raises is a bug, and counts as a refusal."""

    Settings: ClassVar[type[Any]]
    every_verdict: ClassVar[bool]
    """Whether it takes each verdict (a machine's subscriber), or only what people are to be told."""
    resend_seconds: float | None
    """How often what stands open must be said again; None: never."""

    @property
    def destination(self) -> str:
        """Where it delivers to, without secrets."""
        ...

    def parcels(self, step: Step) -> list[Parcel]:
        """What to send for a step, in order. Pure: the same step gives the same parcels."""
        ...

    def reminder(self, standing: Sequence[Step]) -> list[Parcel]:
        """What to send so that what stands open stays open."""
        ...

    async def send(self, parcel: Parcel) -> str:
        """Deliver; what the destination answered, in words."""
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...


SinkClass = Callable[[Any], Sink]


class BaseSink:
    """The usual answers of a sink."""

    every_verdict: ClassVar[bool] = False
    resend_seconds: float | None = None

    def reminder(self, standing: Sequence[Step]) -> list[Parcel]:  # noqa: ARG002  # a contract's argument
        """Nothing: the destination remembers."""
        return []

    async def close(self) -> None:
        """Nothing to let go."""
