"""The quarterly cost report of a running engine: made once, by one worker, from the windows in Redis.

Whether a report is due is decided by event time alone (`costs.crossover_report`). The report is published first and
noted in Redis afterwards: a crash in between, or a Redis that was wiped, repeats it; the same days of usage make the
same report, with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from costs.compare import Sizing
from costs.crossover_report import LOOK_BACK_HOURS, HourlyUsage, Quarter, cost_report, report_due
from schemas.cost_reports import CostReport
from schemas.outputs import Engine
from stream.assembly import engine_of
from stream.core.machine import Limits, ShardMachine
from stream.core.ticks import NEVER
from stream.core.windows import KindWindows
from stream.cost_inputs import CostInputError, UnitFigures, compare_all
from stream.metrics import Metrics
from stream.ondemand_read import latest_machine
from stream.settings import Settings
from stream.settings_clients import redis_client
from stream.store import Store
from stream.watermark import watermark_ms

LOOK_SECONDS: Final = 60.0
LEASE_MS: Final = 300_000
"""How long one worker may take for the report before another tries."""

HOUR_MS: Final = 3_600_000
PUBLISH_SECONDS: Final = 30.0
SHOWN_MODELS: Final = 20
"""Models that have metrics of their own, dearest first."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.cost_report")


class CostReporter:
    """Looks once a minute whether a report is due, and makes it if no other worker does."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        owner: str,
        publish: Callable[[CostReport], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._store = store
        self._owner = owner
        self._publish = publish
        self._metrics = metrics
        self._engine: Engine = engine_of(settings)
        name = f"{{{settings.redis.namespace}}}:cost-report"
        self._done_key, self._lease_key = f"{name}:done", f"{name}:lease"

    async def run(self, stop: asyncio.Event) -> None:
        """Look and report until `stop` is set. A failure is logged, and it is tried again."""
        while not stop.is_set():
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # whatever is wrong with a report, it must not end the watch
                log.warning("cost_report_waits", error=type(error).__name__, detail=str(error))
            try:
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def look(self) -> CostReport | None:
        """Make the report that is due, if any; None if none is, or if another worker is at it."""
        hour = await self._event_hour()
        if hour is None:
            return None
        redis = self._store.redis
        done = await redis.get(self._done_key)
        quarter = report_due(hour, done.decode() if isinstance(done, bytes) else done)
        if quarter is None or not await redis.set(self._lease_key, self._owner, nx=True, px=LEASE_MS):
            return None
        report = await self._make(quarter)
        if report is not None:
            await asyncio.wait_for(self._publish(report), PUBLISH_SECONDS)
            show(self._metrics, report)
        await redis.set(self._done_key, quarter.name)
        await redis.delete(self._lease_key)
        return report

    async def _event_hour(self) -> int | None:
        """The hour that the telemetry of every shard has passed; None where there is none yet."""
        engine = self._settings.engine
        lateness, grace = round(engine.lateness_seconds * 1000), round(engine.idle_grace_seconds * 1000)
        parts = [await self._store.parts(shard) for shard in range(self._store.shards)]
        marks = [watermark_ms(part, lateness, grace) for part in parts if part]
        return None if not marks or NEVER in marks else min(marks) // HOUR_MS

    async def _make(self, quarter: Quarter) -> CostReport | None:
        usage = await usage_in_redis(self._store, self._settings, quarter.first_hour)
        since = usage.first_hour
        if since is None:
            log.info("cost_report_has_nothing", quarter=quarter.name)
            return None
        # Seconds of arithmetic for a large fleet: not on the loop that ingests.
        return await asyncio.to_thread(self._compare, quarter, usage, since)

    def _compare(self, quarter: Quarter, usage: HourlyUsage, since: int) -> CostReport:
        costs, table = self._settings.costs, self._settings.ptu_table()
        traffic, left_out = usage.traffic(self._settings.price_book())
        sizing = Sizing(costs.deployment_type, costs.region)
        try:
            compared = compare_all(traffic, table, UnitFigures(), sizing)
        except CostInputError:
            left_out.update(dict.fromkeys(traffic, "what a unit carries of it is not known"))
            return cost_report(quarter, since, (), left_out, self._engine)
        return cost_report(quarter, since, compared.comparisons, {**left_out, **compared.left_out}, self._engine)


def show(metrics: Metrics, report: CostReport) -> None:
    """Put the report into the metrics: those of its dearest models."""
    metrics.cost_reports.inc()
    for gauge in (metrics.cost_payg, metrics.cost_best, metrics.cost_flip):
        gauge.clear()
    for one in sorted(report.models, key=lambda model: -model.payg_monthly_usd)[:SHOWN_MODELS]:
        metrics.cost_payg.labels(one.model).set(one.payg_monthly_usd)
        metrics.cost_best.labels(one.model).set(one.monthly_usd)
        for flip in one.flips:
            if flip.manner == "mix" and flip.date is not None:
                seconds = (flip.date.toordinal() - 719_163) * 86_400
                metrics.cost_flip.labels(one.model, flip.term).set(seconds)
    log.info("cost_report_published", report=report.report_id, quarter=report.quarter, models=len(report.models))


async def held_usage(settings: Settings) -> HourlyUsage:
    """The fleet's usage as a running engine holds it now."""
    client = redis_client(settings.redis)
    try:
        return await usage_in_redis(Store(client, settings.redis.namespace, settings.engine.shards), settings)
    finally:
        await client.aclose()


async def usage_in_redis(store: Store, settings: Settings, until_hour: int | None = None) -> HourlyUsage:
    """The fleet's usage by the hour before `until_hour`, or before the latest hour that is in Redis.

    Raises what `stream.ondemand_read.latest_machine` raises.
    """
    engine, limits = engine_of(settings), Limits(series_per_kind=settings.engine.max_series_per_kind)
    machines = []
    for shard in range(store.shards):
        fresh = ShardMachine((), settings.triage, engine, limits, checks=())
        machine = await latest_machine(store, shard, settings, fresh)
        if machine is not None:
            # Only the windows of usage are kept while the other shards are read.
            machines.append((machine.tick // 60, machine.windows["usage"]))
    usage = HourlyUsage(max((hour for hour, _ in machines), default=0) if until_hour is None else until_hour)
    for _, windows in machines:
        _add(windows, usage)
    return usage


def _add(windows: KindWindows, usage: HourlyUsage) -> None:
    """The shard's usage, hour by hour."""
    for hour in range(usage.until_hour - LOOK_BACK_HOURS, usage.until_hour):
        block = windows.hour_blocks.get(hour)
        if block is None:
            continue
        for row, counts in zip(block.rows.tolist(), block.counts.tolist(), strict=True):
            _agent, model, pricing = windows.keys[row].dims
            usage.add(model, pricing, hour, counts)
