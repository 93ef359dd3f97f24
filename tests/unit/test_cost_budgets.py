"""The budgets' counters: the same from the log, from Redis, and from Redis after it was wiped."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costs.months import Month
from costs.prices import Called
from detectors.base import HOURS
from schemas.base import JsonObject
from schemas.canonical import canonical_json
from schemas.series import SeriesKey
from stream.cost_budgets import Spend, report_budgets
from stream.cost_budgets_read import count_files, count_redis
from stream.settings import Settings
from tests.support.shards import Shards, open_shards, shard_settings

CONFIG = """
[budgets.all]
amount_usd = 1000
[budgets.support]
amount_usd = 1000
system = "support"
[budgets.tagged]
amount_usd = 10
tags = { cost-center = "4711" }
[prices.own]
model = "gpt-5"
deployment = "ours"
input = 1.0
output = 8.0
tiers.batch = { input = 0.5, output = 4.0 }
[commitments.c]
ptus = 15
term = "monthly"
from_date = 2026-11-01
system = "support"
"""
START = datetime(2026, 11, 10, 5, 0, tzinfo=UTC)


def events() -> list[JsonObject]:
    """Three hours of calls, of several systems, ways of pricing and deployments; tokens that round."""
    chance = np.random.default_rng(3)
    found: list[JsonObject] = []
    for number in range(400):
        at = START + timedelta(seconds=int(number * 27))
        event: JsonObject = {
            "type": "usage",
            "id": f"u{number}",
            "time": at.isoformat().replace("+00:00", "Z"),
            "environment": "production",
            "system": ("support", "claims")[number % 2],
            "model": ("gpt-5", "gpt-4o", "in-house")[number % 3],
            "provider": "azure",
            "pricing": ("payg", "ptu", "spillover")[number // 3 % 3],
            "input_tokens": int(chance.integers(1, 9_999)),
            "cached_input_tokens": int(chance.integers(0, 99)),
            "output_tokens": int(chance.integers(0, 999)),
        }
        if number % 5 == 0:
            event["deployment"] = "ours"
        if number % 13 == 0:
            event["service_tier"] = "batch"
        if number % 7 == 0:
            event["tags"] = {"cost-center": "4711"}
        if number % 11 == 0:
            event["cost_usd"] = 0.0123455
        found.append(event)
    return found


@pytest.fixture
def settings(redis_server: Any, tmp_path: Path) -> Settings:
    config = tmp_path / "midwatch.toml"
    config.write_text(CONFIG, encoding="utf-8")
    return shard_settings(redis_server.url, f"cb-{uuid.uuid4().hex[:8]}", config=config)


def totals(spends: Any) -> dict[str, list[int]]:
    """Requests and micro-dollars of each budget."""
    return {
        key.dims[0]: np.sum(list(spend.hours.values()), axis=0).tolist() if spend.hours else [0, 0]
        for key, spend in sorted(spends.items())
    }


def by_hand(settings: Settings, name: str) -> list[int]:
    """The budget's counters, event by event."""
    rule = next(rule for rule in settings.budget_rules() if rule.name == name)
    book, count, micro = settings.price_book(), 0, 0
    for event in events():
        if rule.covers(event["environment"], event["system"], event.get("tags")):
            count += 1
            called = Called(event["model"], event["provider"], event.get("deployment"), event.get("service_tier"))
            tokens = (event["input_tokens"], event["cached_input_tokens"], event["output_tokens"])
            cost = 12_346 if "cost_usd" in event else book.micro(called, *tokens, 20_767) or 0
            micro += 0 if event["pricing"] == "ptu" else cost
    return [count, micro]


async def feed(shards: Shards, size: int) -> None:
    """All events in batches of a size, and one more by whose time the watermark passes them."""
    every = events()
    for start in range(0, len(every), size):
        await shards.take(every[start : start + size])
    closing = {**every[0], "id": "closing", "system": "claims", "pricing": "ptu", "model": "gpt-5"}
    closing.pop("tags", None)
    await shards.take([{**closing, "time": "2026-11-10T09:30:00Z"}])


async def test_counters_are_the_same_from_the_log_from_redis_and_after_a_wipe(
    settings: Settings, tmp_path: Path
) -> None:
    """To the micro-dollar: the sum of the calls, whoever counts them, and however the batches are cut."""
    log = tmp_path / "usage.jsonl"
    log.write_bytes(b"".join(canonical_json(event) + b"\n" for event in events()))
    counted = count_files([log], settings)
    wanted = {name: by_hand(settings, name) for name in settings.budgets}
    assert totals(counted.spends) == wanted
    assert counted.unpriced["in-house"] > 0
    async with open_shards(settings) as shards:
        await feed(shards, 37)
        first = await count_redis(settings)
        await shards.evaluate()
        evaluated = await count_redis(settings)
        redis, prefix = shards.store.redis, f"{{{settings.redis.namespace}*"
        await redis.delete(*[key async for key in redis.scan_iter(match=prefix)])
        assert (await count_redis(settings)).spends == {}
    async with open_shards(settings) as shards:
        await feed(shards, 5)
        rebuilt = await count_redis(settings)
    for found in (first, evaluated, rebuilt):
        assert totals(found.spends) == wanted
    assert first.spends == evaluated.spends == rebuilt.spends
    money = [
        [
            (one.usage_micro, one.accrued_micro)
            for one in report_budgets(settings, found.spends, found.as_of_minute or 0)
        ]
        for found in (first, rebuilt)
    ]
    assert money[0] == money[1]
    assert {used for used, _ in money[0]} == {micro for _, micro in wanted.values()}


def steady(start: int, end: int, micro: int) -> Spend:
    return Spend({hour: [1, micro] for hour in range(start, end)})


def test_the_forecast_is_the_detectors_and_holds_what_accrues(settings: Settings) -> None:
    """A steady dollar an hour: 720 dollars in November, and 15 units for 3,900; used up at a known hour."""
    month = Month.parse("2026-11")
    hour = month.first_hour + 240
    key = SeriesKey("budget", "*", "support", ("support",))
    found = {one.name: one for one in report_budgets(settings, {key: steady(hour - HOURS, hour, 1_000_000)}, hour * 60)}
    one = found["support"]
    assert (one.usage_micro, one.accrued_micro, one.flat_micro) == (240_000_000, 1_300_000_000, 3_900_000_000)
    assert one.outlook is not None
    assert one.outlook.total == pytest.approx(720 + 3_900)
    assert one.outlook.low < one.outlook.total < one.outlook.high
    assert one.outlook.spent == pytest.approx(240 + 1_300)
    assert one.outlook.over == hour * 60  # the commitment alone is more than the budget
    over = report_budgets(settings, {}, month.end_hour * 60, month)
    assert {report.why for report in over} == {"the month is over"}
    assert next(report.accrued_micro for report in over if report.name == "support") == 3_900_000_000


def test_the_overrun_date_by_hand(settings: Settings) -> None:
    """A dollar an hour against 500 dollars: used up after 500 hours, on the 21st at 20:00."""
    month = Month.parse("2026-11")
    hour = month.first_hour + 240
    key = SeriesKey("budget", "*", "*", ("all",))
    frugal = settings.model_copy(
        update={
            "budgets": {"all": settings.budgets["all"].model_copy(update={"amount_usd": 500.0})},
            "commitments": {},
        }
    )
    [one] = report_budgets(frugal, {key: steady(hour - HOURS, hour, 1_000_000)}, hour * 60)
    assert one.to_json()["forecast"]["overrun_at"] == "2026-11-21T20:00:00.000Z"
    assert one.to_json()["forecast"]["chance_of_overrun"] > 0.99
