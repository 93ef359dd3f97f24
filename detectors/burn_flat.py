"""The flat part of a budget: what accrues by the hour, used or not, such as provisioned throughput."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from detectors.burn_calendar import Month
from detectors.settings import SettingsPart


class FlatCost(SettingsPart):
    """A cost that accrues evenly from `first_hour` up to `end_hour` (hours since 1970 UTC; None: without end)."""

    usd: float = Field(ge=0, description="Dollars an hour, or a calendar month.")
    every: Literal["hour", "month"] = Field(default="month", description="hour or month: what the dollars are for.")
    first_hour: int = Field(default=0, ge=0, description="The first hour that costs.")
    end_hour: int | None = Field(default=None, description="The first hour that costs no more.")

    def accrued(self, month: Month, hour: int) -> float:
        """Dollars that accrue in the month before `hour`."""
        end = hour if self.end_hour is None else min(hour, self.end_hour)
        hours = max(end - max(month.first_hour, self.first_hour), 0)
        return self.usd * hours / (1 if self.every == "hour" else month.end_hour - month.first_hour)
