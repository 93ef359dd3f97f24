"""One worker process: ingest for its share of the partitions, evaluation for its share of the shards."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeAlias

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from costs.tags_spend import SpendTally
from schemas.outputs import Verdict
from schemas.words import SNAPSHOTS_TOPIC
from stream.adapters import Decoder
from stream.assembly import engine_of, machine_factory, record_limits
from stream.clock import EngineClock
from stream.core.machine import Outcome
from stream.core.ticks import MINUTE_MS
from stream.cost_report import CostReporter
from stream.evaluate import EvaluateSettings, ShardEvaluator
from stream.evaluate_loop import EvaluateLoop, Voice
from stream.feedback_watch import FeedbackWatch
from stream.guard import TimedGuard
from stream.health import Contact
from stream.http import serve_http
from stream.ingest import Ingest
from stream.ingest_loop import IngestLoop, stopped
from stream.metrics import Metrics
from stream.observe import CommitTimer, Observer
from stream.publish import Publisher
from stream.rebuild import Rebuilder
from stream.restore import partitions_of
from stream.settings import Settings
from stream.settings_clients import kafka_options, redis_client
from stream.share import Share
from stream.signal_metrics import SignalCollector
from stream.snapshots import PieceRecord
from stream.standing import Staleness
from stream.store import Store
from stream.stuck import PARTS, Diagnosis
from stream.topics import plan_topics, source_topics
from stream.watchdog import EndBound, Watchdog, where_tasks_stand

OBSERVE_SECONDS = 1.0
PUBLISH_SECONDS = 30.0
START_PAUSES = (0.5, 1.0, 2.0)
PASSING = (KafkaConnectionError, RedisConnectionError, RedisTimeoutError, OSError)
"""What may be over in a moment. A wrong password is among redis-py's connection errors, and is not."""

Loop: TypeAlias = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.worker")


class TopicsMissing(RuntimeError):
    """Kafka lacks topics that the engine reads or writes."""


class Worker:
    """Everything that one process runs."""

    def __init__(self, settings: Settings, index: int = 0) -> None:
        self.settings = settings
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.engine = engine_of(settings)
        self.metrics = Metrics(self.engine.version, self.engine.config_hash)
        self.guard = TimedGuard(self.metrics)
        self._decoder = Decoder(record_limits(settings), settings.adapters.origin(), settings.otlp.reader())
        self._index = index
        self._started = False
        self._where: Callable[[], str] = str
        self._end = EndBound(settings.engine.stop_seconds)
        self._kafka = {**kafka_options(settings.kafka), "client_id": f"{settings.kafka.client_id}-{index}"}

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Raises what keeps it from starting; from then on it waits and goes on.

        A connection that is lost, or not to be had, during the start is tried again a few times within some seconds: a
        server that starts at the same time is no reason to end, and a wrong address is not waited for either.
        """
        for pause in START_PAUSES:
            try:
                await self._run(stop)
            except PASSING as error:
                if self._started or isinstance(error, AuthenticationError):
                    raise
                log.warning("start_waits", error=type(error).__name__, detail=str(error), retry_seconds=pause)
            else:
                return
            if await stopped(stop, pause) or stop.is_set():
                return
        await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        running = asyncio.get_running_loop()
        self._where = partial(where_tasks_stand, running)
        async with AsyncExitStack() as stack:
            stack.callback(self._end.close)
            stopping = asyncio.create_task(self._bound_end(stop), name="bound-end")
            stack.callback(stopping.cancel)
            redis = redis_client(self.settings.redis)
            stack.push_async_callback(redis.aclose)
            producer = AIOKafkaProducer(
                **self._kafka, acks="all", enable_idempotence=True, linger_ms=2, max_request_size=4 * 1024 * 1024
            )
            await producer.start()
            stack.push_async_callback(producer.stop)
            store = Store(redis, self.settings.redis.namespace, self.settings.engine.shards)
            await self._require_topics()
            clock = EngineClock(redis.time)
            await clock.sync()
            ingest, evaluate = self._parts(store, producer, clock)
            stack.push_async_callback(ingest.stop)
            await ingest.start()
            contacts = {
                "kafka": Contact(producer.client.force_metadata_update, time.monotonic),
                "redis": Contact(redis.ping, time.monotonic),
            }
            observer = Observer(
                self.metrics,
                ingest,
                evaluate,
                self._decoder.counters,
                contacts,
                clock.now_ms,
                self.settings.engine.stuck_seconds,
                SignalCollector(self.metrics.registry, self.settings.http.series_metrics),
            )
            loops: dict[str, Loop] = {"ingest": ingest.run, "evaluate": evaluate.run}
            places = {"kafka": self.settings.kafka.bootstrap_servers, "redis": self.settings.redis.url}
            troubles = {"ingest": ingest.trouble, "evaluate": evaluate.trouble}
            diagnosis = Diagnosis(contacts, places, troubles, lambda: where_tasks_stand(running))
            feedback = FeedbackWatch(self.settings, self.metrics, lambda: 0 in evaluate.shards)
            side: dict[str, Loop] = {"feedback": feedback.run, "clock": clock.keep}
            if self.settings.costs.quarterly_report:
                report = Publisher(producer, clock.now_ms).cost_report
                side["cost-report"] = CostReporter(self.settings, store, self.owner, report, self.metrics).run
            await self._serve(stack, observer, diagnosis, loops, side, stop)

    async def _bound_end(self, stop: asyncio.Event) -> None:
        """From the stop on, the end is bounded: while the worker starts, too, where a server may not answer."""
        await stop.wait()
        self._end.begin(self._where)

    async def _require_topics(self) -> None:
        """Refuse to start where a topic is missing: what is read would wait, what is said would be lost."""
        wanted = [plan.name for plan in plan_topics(self.settings.kafka)]
        found = {tp.topic for tp in await partitions_of(wanted, self._kafka)}
        missing = [name for name in wanted if name not in found]
        if missing:
            raise TopicsMissing(f"topics are missing: {', '.join(missing)}; run: midwatch topics create")

    def _parts(self, store: Store, producer: AIOKafkaProducer, clock: EngineClock) -> tuple[IngestLoop, EvaluateLoop]:
        settings, engine = self.settings, self.settings.engine
        staleness = Staleness(round(engine.stale_minutes * MINUTE_MS), clock.now_ms if engine.clock == "wall" else None)
        publisher, share = Publisher(producer, clock.now_ms, staleness), Share()
        ingest = Ingest(
            store,
            self._decoder,
            publisher.dead_letters,
            round(engine.lateness_seconds * 1000),
            settings.budget_rules(),
            prices=settings.price_book(),
            dead_letter_payloads=settings.limits.dead_letter_payloads,
            wall_ms=clock.now_ms if engine.clock == "wall" else None,
            point=CommitTimer(self.metrics.commit_duration),
            give_way=share.give_way,
        )
        ingest.tallies.fold.spend = SpendTally(settings.chargeback.policy())
        make_machine = machine_factory(settings, self.guard)
        timing = EvaluateSettings(
            lateness_ms=round(engine.lateness_seconds * 1000),
            idle_grace_ms=round(engine.idle_grace_seconds * 1000),
            checkpoint_ticks=engine.checkpoint_ticks,
            lease_ms=round(engine.lease_seconds * 1000),
            topics=frozenset(source_topics(settings.kafka)),
            # Well before back-pressure begins: what is evaluated need not wait in an inbox for the next checkpoint.
            checkpoint_bytes=engine.pending_bytes_limit // 4,
        )

        async def publish(outcomes: Sequence[Outcome]) -> None:
            # A broker that takes records and never answers must not hold the shard: TimeoutError makes it start again.
            await asyncio.wait_for(publisher.outcomes(outcomes), PUBLISH_SECONDS)
            loop.tallies.note(outcomes, staleness)

        async def say_again(verdicts: Sequence[Verdict]) -> None:
            await asyncio.wait_for(publisher.standing(verdicts), PUBLISH_SECONDS)

        def make_evaluator(shard: int) -> ShardEvaluator:
            return ShardEvaluator(store, shard, self.owner, make_machine, publish, timing)

        async def send_snapshot(records: list[PieceRecord]) -> None:
            await asyncio.gather(*[await producer.send(SNAPSHOTS_TOPIC, value=r.value, key=r.key) for r in records])

        def wake() -> None:
            loop.wake()

        client_id = str(self._kafka["client_id"])
        reading = IngestLoop(settings, store, ingest, clock.now_ms, client_id, wake)
        voice = Voice(publisher.heartbeat, send_snapshot, say_again, staleness)
        rebuild = Rebuilder(store, self._kafka, reading.every_start).rebuild
        loop = EvaluateLoop(store, self.owner, make_evaluator, self.engine, voice, rebuild, clock.now_ms, share)
        return reading, loop

    async def _serve(
        self,
        stack: AsyncExitStack,
        observer: Observer,
        diagnosis: Diagnosis,
        loops: Mapping[str, Loop],
        side: Mapping[str, Loop],
        stop: asyncio.Event,
    ) -> None:
        self._started = True
        seconds, contacts = self.settings.engine.stuck_seconds, diagnosis.contacts
        self._where = partial(diagnosis.of, "end")
        watchdogs = {
            part: Watchdog(seconds, what=PARTS[part], describe=partial(diagnosis.of, part))
            for part in (*contacts, *loops)
        }
        for watchdog in watchdogs.values():
            stack.callback(watchdog.close)
        stack.callback(self.guard.close)
        tasks = {name: asyncio.create_task(run(stop), name=name) for name, run in loops.items()}
        observer.watch(tasks)
        tasks["observe"] = asyncio.create_task(self._observe(observer, watchdogs, stop), name="observe")
        tasks |= {name: asyncio.create_task(run(stop), name=name) for name, run in side.items()}
        tasks |= {name: asyncio.create_task(one.keep(stop), name=f"ask-{name}") for name, one in contacts.items()}
        try:
            port = self.settings.http.port
            http = self.settings.http.model_copy(update={"port": port + self._index if port else 0})
            server = await stack.enter_async_context(
                serve_http(http, self.metrics.registry, observer.healthy, observer.ready)
            )
            log.info("worker_started", owner=self.owner, metrics=f"{server.url}/metrics", pid=os.getpid())
            await _first_failure(list(tasks.values()), stop)
        finally:
            stop.set()
            self._end.begin(self._where)
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            log.info("worker_stopped", owner=self.owner)

    async def _observe(self, observer: Observer, watchdogs: Mapping[str, Watchdog], stop: asyncio.Event) -> None:
        while not stop.is_set():
            observer.observe()
            for part, watchdog in watchdogs.items():
                progress, since = observer.progress(part), observer.stuck_since(part)
                watchdog.note(progress, behind=observer.behind(part), since=since)
            try:
                await asyncio.wait_for(stop.wait(), OBSERVE_SECONDS)
            except TimeoutError:
                continue


async def _first_failure(tasks: list[asyncio.Task[Any]], stop: asyncio.Event) -> None:
    """Wait for the stop, or for a task to fail; raises its failure."""
    stopping = asyncio.create_task(stop.wait(), name="stopping")
    done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done:
        if task is not stopping:
            task.result()
