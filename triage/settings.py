"""All settings of triage in one frozen model: the `[triage]` section of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import Count, Ratio
from triage.checks.authorization_denials import AuthorizationDenialsSettings
from triage.checks.base import CheckSettings
from triage.checks.circuit_breaker_state import CircuitBreakerStateSettings
from triage.checks.eval_score_trend import EvalScoreTrendSettings
from triage.checks.recent_deployments import RecentDeploymentsSettings

Template = Annotated[str, Field(max_length=2048)]


class RecommendationSettings(CheckSettings):
    """How sure a machine's action must be, and how long a recommendation holds."""

    rollback_probability: Annotated[
        Ratio, Field(ge=0.5, description="probability of the cause `deployment` from which a rollback is recommended")
    ] = 0.9
    benign_probability: Annotated[
        Ratio, Field(ge=0.5, description="probability of legitimate traffic from which nothing is recommended")
    ] = 0.9
    automatic_rollback: Annotated[
        bool, Field(description="let a rollback go without approval where its outcome by version is proof as well")
    ] = False
    valid_minutes: Annotated[Count, Field(ge=1, le=1440, description="how long a recommendation may be acted on")] = 15


class IncidentSettings(CheckSettings):
    """How firings become incidents, and when an incident speaks again."""

    group_minutes: Annotated[
        Count, Field(description="firings of one system this close to an open incident's activity belong to it")
    ] = 30
    retriage_minutes: Annotated[Count, Field(description="how long an incident is triaged anew at every tick")] = 30
    slow_retriage_minutes: Annotated[Count, Field(ge=1, description="how often afterwards")] = 5
    soften_ticks: Annotated[
        Count, Field(ge=1, description="how many triages in a row must agree before an answer gets softer")
    ] = 5
    growth_minutes: Annotated[
        Count, Field(ge=1, description="firings that only add to an incident are told at most this often")
    ] = 10
    max_open_incidents: Annotated[Count, Field(ge=1, le=100_000, description="most incidents open at once")] = 1_000
    max_firings: Annotated[Count, Field(ge=1, le=10_000, description="most firings of one incident")] = 2_000
    max_related: Annotated[
        Count, Field(ge=1, le=2_000, description="most other scopes that a verdict lists, in 256 kB at most")
    ] = 1_000


class LinkSettings(CheckSettings):
    """Where to read on, as templates over {incident_id}, {environment}, {system}, {flow}, {check} and {trace_id}."""

    dashboard: Annotated[Template | None, Field(description="the incident's page")] = None
    runbook: Annotated[Template | None, Field(description="the runbook of the deciding check")] = None
    trace: Annotated[Template | None, Field(description="one trace")] = None
    max_traces: Annotated[Count, Field(le=20, description="most links to traces")] = 3


class TriageSettings(CheckSettings):
    """Settings of the checks, the recommendation, incidents and links."""

    authorization_denials: AuthorizationDenialsSettings = Field(default_factory=AuthorizationDenialsSettings)
    circuit_breaker_state: CircuitBreakerStateSettings = Field(default_factory=CircuitBreakerStateSettings)
    eval_score_trend: EvalScoreTrendSettings = Field(default_factory=EvalScoreTrendSettings)
    recent_deployments: RecentDeploymentsSettings = Field(default_factory=RecentDeploymentsSettings)
    recommendation: RecommendationSettings = Field(default_factory=RecommendationSettings)
    incidents: IncidentSettings = Field(default_factory=IncidentSettings)
    links: LinkSettings = Field(default_factory=LinkSettings)
