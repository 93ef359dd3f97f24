"""Usage of a month from Kafka: every input topic, from the month's beginning to its present end."""

from __future__ import annotations

from collections.abc import Callable

from costs.chargeback_charges import HOUR_MS
from costs.months import Month
from stream.adapters import Usage
from stream.chargeback_read import UsageRead
from stream.settings import Settings
from stream.usage_kafka import read_since


async def read_kafka(settings: Settings, month: Month, take: Callable[[Usage], None]) -> UsageRead:
    """Hand every usage event since the month began to `take`. Raises what `read_since` raises."""
    return await read_since(settings, month.first_hour * HOUR_MS, take)
