"""What the on-call page shows: values, ready to be written out, that know nothing of HTML, Kafka or Redis.

Times are UTC; whoever writes them out adds the reader's own zone. Every text may hold what telemetry says, so it is
escaped wherever it is written. Rates are fractions (0.137 is 13.7 %), money is in dollars, latencies in milliseconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from pydantic import Field

from dashboard.views_charts import Chart, Line, Mark, MarkKind, Point
from dashboard.views_incidents import (
    CHECK_QUESTIONS,
    ActionView,
    ChainStep,
    DenialRow,
    Health,
    IncidentCard,
    IncidentState,
    IncidentView,
    Overview,
    Problem,
    Revision,
    ScoreRow,
    TraceStep,
    TraceView,
    VersionOutcome,
)
from dashboard.views_panels import (
    BudgetView,
    Choices,
    CostsView,
    Filter,
    LatencyRow,
    PtuRow,
    QualityView,
    SignalsView,
    Span,
    SpendRow,
)
from schemas.base import JsonObject, Model

__all__ = [
    "CHECK_QUESTIONS",
    "ActResult",
    "ActionView",
    "Acts",
    "BudgetView",
    "ChainStep",
    "Chart",
    "Choices",
    "CostsView",
    "DenialRow",
    "Filter",
    "Health",
    "IncidentCard",
    "IncidentState",
    "IncidentView",
    "LatencyRow",
    "Line",
    "Mark",
    "MarkKind",
    "Overview",
    "Pages",
    "Point",
    "Problem",
    "PtuRow",
    "QualityView",
    "Revision",
    "ScoreRow",
    "SignalsView",
    "Span",
    "SpendRow",
    "TraceStep",
    "TraceView",
    "VersionOutcome",
    "Viewer",
]


class Viewer(Model):
    """Who looks, and whether they may act. `csrf` goes back with every act."""

    name: str
    role: Literal["reader", "operator"]
    csrf: str


class Pages(Protocol):
    """The read model, as the page asks it. It answers at once, from memory or from a cache of its own."""

    async def overview(self) -> Overview:
        """The first screen."""

    async def incident(self, incident_id: str) -> IncidentView | None:
        """One incident; None if it is not known."""

    async def incidents(self, *, limit: int, before: datetime | None) -> tuple[IncidentCard, ...]:
        """The history, newest first."""

    async def signals(self, asked: Filter) -> SignalsView:
        """The four signals."""

    async def quality(self, asked: Filter) -> QualityView:
        """Evaluation trends."""

    async def costs(self, asked: Filter, tag: str | None) -> CostsView:
        """Spend, budgets, provisioned throughput."""


class ActResult(Model):
    """What an act did, in words for the one who did it. `detail` is for programs."""

    ok: bool
    text: str
    detail: JsonObject = Field(default_factory=dict)


class Acts(Protocol):
    """What a viewer may do. Each is stored in Kafka before it returns, and is part of the audit trail.

    Each raises ValueError with a sentence for the viewer where it cannot be done.
    """

    async def acknowledge(self, viewer: Viewer, incident_id: str, note: str, *, withdraw: bool) -> ActResult:
        """Take an incident in hand, or give it back."""

    async def silence(self, viewer: Viewer, incident_id: str, minutes: int, reason: str) -> ActResult:
        """Page nobody about the incident's scope for so long."""

    async def judge(self, viewer: Viewer, incident_id: str, *, right: bool, cause: str | None, note: str) -> ActResult:
        """Confirm or refute the verdict."""

    async def decide_rollback(self, viewer: Viewer, incident_id: str, key: str, *, approve: bool) -> ActResult:
        """Approve or refuse the rollback that waits under this idempotency key."""
