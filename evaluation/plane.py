"""The evaluation plane: interactions in, scores out. It knows no Kafka consumer; `evaluation.agent` feeds it.

An interaction that is drawn is claimed in Redis, paid for out of the day's budget, judged within a time limit,
published, and its results are kept beside the claim, so that a repeat or a burst does not pay again. Each step may
fail: what fails costs a sample and is counted, never raised.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import structlog

from evaluation.budget import PlaneStore
from evaluation.criteria import Criterion
from evaluation.giving_up import Patience
from evaluation.judgement import PASSING, Judge, Judgement
from evaluation.metrics import PlaneMetrics
from evaluation.pacing import DAY_SECONDS, Spent, factor
from evaluation.publish import ScorePublisher
from evaluation.purse import Purse
from evaluation.sampling import Drawn, Kind, decide, draw_of, kind_of
from schemas.base import JsonObject
from schemas.canonical import canonical_json
from schemas.events import Interaction as InteractionModel
from stream.adapters.native import Interaction
from stream.core.ticks import rfc3339
from stream.settings_sampling import SamplingSettings

OWNED: Final = b"owner:"
BATCHED: Final = b"batch:"
"""A batch that is out holds the interaction: hours, too long to wait for."""

BURST: Final = b"burst:"
"""Stands before results that a burst published, and the sample has not."""

LEASE_SLACK_SECONDS: Final = 10.0
LOOK_AGAIN_SECONDS: Final = 1.0
PACE_SECONDS: Final = 1.0
MAX_REMEMBERED_BYTES: Final = 65_536
LOCAL_CLAIMS: Final = 10_000

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.judge")

_results = msgspec.json.Decoder(list[Judgement])


class Plane:
    """Judges what is drawn. All methods may run many times at once; none raises but for being cancelled.

    Attributes:
        rates: the share of each kind to draw, before the budget thins it.
        factor: by how much the budget thins it; 1 is not at all.
        pace_seconds: how often that is looked at.
    """

    def __init__(
        self,
        judge: Judge,
        criteria: Sequence[Criterion],
        publisher: ScorePublisher,
        store: PlaneStore,
        purse: Purse,
        settings: SamplingSettings,
        metrics: PlaneMetrics,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.store = store
        self.purse = purse
        self.rates: dict[Kind, float] = settings.rates()
        self.judge = judge
        self._criteria = tuple(criteria)
        self._publisher = publisher
        self._wall = wall
        self.pace_seconds = PACE_SECONDS
        self.factor = 1.0
        self._wanted = 0.0
        self._paced_at = 0.0
        self.patience = Patience()
        metrics.given_up.set_function(lambda: len(self.patience.left))
        self._local: OrderedDict[str, None] = OrderedDict()

    async def take(self, event: Interaction) -> None:
        """Sample one interaction, and judge it if it is drawn."""
        sampling = await self.draw(event)
        if sampling is not None:
            await self.score(event, sampling, self.purse)

    async def draw(self, event: Interaction) -> JsonObject | None:
        """What the scores of an interaction have to say of their sample; None if it is not drawn."""
        kind = kind_of(event)
        self.metrics.seen.labels(kind).inc()
        if kind in ("escalated", "denied"):
            await self._remember(event)
        self._wanted += self.rates[kind]
        await self._pace()
        drawn = decide(draw_of(event.environment, event.system, event.id), kind, self.rates, self.factor)
        if drawn is None:
            return None
        self.metrics.sampled.labels(kind).inc()
        return sampling_of(drawn)

    async def score(self, event: Interaction, sampling: JsonObject, purse: Purse) -> list[Judgement]:
        """Judge and publish one interaction, unless that was done; its judgements, also those of the first time."""
        identity = f"{event.environment}\x1f{event.system}\x1f{event.id}"
        ticket = self.store.ticket()
        held = await self._claim(identity, ticket)
        if held is not None:
            return await self._repeat(event, identity, held, sampling)
        results: bytes | None = None
        try:
            reserved = await purse.reserve()
            if reserved is None:
                self.metrics.skipped.labels("over_budget").inc()
                return []
            judgements = await self._judged(event)
            await purse.settle(reserved, judgements)
            # Kafka may take longer than the lease has left, and the next to claim it would judge it again.
            await self.store.keep(identity, ticket, round((self._publisher.seconds + LEASE_SLACK_SECONDS) * 1000))
            if not await self._publish(event, judgements, sampling):
                return []
            if any(one.reason not in PASSING for one in judgements):
                results = _results_of(judgements, sampling)
            return judgements
        finally:
            # A claim that is given up can be taken at once, by a burst, a batch or after a restart.
            if results is None:
                await self.store.release(identity, ticket)
            else:
                await self.store.done(identity, ticket, results)

    async def _repeat(self, event: Interaction, identity: str, held: bytes, sampling: JsonObject) -> list[Judgement]:
        """The judgements of the first time; published where nobody published them for this purpose."""
        self.metrics.repeated.inc()
        try:
            judgements = _results.decode(held.removeprefix(BURST)) if held else []
        except msgspec.MsgspecError:
            return []
        # Else what an incident is made of would be missing from the means.
        fresh = held.startswith(BURST)
        if judgements and (fresh or sampling["purpose"] != "sample"):
            published = await self._publish(event, judgements, sampling)
            if published and fresh and sampling["purpose"] == "sample":
                await self.store.done(identity, held, _results_of(judgements, sampling))
        return judgements

    async def _claim(self, identity: str, ticket: bytes) -> bytes | None:
        """None once the interaction is ours; else its results, empty if there are none for us.

        Somebody else's work is waited for, then taken.
        """
        lease = self.settings.judge_seconds + LEASE_SLACK_SECONDS
        for _ in range(round((lease + self._publisher.seconds) / LOOK_AGAIN_SECONDS) + 2):
            held = await self.store.claim(identity, ticket, round(lease * 1000))
            if held is None:
                return b"" if self._known_here(identity) else None
            if held == b"":
                self._known_here(identity)
                return None
            if held.startswith(BATCHED):
                return b""
            if not held.startswith(OWNED):
                return held
            # Its owner judges it, or died with it; then its lease runs out.
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        return b""

    def _known_here(self, identity: str) -> bool:
        """Whether this process has seen it before; remembered, for hours without Redis."""
        known = identity in self._local
        self._local[identity] = None
        if len(self._local) > LOCAL_CLAIMS:
            self._local.popitem(last=False)
        return known

    async def _judged(self, event: Interaction) -> list[Judgement]:
        began = time.monotonic()
        try:
            asked = self.judge.judge(model_of(event), self._criteria)
            judgements = await self.patience(asked, self.settings.judge_seconds)
        except TimeoutError:
            self.metrics.no_data.labels("timeout").inc(len(self._criteria))
            return []
        except Exception as error:  # noqa: BLE001  # a judge that breaks its promise costs a sample, not the process
            log.warning("judge_failed", error=type(error).__name__)
            self.metrics.failed.labels("judge").inc()
            return []
        finally:
            self.metrics.duration.observe(time.monotonic() - began)
        for one in judgements:
            if one.status == "no_data":
                self.metrics.no_data.labels(one.reason or "invalid_output").inc()
        return judgements

    async def _publish(self, event: Interaction, judgements: Sequence[Judgement], sampling: JsonObject) -> bool:
        try:
            await self._publisher.publish(event, judgements, sampling)
        except Exception as error:  # noqa: BLE001  # Kafka away: the sample is lost, the process looks after itself
            log.warning("publish_failed", error=type(error).__name__)
            self.metrics.failed.labels("publish").inc()
            return False
        for one in judgements:
            if one.status == "scored":
                self.metrics.judged.labels(one.criterion, sampling["purpose"]).inc()
        return True

    async def _pace(self) -> None:
        """Now and then: tell the others what was asked for, and how much the budget allows of it."""
        now = self._wall()
        if 0 <= now - self._paced_at < self.pace_seconds:
            return
        self._paced_at = now
        expected, asked, self._wanted = self.purse.expected, self._wanted, 0.0
        share = Spent(round(asked * expected.tokens), round(asked * expected.micro_usd))
        wanted, spent = await self.store.want(now, share), await self.purse.show()
        if wanted is not None and spent is not None:
            self.factor = factor(self.purse.budget, spent, wanted, now % DAY_SECONDS)
        self.metrics.factor.set(self.factor)
        self.metrics.redis_up.set(self.store.up)

    async def _remember(self, event: Interaction) -> None:
        record = canonical_json(as_json(event))
        if len(record) <= MAX_REMEMBERED_BYTES:
            await self.store.remember(f"{event.environment}\x1f{event.system}", record)


def _results_of(judgements: Sequence[Judgement], sampling: JsonObject) -> bytes:
    """What is kept beside a claim."""
    return (b"" if sampling["purpose"] == "sample" else BURST) + msgspec.json.encode(judgements)


def sampling_of(drawn: Drawn) -> JsonObject:
    """What the events of a sample say about it."""
    return {"rate": drawn.rate, "purpose": "sample", "uniform": drawn.uniform}


def as_json(event: Interaction) -> JsonObject:
    """The event as it stands on the wire."""
    plain: JsonObject = msgspec.to_builtins(event, order="sorted")
    return {**{name: value for name, value in plain.items() if value is not None}, "time": rfc3339(event.time)}


def model_of(event: Interaction) -> InteractionModel:
    """The event as the contract's model, which judges take."""
    found: Any = InteractionModel.model_validate_json(canonical_json(as_json(event)))
    assert isinstance(found, InteractionModel)  # noqa: S101
    return found
