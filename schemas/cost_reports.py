"""What Midwatch reports about cost once a quarter, as published to `midwatch.reports`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer

from schemas.base import Count, Finite, Model, Name, Text, Time
from schemas.canonical import content_id, jsonable
from schemas.outputs import Engine

Day = Annotated[date, PlainSerializer(date.isoformat, when_used="json")]
Term = Literal["hourly", "monthly", "yearly"]
Way = Literal["payg", "ptu", "mix"]
Side = Literal["payg", "ptu"]
Manner = Literal["mix", "peak_sized"]


class CostFlip(Model):
    """When the recommendation for one term changes: with spillover (`mix`) or sized for the peak.

    Without `monthly_tokens` no volume changes it; without `date` it is not within the horizon, or the history was too
    short to tell. `earliest` and `latest` are the ends of the 80 % interval.
    """

    term: Term
    manner: Manner
    now: Side
    flips_to: Side | None = None
    monthly_tokens: Count | None = None
    date: Day | None = None
    earliest: Day | None = None
    latest: Day | None = None


class ModelCost(Model):
    """One model: its volume, its cost as pay-as-you-go, and the cheapest way, in dollars a month of 730 hours."""

    model: Name
    monthly_tokens: Count
    payg_monthly_usd: Finite
    way: Way
    term: Term | None = None
    ptus: Count
    monthly_usd: Finite
    growth_percent_a_month: Finite | None = None
    growth_low: Finite | None = None
    growth_high: Finite | None = None
    flips: tuple[CostFlip, ...] = ()
    notes: tuple[Text, ...] = ()


class CostReport(Model):
    """The quarter's comparison of provisioned throughput with pay-as-you-go, over the fleet's usage of up to 27 days.

    `since` to `until` is the time that was looked at; `left_out` says why a model could not be compared.
    """

    report_id: Name
    quarter: Name
    since: Time
    until: Time
    models: tuple[ModelCost, ...]
    left_out: dict[str, Text] = Field(default_factory=dict)
    engine: Engine

    def with_id(self) -> CostReport:
        """The same report with the id that its content gives."""
        body = {key: value for key, value in jsonable(self).items() if key != "report_id"}
        return self.model_copy(update={"report_id": content_id("rpt", body)})
