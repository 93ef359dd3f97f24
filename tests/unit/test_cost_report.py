"""The quarterly report: when it is due, what it says, and that it is said once."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from costs.crossover_report import HourlyUsage, Quarter, report_due
from costs.prices import LIST
from schemas.base import JsonObject
from schemas.cost_reports import CostReport
from stream.cli import app
from stream.cost_report import CostReporter
from stream.metrics import Metrics
from stream.settings import Settings
from tests.support.shards import Shards, open_shards, shard_settings

QUARTER = datetime(2026, 10, 1, tzinfo=UTC)


def hour_of(moment: datetime) -> int:
    return int(moment.timestamp()) // 3600


FIRST = hour_of(QUARTER)


@pytest.mark.parametrize(
    ("hour", "done", "due"),
    [
        (FIRST, "2026-Q3", None),  # what is late may still come
        (FIRST + 1, "2026-Q3", "2026-Q4"),
        (FIRST + 1, None, "2026-Q4"),
        (FIRST + 1, "2026-Q4", None),
        (FIRST + 1, "2027-Q1", None),  # time went back
        (FIRST + 13 * 24, "2026-Q3", "2026-Q4"),
        (FIRST + 20 * 24, "2026-Q3", None),  # the windows no longer reach
        (FIRST + 1, "garbage", "2026-Q4"),
    ],
)
def test_a_report_is_due_once_a_quarter(hour: int, done: str | None, due: str | None) -> None:
    """Soon after the quarter begins, by event time; a day too late is late, three weeks are too late."""
    found = report_due(hour, done)
    assert (found.name if found else None) == due


def test_every_hour_of_a_year_belongs_to_one_of_four_quarters() -> None:
    """They begin in January, April, July and October."""
    start = hour_of(datetime(2026, 1, 1, tzinfo=UTC))
    found = {Quarter.of(start + hour) for hour in range(365 * 24)}
    firsts = [hour_of(datetime(2026, month, 1, tzinfo=UTC)) for month in (1, 4, 7, 10)]
    assert sorted(found) == [Quarter(f"2026-Q{n}", first) for n, first in enumerate(firsts, 1)]


def test_hours_become_minutes_that_cost_the_same() -> None:
    """Nothing is lost between the windows and the traffic; provisioned calls are priced at the list."""
    usage = HourlyUsage(FIRST)
    usage.add("gpt-5", "payg", FIRST - 3, (2, 1_000, 0, 100, 2_250))
    usage.add("gpt-5", "ptu", FIRST - 1, (1, 1_000, 400, 100, 0))
    usage.add("gpt-5", "payg", FIRST, (9, 9, 9, 9, 9))  # after the quarter began
    usage.add("in-house", "payg", FIRST - 2, (1, 1, 1, 1, 0))
    found, left_out = usage.traffic(LIST)
    traffic = found["gpt-5"]
    assert traffic.minutes == 180
    assert traffic.micro.sum() == pytest.approx(2_250 + 600 * 1.25 + 400 * 0.125 + 100 * 10)
    assert (traffic.requests.sum(), traffic.input_tokens.sum()) == (pytest.approx(3), pytest.approx(2_000))
    assert left_out.keys() == {"in-house"}


@pytest.fixture
def settings(redis_server: Any) -> Settings:
    return shard_settings(redis_server.url, f"cr-{uuid.uuid4().hex[:8]}")


def events(days: int) -> list[JsonObject]:
    """A call every six hours up to the quarter, growing, and one well behind it."""
    found: list[JsonObject] = []
    times = [QUARTER - timedelta(hours=6 * n) for n in range(4 * days, 0, -1)]
    for number, at in enumerate([*times, QUARTER + timedelta(hours=3)]):
        found += [
            {
                "type": "usage",
                "id": f"{system}-{number}",
                "time": at.isoformat().replace("+00:00", "Z"),
                "environment": "production",
                "system": system,
                "model": "gpt-4o",
                "input_tokens": round(1e6 * np.exp(number / 400)),
                "output_tokens": 1_000,
            }
            for system in ("support", "claims", "refunds")
        ]
    return found


async def test_the_report_is_published_once_and_always_the_same(settings: Settings) -> None:
    """Of two workers one reports; after it was noted nobody does; a lost note repeats the same report."""
    said: list[CostReport] = []
    metrics = Metrics("1", "h")

    async def publish(report: CostReport) -> None:
        said.append(report)

    async with open_shards(settings) as shards:
        first, second = (CostReporter(settings, shards.store, name, publish, metrics) for name in "ab")
        assert await first.look() is None  # no telemetry yet
        await feed(shards)
        assert await first.look() is not None
        assert await second.look() is None
        await shards.store.redis.delete(f"{{{settings.redis.namespace}}}:cost-report:done")
        assert await second.look() is not None
    one, again = said
    assert one == again
    assert one.report_id.startswith("rpt_")
    assert (one.quarter, one.until) == ("2026-Q4", QUARTER)
    [model] = one.models
    assert (model.model, model.way) == ("gpt-4o", "payg")
    assert model.growth_percent_a_month == pytest.approx(100 * (np.exp(4 / 400 * 365 / 12) - 1), rel=0.02)
    assert metrics.registry.get_sample_value("midwatch_cost_reports_total") == 2
    assert metrics.registry.get_sample_value("midwatch_cost_payg_usd", {"model": "gpt-4o"}) == model.payg_monthly_usd


async def test_what_redis_holds_can_be_compared_by_hand(settings: Settings, tmp_path: Path) -> None:
    """`--from-redis` sees the same hours: the same calls cost the same."""
    config = tmp_path / "midwatch.toml"
    lines = [f'url = "{settings.redis.url}"', f'namespace = "{settings.redis.namespace}"', "[engine]", "shards = 2"]
    config.write_text("\n".join(["[redis]", *lines]), encoding="utf-8")
    async with open_shards(settings) as shards:
        await feed(shards)
        asked = ["costs", "compare", "--from-redis", "--config", str(config), "--json"]
        result = await asyncio.to_thread(CliRunner().invoke, app, asked)
        history = await asyncio.to_thread(CliRunner().invoke, app, ["costs", "crossover", *asked[2:]])
    [found] = json.loads(result.stdout)["comparisons"]
    # 27 days before the last full hour, which is that before 02:00.
    calls = [event for event in events(27) if "2026-09-04T02" <= event["time"] < "2026-10-01T02"]
    usd = sum(event["input_tokens"] * 2.5e-6 + event["output_tokens"] * 10e-6 for event in calls)
    assert found["payg_monthly_usd"] == pytest.approx(usd * 730 * 60 / found["minutes"], rel=1e-4)
    assert json.loads(history.stdout)["crossovers"][0]["growth"]["days"] == 26


async def test_a_report_that_is_not_stored_is_made_again(settings: Settings) -> None:
    """Published before it is noted: when publishing fails nothing is noted, and the next try reports."""

    async def fail(_report: CostReport) -> None:
        raise OSError("the broker is away")

    said: list[CostReport] = []

    async def publish(report: CostReport) -> None:
        said.append(report)

    async with open_shards(settings) as shards:
        await feed(shards)
        with pytest.raises(OSError, match="away"):
            await CostReporter(settings, shards.store, "a", fail, Metrics("1", "h")).look()
        await shards.store.redis.delete(f"{{{settings.redis.namespace}}}:cost-report:lease")  # as it would expire
        assert await CostReporter(settings, shards.store, "b", publish, Metrics("1", "h")).look() is not None
    assert len(said) == 1


async def feed(shards: Shards) -> None:
    await shards.take(events(27))


async def test_a_report_that_fails_does_not_end_the_watch(settings: Settings) -> None:
    """Whatever goes wrong with it is logged, and the loop goes on until it is told to stop."""
    stop, tried = asyncio.Event(), asyncio.Event()

    async def fail(_report: CostReport) -> None:
        tried.set()
        raise RuntimeError("a bug")

    async with open_shards(settings) as shards:
        await feed(shards)
        running = asyncio.create_task(CostReporter(settings, shards.store, "a", fail, Metrics("1", "h")).run(stop))
        await asyncio.wait_for(tried.wait(), 30)
        stop.set()
        await asyncio.wait_for(running, 30)
        assert await shards.store.redis.get(f"{{{settings.redis.namespace}}}:cost-report:done") is None
