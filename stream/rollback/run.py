"""`midwatch rollback run`: the subscriber between its topics, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import time
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter, Gauge, Info

from schemas.actions import ActionTaken
from schemas.canonical import content_id
from schemas.events import Deployment, Target
from schemas.words import TOPIC_OF_TYPE
from stream.core.ticks import datetime_of
from stream.exemplars import exemplar
from stream.http import Status, serve_http
from stream.logs import configure_logs, secret_values
from stream.rollback.book import ApprovalBook
from stream.rollback.executors.registry import Executors
from stream.rollback.gate import Gate, shut
from stream.rollback.journal import JournalError, KafkaJournal
from stream.rollback.ledger import Ledger
from stream.rollback.subscriber import Subscriber, Surroundings
from stream.rollback.watch import Controls, Watch, WatchError
from stream.settings import Settings
from stream.settings_clients import kafka_options

POLL_MS: Final = 500
BACK_OFF_SECONDS: Final = 5.0
STALE_SECONDS: Final = 60.0
"""Without a finished round for so long, beside the time of an action, the subscriber is not healthy."""

COMMIT_SECONDS: Final = 5.0
PRUNE_SECONDS: Final = 600.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.rollback")


class RollbackMetrics:
    """What the subscriber tells Prometheus about itself."""

    def __init__(self, mode: str) -> None:
        self.registry = CollectorRegistry()
        Info("midwatch_rollback_build", "Version and mode.", registry=self.registry).info(
            {"version": version("midwatch"), "mode": mode}
        )
        self.actions = Counter(
            "midwatch_rollback_actions_total", "Steps of actions written.", ["status", "mode"], registry=self.registry
        )
        self.attention = Counter(
            "midwatch_rollback_attention_total", "Steps that a person should look at.", registry=self.registry
        )
        self.halts = Gauge("midwatch_rollback_halts", "Kill switches that are on.", registry=self.registry)
        self.waiting = Gauge(
            "midwatch_rollback_awaiting_approval", "Actions that wait for a person.", registry=self.registry
        )
        self.round = Gauge(
            "midwatch_rollback_round_timestamp_seconds", "When a round was last finished.", registry=self.registry
        )

    def seen(self, step: ActionTaken, why_not: str | None) -> None:
        """Count a step that counts, and say it in the log."""
        level = log.warning if step.needs_attention else log.info
        level(
            "action", status=step.status, reason=step.reason, mode=step.mode, incident=step.incident_id,
            key=step.idempotency_key, executor=step.executor, detail=step.detail, does_not_count=why_not,
        )  # fmt: skip
        if why_not is not None:
            return
        example = exemplar(incident_id=step.incident_id)
        self.actions.labels(status=step.status, mode=step.mode).inc(exemplar=example)
        if step.needs_attention:
            self.attention.inc(exemplar=example)


class Service:
    """Everything that one process runs."""

    def __init__(self, settings: Settings, executors: Executors) -> None:
        rollback, rules = settings.rollback, settings.rollback.rules()
        self._settings = settings
        self._rules = rules
        kafka = kafka_options(settings.kafka)
        host = socket.gethostname()[:200]
        self._name = f"{host}/{os.getpid()}-{secrets.token_hex(3)}"
        self._metrics = RollbackMetrics(rollback.mode)
        self._journal = KafkaJournal(kafka, Ledger(rules), _wall_ms)
        self._controls = Controls(kafka, ApprovalBook())
        look_back_ms = int(rules.memory.total_seconds() * 1000)
        session_ms = settings.kafka.session_timeout_ms
        self._watch = Watch(kafka, rollback.group_id, session_ms, look_back_ms, _wall_ms)
        self._executors = executors
        self._newest_time = datetime_of(0)
        self._round_at = 0.0
        self._knows = False
        around = Surroundings(
            name=self._name,
            rules=rules,
            executors=executors,
            book=self._controls.book,
            now=self.now,
            stop_file=rollback.stop_file,
            action_seconds=rollback.action_seconds,
            verify_every=timedelta(seconds=rollback.verify_every_seconds),
            refresh=self._refresh,
            newest=self._watch.newest_of,
            announce=self._announce if rollback.publish_deployment else None,
            seen=self._metrics.seen,
        )
        self._subscriber = Subscriber(self._journal, around)

    def now(self) -> datetime:
        """What verdicts are held against: the wall clock; where telemetry moves time, the newest verdict's time."""
        return self._newest_time if self._settings.engine.clock == "stream" else datetime_of(_wall_ms())

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises JournalError, WatchError, KafkaError, OSError where it cannot start."""
        async with AsyncExitStack() as stack:
            parts = (self._journal, self._controls, self._watch)
            for part in parts:
                stack.push_async_callback(part.stop)
            for part in parts:
                await part.start()
            self._round_at = time.monotonic()
            http = await stack.enter_async_context(
                serve_http(self._settings.http, self._metrics.registry, self._healthy, self._ready)
            )
            gate_url = None
            if self._settings.rollback.gate.enabled:
                gate_url = await stack.enter_async_context(
                    Gate(self._settings.rollback.gate, self._is_shut).serve()
                )
            log.info("watching_verdicts", mode=self._rules.mode, name=self._name, url=http.url, gate=gate_url)
            await self._rounds(stop)

    async def _rounds(self, stop: asyncio.Event) -> None:
        committed = pruned = time.monotonic()
        while not stop.is_set():
            try:
                await self._round()
                if time.monotonic() - committed >= COMMIT_SECONDS:
                    committed = time.monotonic()
                    await self._watch.commit()
            except (KafkaError, TimeoutError) as error:
                log.warning("round_failed", error=type(error).__name__, detail=str(error))
                await _wait(stop, BACK_OFF_SECONDS)
            if time.monotonic() - pruned >= PRUNE_SECONDS:
                pruned = time.monotonic()
                self._prune()

    async def _refresh(self) -> None:
        """Hear what has been said, and decided, since the round began."""
        await self._controls.catch_up()
        while not await self._watch.is_current():
            await self._watch.poll(POLL_MS)

    async def _round(self) -> None:
        """Take in all there is, and only then decide."""
        await self._watch.poll(POLL_MS)
        await self._journal.catch_up()
        await self._controls.catch_up()
        if not await self._watch.is_current():
            return
        newest = self._watch.newest
        for verdict in newest.values():
            self._newest_time = max(self._newest_time, verdict.decided_at)
        await self._subscriber.reconcile(newest)
        self._round_at = time.monotonic()
        self._knows = True
        self._show()

    def _show(self) -> None:
        metrics = self._metrics
        metrics.round.set(time.time())
        halts = len(self._controls.book.halts(self.now())) + (self._subscriber.stopped() is not None)
        metrics.halts.set(halts)
        entries = self._journal.ledger.entries.values()
        metrics.waiting.set(sum(one.last.status == "awaiting_approval" for one in entries))

    def _prune(self) -> None:
        oldest = self.now() - self._rules.memory
        self._watch.prune(oldest)
        self._controls.book.prune(oldest)
        self._journal.ledger.prune(self.now())

    def _healthy(self) -> Status:
        age = time.monotonic() - self._round_at
        limit = STALE_SECONDS + 3 * self._settings.rollback.action_seconds
        facts = {"mode": self._rules.mode, "seconds_since_round": round(age, 1), "limit_seconds": limit}
        return Status(age < limit, facts)

    def _ready(self) -> Status:
        found = self._healthy()
        return Status(found.ok and self._knows, found.facts)

    def _is_shut(self, namespace: str, canary: str) -> bool | None:
        if not self._knows or not self._healthy().ok:
            return None
        return (namespace, canary) in shut(self._journal.ledger, self._executors, self.now())

    async def _announce(self, step: ActionTaken) -> None:
        event = rolled_back(step)
        if event is not None:
            await self._journal.send(TOPIC_OF_TYPE["deployment"], event.component, event)


def rolled_back(step: ActionTaken) -> Deployment | None:
    """The deployment event of an action that succeeded; the same event, id and all, however often it is asked for."""
    target = step.target
    if target is None:
        return None
    return Deployment(
        id=content_id("dep", {"idempotency_key": step.idempotency_key, "phase": "rolled_back"}),
        time=step.time,
        environment=step.scope.environment,
        system=step.scope.system,
        change=target.change,
        component=target.component,
        version=target.from_version,
        previous_version=target.to_version,
        phase="rolled_back",
        canary_percent=0.0,
        target=Target(kind=target.kind, ref=target.ref),
    )


def run_rollback(settings: Settings, executors: Executors) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    configure_logs(settings.log, secret_values(settings))
    try:
        asyncio.run(_run(settings, executors))
    except (JournalError, WatchError, KafkaError, OSError) as error:
        log.error("cannot_run", error=type(error).__name__, detail=str(error))  # noqa: TRY400  # expected: no traceback
        return 1
    except Exception as error:  # the last line of defence: said in the log, told by the exit code
        log.exception("rollback_failed", error=type(error).__name__, detail=str(error))
        return 1
    return 0


async def _run(settings: Settings, executors: Executors) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(stop.set))
    await Service(settings, executors).run(stop)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
