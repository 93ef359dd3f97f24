"""`midwatch evaluate run`: a Faust application that feeds the evaluation plane.

Faust keeps to what it is good at (docs/adr/0004): `concurrency=1`, no tables, no `exactly_once`, no web server, raw
bytes. Each agent hands records to a bounded number of tasks, so a slow judge slows the reading down, and acknowledges
them in order (`evaluation.acks`). Kafka away for too long ends the process with an error; its supervisor starts it
again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import faust
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from costs.prices import Called, PriceBook
from evaluation.acks import OrderedAcks
from evaluation.anchor_watch import AnchorWatch
from evaluation.batch_store import BatchStore
from evaluation.batch_watch import watch_batches
from evaluation.budget import PlaneStore
from evaluation.burst import Bursts
from evaluation.criteria import Criterion
from evaluation.giving_up import Patience, give_up, waiting_at
from evaluation.judge_metrics import JudgeMetrics
from evaluation.judgement import Judge
from evaluation.metrics import PlaneMetrics
from evaluation.pacing import DAY_SECONDS
from evaluation.plane import Plane
from evaluation.publish import ScorePublisher
from evaluation.purse import Purse, budget_of
from schemas.words import VERDICTS_TOPIC
from stream.adapters import Decoder
from stream.adapters.decoder import Limits
from stream.adapters.native import Interaction
from stream.adapters.rejection import Rejection
from stream.assembly import record_limits
from stream.http import Status, serve_http
from stream.logs import configure_logs, secret_values
from stream.settings import Settings
from stream.settings_clients import kafka_options, redis_client

PUBLISH_SECONDS: Final = 30.0
WATCH_SECONDS: Final = 2.0
STOP_SECONDS: Final = 15.0
CANCEL_SECONDS: Final = 2.0
"""How long what was cancelled, or is closed, is waited for."""

LAST_SECONDS: Final = 5.0
"""How long whatever is left at the end of the process is."""

BURSTS_AT_ONCE: Final = 2

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.judge")


class KafkaAway(RuntimeError):
    """Kafka did not answer for too long."""


def faust_app(settings: Settings, datadir: Path) -> faust.App:
    """The application, connected as every other client of ours. It keeps nothing, but wants a folder to keep it in."""
    options = kafka_options(settings.kafka)
    return faust.App(
        f"{settings.kafka.group_id}-evaluation",
        broker=[f"kafka://{server}" for server in options["bootstrap_servers"]],
        broker_client_id=f"{settings.kafka.client_id}-evaluation",
        broker_credentials=credentials_of(options),
        broker_commit_interval=1.0,
        broker_session_timeout=settings.kafka.session_timeout_ms / 1000,
        consumer_auto_offset_reset=settings.sampling.start_at,
        consumer_max_fetch_size=4 * 1024 * 1024,
        stream_buffer_maxsize=max(16, settings.sampling.concurrency),
        # The feeds wait for their own work, for so long and no longer. Faust would wait for records that are never
        # acknowledged, since their work was given up, and swallows being cancelled meanwhile.
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        datadir=datadir,
        web_enabled=False,
        autodiscover=False,
    )


def credentials_of(options: Mapping[str, Any]) -> Any:
    """Faust's credentials for the options of an aiokafka client; None for plain text."""
    from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

    context = options.get("ssl_context")
    if "sasl_oauth_token_provider" in options:
        return OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=context)
    if "sasl_mechanism" in options:
        return SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None


class Feed:
    """Reads one topic for a handler: at most `most` records at once, acknowledged in order."""

    def __init__(self, handle: Callable[[Any], Awaitable[None]], most: int, metrics: PlaneMetrics) -> None:
        self._handle = handle
        self._room = asyncio.Semaphore(most)
        self._acks = OrderedAcks()
        self._tasks: set[asyncio.Task[None]] = set()
        self._metrics = metrics

    async def __call__(self, stream: Any) -> None:
        """The agent."""
        async for event in stream.noack().events():
            await self._room.acquire()
            task = asyncio.create_task(self._one(event, self._acks.begin(event.message.tp, event.ack)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, event: Any, done: Callable[[], None]) -> None:
        self._metrics.in_flight.inc()
        try:
            await self._handle(event.message)
        except Exception:  # a handler that breaks costs its record, not the process
            self._metrics.failed.labels("handler").inc()
            log.exception("record_failed")
        finally:
            self._metrics.in_flight.dec()
            self._room.release()
        done()

    async def drain(self, seconds: float) -> None:
        """Let the work in flight end; cancel what takes longer. What is cancelled is not acknowledged."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            await give_up(late, CANCEL_SECONDS)


def interactions(plane: Plane, decoder: Decoder) -> Callable[[Any], Awaitable[None]]:
    """The handler of records that hold interactions, in any format that Midwatch reads."""

    async def handle(message: Any) -> None:
        headers = _pairs(message.headers)
        received = -1 if not message.timestamp else round(message.timestamp * 1000)
        batch = decoder.decode_batch([(message.value, headers, received)])
        for _, rejection in batch.rejections:
            _note(plane.metrics, rejection)
        if received > 0:
            plane.metrics.lag.set(max(0.0, time.time() - received / 1000))
        for event in batch.events:
            if isinstance(event, Interaction):
                await plane.take(event)

    return handle


def _pairs(headers: Any) -> list[tuple[str, bytes]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return [(str(name), value) for name, value in pairs if value is not None]


def _note(metrics: PlaneMetrics, rejection: Rejection) -> None:
    metrics.rejected.labels(rejection.reason).inc()


def run_plane(settings: Settings, judge: Judge, criteria: tuple[Criterion, ...]) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    configure_logs(settings.log, secret_values(settings))
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return asyncio.run(_to_the_end(settings, judge, criteria))


async def _to_the_end(settings: Settings, judge: Judge, criteria: tuple[Criterion, ...]) -> int:
    """Run, and leave nothing behind. Does not return if something does not let itself be stopped."""
    code = 0
    try:
        await _run(settings, judge, criteria)
    except (KafkaAway, KafkaError, OSError) as error:
        log.error("cannot_run", error=type(error).__name__, detail=str(error))  # noqa: TRY400  # expected: no traceback
        code = 1
    except Exception as error:  # the last line of defence: said in the log, told by the exit code
        log.exception("plane_failed", error=type(error).__name__, detail=str(error))
        code = 1
    left = await give_up(asyncio.all_tasks() - {asyncio.current_task()}, LAST_SECONDS)
    if left:
        # The event loop would wait for them for ever, and so would whoever sent the signal.
        names = sorted({getattr(task.get_coro(), "__qualname__", "?") for task in left})
        at = sorted(waiting_at(task) for task in left)
        log.error("forced_exit", tasks=len(left), of=names, at=at, why="they do not end although they were cancelled")
        logging.shutdown()
        sys.stdout.flush()
        os._exit(1)
    return code


def warn_of_missing_price(settings: Settings, prices: PriceBook, day: int) -> None:
    """Say it where dollars cannot bound the judge, since its model has no price: tokens still do."""
    judge, sampling = settings.judge, settings.sampling
    limited = sampling.usd_per_day is not None or sampling.burst_usd_per_day is not None
    if judge.provider == "scripted" or not limited or prices.micro(Called(judge.model), 1, 0, 1, day) is not None:
        return
    remedy = "give the model a price under [prices], or rely on tokens_per_day and burst_tokens_per_day"
    log.warning("judge_without_price", model=judge.model, dollars_bound="nothing", remedy=remedy)


async def _run(settings: Settings, judge: Judge, criteria: tuple[Criterion, ...]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sampling, metrics = settings.sampling, PlaneMetrics()
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_bounded, "judge", judge.aclose, CANCEL_SECONDS)
        redis = redis_client(settings.redis)
        stack.push_async_callback(_bounded, "redis", redis.aclose, CANCEL_SECONDS)
        producer = AIOKafkaProducer(**kafka_options(settings.kafka), acks="all", enable_idempotence=True, linger_ms=2)
        await asyncio.wait_for(producer.start(), sampling.away_seconds)
        stack.push_async_callback(_bounded, "producer", producer.stop, CANCEL_SECONDS)
        batches = asyncio.create_task(watch_batches(BatchStore(redis, settings.redis.namespace), metrics))
        stack.callback(batches.cancel)
        store = PlaneStore(redis, settings.redis.namespace, owner, time.monotonic)

        prices = settings.price_book()
        warn_of_missing_price(settings, prices, int(time.time() // DAY_SECONDS))

        def purse(name: str, tokens: int | None, usd: float | None) -> Purse:
            budget = budget_of(tokens, usd)
            more = (sampling.offline_per_hour, store, metrics, time.time, prices)
            return Purse(name, budget, sampling.expected_tokens, *more)

        plane = Plane(
            judge, criteria, ScorePublisher(producer, PUBLISH_SECONDS), store,
            purse("sample", sampling.tokens_per_day, sampling.usd_per_day), sampling, metrics,
        )  # fmt: skip
        bursts = Bursts(plane, purse("burst", sampling.burst_tokens_per_day, sampling.burst_usd_per_day))

        async def verdict(message: Any) -> None:
            await bursts.take(message.value)

        feeds = [
            Feed(interactions(plane, Decoder(_limits(settings))), sampling.concurrency, metrics),
            Feed(verdict, BURSTS_AT_ONCE, metrics),
        ]
        datadir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="midwatch-evaluation-")))
        app = faust_app(settings, datadir)
        app.agent(
            app.topic(*sampling.topics, value_serializer="raw", key_serializer="raw"),
            concurrency=1,
            name="interactions",
        )(feeds[0].__call__)
        app.agent(
            app.topic(VERDICTS_TOPIC, value_serializer="raw", key_serializer="raw"), concurrency=1, name="verdicts"
        )(feeds[1].__call__)
        watch = _Watch(app, producer, sampling.away_seconds)
        http = settings.http.model_copy(update={"port": sampling.http_port})
        _watch_judge(plane, criteria, settings, stack)
        server = await stack.enter_async_context(serve_http(http, metrics.registry, watch.status, watch.status))
        await _serve(app, feeds, watch, server.url, stop)


def _watch_judge(plane: Plane, criteria: tuple[Criterion, ...], settings: Settings, stack: AsyncExitStack) -> None:
    """Let /metrics tell of the judge as well, and have it judge anchors, if it keeps metrics to tell by."""
    own = getattr(plane.judge, "metrics", None)
    if not isinstance(own, JudgeMetrics):
        return
    plane.metrics.registry.register(own.registry)
    if settings.judge.anchor_minutes:
        watch = AnchorWatch(plane.judge, criteria, own, plane.purse, plane.store, plane.settings.judge_seconds)
        rounds = asyncio.create_task(watch.run(settings.judge.anchor_minutes * 60))
        stack.callback(rounds.cancel)


def _limits(settings: Settings) -> Limits:
    return record_limits(settings)


class _Watch:
    """Whether Kafka answers, and Faust still stands."""

    def __init__(self, app: faust.App, producer: AIOKafkaProducer, seconds: float) -> None:
        self._app = app
        self._producer = producer
        self._seconds = seconds
        self._heard = time.monotonic()

    def status(self) -> Status:
        """For /healthz and /readyz."""
        silent = time.monotonic() - self._heard
        return Status(silent < self._seconds, {"kafka_silent_seconds": round(silent, 1)})

    async def run(self) -> None:
        """Ask Kafka for ever. Raises KafkaAway, or what broke Faust."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._app.crashed:
                raise KafkaAway(f"Faust gave up: {self._app.crash_reason!r}")
            try:
                answered = await asyncio.wait_for(self._producer.client.force_metadata_update(), self._seconds)
            except (KafkaError, OSError, TimeoutError):
                answered = False
            if answered:
                self._heard = time.monotonic()
            elif time.monotonic() - self._heard > self._seconds:
                raise KafkaAway(f"Kafka did not answer for {self._seconds:g} s")


async def _bounded(part: str, stop: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Stop a part. One that hangs or breaks must not keep the process."""

    async def stopped() -> None:
        await stop()

    try:
        await Patience()(stopped(), seconds)
    except Exception as error:  # noqa: BLE001  # said in the log; the process ends all the same
        at = sorted({waiting_at(task) for task in asyncio.all_tasks()})
        log.warning("did_not_stop", part=part, error=type(error).__name__, at=at)


async def _serve(app: faust.App, feeds: list[Feed], watch: _Watch, url: str, stop: asyncio.Event) -> None:
    starting = asyncio.create_task(app.start())
    watching = asyncio.create_task(watch.run())
    stopping = asyncio.create_task(stop.wait())
    log.info("plane_started", metrics=f"{url}/metrics", pid=os.getpid())
    try:
        waiting = {watching, stopping, starting}
        while not stopping.done():
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
            waiting -= done
    finally:
        watching.cancel()
        for feed in feeds:
            await feed.drain(STOP_SECONDS / 3)
        await _bounded("faust", app.stop, STOP_SECONDS)
        starting.cancel()
        stopping.cancel()
        log.info("plane_stopped")
