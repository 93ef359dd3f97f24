"""The delivery loop of one sink, the same for all kinds: what to tell, when, how often, and when to give up.

A verdict is taken from its lane, told, and only then counted as done; offsets are committed after that. So each verdict
is delivered at least once, and a crash in between repeats what a destination knows by its key. A failure that may pass
is tried again, for as long as the verdict is not too old: then it is given up, to `midwatch.undelivered`. A failure of
the destination (no contact, a limit, a wrong key) lets everything wait; one of a single message, its incident alone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, get_args

import structlog
from aiokafka.errors import KafkaError

from schemas.base import format_time
from schemas.outputs import Undelivered, Verdict
from schemas.words import UndeliveredReason
from stream.cancel import cancel
from stream.exemplars import exemplar
from stream.points import Point, nothing
from stream.sinks.base import DeliveryFailed, Heard, Parcel, Sink, SinkSettings, Step
from stream.sinks.course import Filter, kinds_of, quiets
from stream.sinks.history import HISTORY_MS
from stream.sinks.lanes import Waiting
from stream.sinks.metrics import SinkMetrics
from stream.sinks.pacing import Bucket, Health, back_off
from stream.sinks.reader import Reader

IDLE_SECONDS: Final = 1.0
COMMIT_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.1
MINUTE_MS: Final = 60_000

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.sinks")


@dataclass(frozen=True, slots=True)
class Around:
    """What a delivery is given: clocks, the permalink, where given-up verdicts go, whether event time is wall time."""

    wall_ms: Callable[[], int]
    clock: Callable[[], float]
    link: Callable[[str], str | None]
    give_up: Callable[[Undelivered], Awaitable[None]]
    event_time_is_now: bool
    point: Point = nothing
    chance: Callable[[], float] = random.random


class Stopped(Exception):
    """The process is to end; what was not sent yet is left for the next one."""


class Delivery:
    """Delivers to one sink until told to stop."""

    def __init__(
        self, name: str, settings: SinkSettings, sink: Sink, reader: Reader, metrics: SinkMetrics, around: Around
    ) -> None:
        self.name = name
        self.health = Health()
        self._settings = settings
        self._sink = sink
        self._reader = reader
        self._metrics = metrics
        self._around = around
        self._filter = Filter(settings)
        self._bucket = Bucket(settings.per_minute, settings.burst, around.clock)
        self._remind_at = 0.0
        self._stop = asyncio.Event()
        metrics.up.labels(name).set(1)
        for reason in get_args(UndeliveredReason):
            # From nothing to one is no increase to Prometheus; from naught to one is.
            metrics.undelivered.labels(name, reason)

    async def run(self, stop: asyncio.Event) -> None:
        """Read, tell and commit. Raises what the Kafka client raises."""
        self._stop = stop
        parts = [
            asyncio.create_task(part(stop), name=f"{self.name}-{part.__name__.strip('_')}")
            for part in (self._read, self._tell_all, self._keep_books)
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
            await asyncio.wait(parts, timeout=self._settings.timeout_seconds + 5)
        finally:
            await cancel(*parts)

    async def _read(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._reader.poll()

    async def _tell_all(self, stop: asyncio.Event) -> None:
        reader = self._reader
        while not stop.is_set():
            reader.news.clear()
            if await self._turn():
                continue
            now = self._around.clock()
            if self.health.quiet_until > now:
                await _first(None, stop, self.health.quiet_until - now)
                continue
            ready = reader.lanes.ready_at()
            await _first(reader.news, stop, IDLE_SECONDS if ready is None else min(ready - now, IDLE_SECONDS))

    async def _turn(self) -> bool:
        """Try what is due; whether there may be more at once."""
        now = self._around.clock()
        if self.health.quiet_until > now:
            return False
        async with self._reader.sending:
            # Reminders first: what waits would let them come too late.
            await self._remind(now)
            item = self._reader.lanes.next(now) if self.health.quiet_until <= now else None
            if item is not None and not self._stop.is_set():
                await self._tell(item)
        return item is not None

    async def _tell(self, item: Waiting) -> None:
        """One try of one verdict."""
        verdict = item.verdict
        if verdict is None:
            await self._give_up(item, "unreadable", "the record holds no verdict that this version can read")
            return
        heard = self._reader.course.heard(verdict.incident_id)
        if heard is not None and verdict.revision <= heard.revision:
            self._pass_over(item, "repeated")
            return
        loud = heard is not None and heard.loud
        if not loud and not self._filter.takes(verdict):
            self._pass_over(item, "filtered")
            return
        if item.stale and not item.tries and not quiets(verdict):
            # Not remembered: what still stands when the engine has caught up is said again, and is news then.
            self._pass_over(item, "stale", remember=False)
            return
        step = self.step(verdict, item.value, heard)
        parcels = self._sink.parcels(step) if self._sink.every_verdict or step.kinds else []
        if not parcels:
            self._pass_over(item, "nothing_new", told=True)
            return
        if self._late(item) and not self._reader.knows_what_came(item.place):
            # Its end may stand on the topic already: first see.
            item.ready_at = self._around.clock() + LOOK_SECONDS
            return
        reason = self._too_late(item, step)
        if reason is not None:
            # A try without an answer may have been heard: then its end must be told, so it counts as told.
            self._pass_over(item, reason, told=bool(item.tries))
            return
        await self._send(item, step, parcels)

    def step(self, verdict: Verdict, value: bytes, heard: Heard | None) -> Step:
        """What there is to tell."""
        link = self._around.link(verdict.incident_id)
        return Step(verdict, value, kinds_of(heard, verdict), heard, link, self._around.wall_ms())

    def _too_late(self, item: Waiting, step: Step) -> str | None:
        """Why a verdict is not told: it is old and was never tried, or the incident has ended while it waited."""
        if step.kinds & {"ended", "muted"} or item.sent:
            return None
        if not item.tries and self._age_ms(item) > self._settings.max_age_minutes * MINUTE_MS:
            return "stale"
        if not self._sink.every_verdict and "opened" in step.kinds and self._late(item):
            return "over" if self._reader.lanes.ends_later(item) else None
        return None

    def _late(self, item: Waiting) -> bool:
        return self._around.wall_ms() - item.published_ms > MINUTE_MS

    def _age_ms(self, item: Waiting) -> int:
        """Since when the verdict is known. Where the engine does not say what is stale, event time counts too."""
        now = self._around.wall_ms()
        age = now - item.published_ms
        if item.stale is None and self._around.event_time_is_now and item.verdict is not None:
            age = max(age, now - int(item.verdict.decided_at.timestamp() * 1000))
        return age

    async def _send(self, item: Waiting, step: Step, parcels: list[Parcel]) -> None:
        now = self._around.clock()
        item.first_try = now if item.first_try is None else item.first_try
        if item.tries:
            self._metrics.retries.labels(self.name).inc()
        try:
            for parcel in parcels[item.sent :]:
                await self._take_token()
                answer = await self._sink.send(parcel)
                self._around.point("sent")
                item.sent += 1
                self._well(parcel.what)
                log.info("sink_delivered", sink=self.name, what=parcel.what, incident=step.verdict.incident_id,
                         revision=step.verdict.revision, answer=answer)  # fmt: skip
        except DeliveryFailed as error:
            await self._failed(item, step, error)
            return
        except Stopped:
            return
        except Exception as error:  # a sink's own fault must not end the others' deliveries
            log.exception("sink_broken", sink=self.name, error=type(error).__name__)
            self._metrics.failures.labels(self.name, "error").inc()
            await self._give_up(item, "error", f"{type(error).__name__}: {error}")
            return
        delay = max(0, self._around.wall_ms() - item.published_ms) / 1000
        self._metrics.delay.labels(self.name).observe(delay, exemplar(incident_id=step.verdict.incident_id))
        self._finish(item, told=True)

    async def _take_token(self) -> None:
        pause = self._bucket.take()
        if pause > 0:
            await _first(None, self._stop, pause)
        if self._stop.is_set():
            raise Stopped

    async def _failed(self, item: Waiting, step: Step, error: DeliveryFailed) -> None:
        now, chance = self._around.clock(), self._around.chance()
        item.tries += 1
        example = exemplar(incident_id=step.verdict.incident_id)
        self._metrics.failures.labels(self.name, error.reason).inc(exemplar=example)
        if not error.again:
            await self._give_up(item, "refused", error.detail)
            return
        self._ill(error, now, chance)
        item.ready_at = now + max(error.wait_seconds or 0.0, back_off(item.tries, chance))
        if error.everyone:
            # The destination's own pause holds; behind it the oldest comes first again.
            item.ready_at = 0.0
        limit_ms = self._settings.max_age_minutes * MINUTE_MS
        tried_ms = (now - (item.first_try or now)) * 1000
        ends = bool(step.kinds & {"ended", "muted"})
        if (tried_ms if ends else self._age_ms(item)) > limit_ms:
            await self._give_up(item, "expired", f"{item.tries} tries, the last one: {error.reason}: {error.detail}")

    def _well(self, what: str) -> None:
        if self.health.well():
            log.info("sink_is_back", sink=self.name)
        at = self._around.wall_ms()
        self._reader.note = {"at": format_time(datetime.fromtimestamp(at / 1000, tz=UTC))}
        self._metrics.deliveries.labels(self.name, what).inc()
        self._metrics.last_success.labels(self.name).set(at / 1000)
        self._metrics.up.labels(self.name).set(1)

    def _ill(self, error: DeliveryFailed, now: float, chance: float) -> None:
        self._metrics.up.labels(self.name).set(0)
        words = f"{error.reason}: {error.detail}"
        if error.everyone:
            news = self.health.ill(words, now, error.wait_seconds, chance)
        else:
            news, self.health.failing = not self.health.failing, words
        self._reader.note = {**self._reader.note, "failing": words[:200]}
        if news:
            log.error("sink_fails", sink=self.name, reason=error.reason, detail=error.detail)

    async def _remind(self, now: float) -> None:
        """Say again what stands, where the destination forgets."""
        every = self._sink.resend_seconds
        if every is None or now < self._remind_at:
            return
        standing = self._reader.course.standing(self._around.wall_ms() - HISTORY_MS)
        self._metrics.standing.labels(self.name).set(len(standing))
        steps = [self.step(one.verdict, b"", one) for one in standing if one.verdict is not None]
        try:
            for parcel in self._sink.reminder(steps):
                await self._take_token()
                await self._sink.send(parcel)
                self._well(parcel.what)
        except DeliveryFailed as error:
            self._metrics.failures.labels(self.name, error.reason).inc()
            self._ill(error, now, self._around.chance())
            self._remind_at = now + min(every, back_off(self.health.failures + 1, 1))
        except Stopped:
            return
        else:
            self._remind_at = now + every

    def _pass_over(self, item: Waiting, reason: str, *, told: bool = False, remember: bool = True) -> None:
        self._metrics.skipped.labels(self.name, reason).inc()
        if reason in ("stale", "over"):
            log.warning("sink_passed_over", sink=self.name, reason=reason, offset=item.offset)
        self._finish(item, told=told, remember=remember)

    def _finish(self, item: Waiting, *, told: bool, remember: bool = True) -> None:
        if item.verdict is not None and remember:
            self._reader.course.note(item.verdict, item.published_ms, told=told)
        self._reader.lanes.done(item)

    async def _give_up(self, item: Waiting, reason: UndeliveredReason, detail: str) -> None:
        """For good: it is said where, and why. While Kafka does not take that, it is not given up."""
        record = undelivered(self.name, self._settings.kind, reason, detail, item)
        try:
            await self._around.give_up(record)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("undelivered_not_stored", sink=self.name, error=type(error).__name__)
            item.ready_at = self._around.clock() + back_off(max(item.tries, 1), 1)
            item.tries += 1
            return
        incident = item.verdict.incident_id if item.verdict is not None else None
        self._metrics.undelivered.labels(self.name, reason).inc(exemplar=exemplar(incident_id=incident))
        log.error("sink_gave_up", sink=self.name, reason=reason, detail=detail, offset=item.offset)
        self._finish(item, told=False)

    async def _keep_books(self, stop: asyncio.Event) -> None:
        """Commit and measure, about once a second."""
        while not stop.is_set():
            await _first(None, stop, COMMIT_SECONDS)
            # A commit that fails is repeated; a group that moved on has let go of everything here.
            with suppress(KafkaError):
                await self._reader.commit()
                self._metrics.lag.labels(self.name).set(await self._reader.lag())
            oldest = self._reader.lanes.oldest_ms()
            age = 0.0 if oldest is None else max(0, self._around.wall_ms() - oldest) / 1000
            self._metrics.oldest.labels(self.name).set(age)
            self._metrics.waiting.labels(self.name).set(len(self._reader.lanes))


def undelivered(name: str, kind: str, reason: UndeliveredReason, detail: str, item: Waiting) -> Undelivered:
    """The record of a verdict that was given up."""
    verdict = item.verdict
    published = datetime.fromtimestamp(item.published_ms / 1000, tz=UTC) if item.published_ms > 0 else None
    return Undelivered(
        sink=name,
        kind=kind,
        reason=reason,
        detail=detail[:1000],
        topic=item.place[0],
        partition=item.place[1],
        offset=item.offset,
        published_at=published,
        verdict_id=verdict.verdict_id if verdict is not None else None,
        incident_id=verdict.incident_id if verdict is not None else None,
        revision=verdict.revision if verdict is not None else None,
        status=verdict.status if verdict is not None else None,
    )


async def _first(event: asyncio.Event | None, stop: asyncio.Event, seconds: float) -> None:
    """Wait for an event, the stop or some seconds, whichever comes first."""
    tasks = [asyncio.create_task(one.wait()) for one in (event, stop) if one is not None]
    await asyncio.wait(tasks, timeout=max(seconds, 0.0), return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
