"""The section `[otlp]`: whose OpenTelemetry it is, what is recognised in spans, and when a trace is finished."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from costs.tags import CHARGEBACK_TAGS
from schemas.words import EscalationReason
from stream.adapters.otlp import OtlpReader
from stream.adapters.otlp_map import Names
from stream.adapters.otlp_names import ENVIRONMENT, SYSTEM, VERSION
from stream.adapters.otlp_rules import DEFAULT_RULES, MarkName, Rule
from stream.core.spans import Role
from stream.core.traces import TraceLimits
from stream.settings_sections import Section

Attribute = Annotated[str, Field(min_length=1, max_length=256)]
Pattern = Annotated[str, Field(min_length=1, max_length=256)]
RoleName = Literal["workflow", "agent", "inference", "embedding", "tool", "handoff", "guardrail", "other", "none"]


class OtlpRule(Section):
    """One rule that recognises something in a span."""

    mark: MarkName = Field(description="What such a span is.")
    when: dict[Attribute, tuple[Pattern, ...]] = Field(
        min_length=1, max_length=8, description="Attributes and the shell patterns of which one must match; all must."
    )
    roles: tuple[RoleName, ...] = Field((), description="Kinds of span that are looked at; none: every kind.")
    reason: EscalationReason | None = Field(None, description="Reason of the escalation.")
    reason_from: Attribute | None = Field(None, description="Attribute that says the reason, in Midwatch's words.")
    target_from: tuple[Attribute, ...] = Field((), description="Attributes that say to whom it goes.")

    def rule(self) -> Rule:
        """The rule as the reader takes it."""
        roles = tuple(Role[name.upper()] for name in self.roles)
        return Rule(self.mark, self.when, roles, self.reason, self.reason_from, self.target_from)


class OtlpSettings(Section):
    """OpenTelemetry spans and logs: whose they are, what is recognised in them, when a trace is finished."""

    environment: tuple[Attribute, ...] = Field(
        ENVIRONMENT, description="Resource attributes that name the environment; the first that is there counts."
    )
    system: tuple[Attribute, ...] = Field(
        SYSTEM,
        description="Resource attributes that name the system. Where one system is several services that serve one "
        "request together: put an attribute that they share, such as service.namespace, first.",
    )
    version: tuple[Attribute, ...] = Field(VERSION, description="Resource attributes that say the version.")
    tags: tuple[Attribute, ...] = Field(
        CHARGEBACK_TAGS, max_length=50, description="Resource attributes that are taken as chargeback tags."
    )
    no_environment: str = Field(
        "unknown", min_length=1, max_length=256, description="Environment of telemetry that names none."
    )
    no_system: str = Field("unknown_service", min_length=1, max_length=256, description="System of such telemetry.")
    shipped_rules: bool = Field(default=True, description="Recognise what the shipped rules do, after [otlp.rules].")
    rules: dict[str, OtlpRule] = Field(
        default_factory=dict,
        description="Rules of your own, [otlp.rules.NAME], in the order of their names; see docs/opentelemetry.md.",
    )
    settle_minutes: int = Field(
        1, ge=0, le=60, description="Quiet after which a trace is finished whose root is another system's span."
    )
    gap_minutes: int = Field(
        5, ge=1, le=240, description="Quiet after which a trace is finished of which no root was seen."
    )
    longest_minutes: int = Field(60, ge=1, le=1440, description="A trace that is open for longer is finished.")
    remember_minutes: int = Field(
        15, ge=1, le=1440, description="How long a finished trace is known, so that late spans make no second one."
    )
    open_traces: int = Field(
        20_000, ge=1, le=1_000_000, description="Most open traces of a shard; beyond it the quietest are finished."
    )
    spans_per_trace: int = Field(500, ge=1, le=10_000, description="Most spans that are kept of one trace.")

    def reader(self) -> OtlpReader:
        """What reads OTLP records by these settings."""
        names = Names(self.environment, self.system, self.version, self.tags, self.no_environment, self.no_system)
        own = [section.rule() for _, section in sorted(self.rules.items())]
        return OtlpReader(names, (*own, *(DEFAULT_RULES if self.shipped_rules else ())))

    def limits(self) -> TraceLimits:
        """When traces are finished, and the caps."""
        return TraceLimits(
            self.settle_minutes,
            self.gap_minutes,
            self.longest_minutes,
            self.remember_minutes,
            self.open_traces,
            self.spans_per_trace,
        )
