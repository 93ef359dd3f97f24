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

LEASE_SLACK_SECONDS: Final = 10.0
LOOK_AGAIN_SECONDS: Final = 1.0
DEMAND_SECONDS: Final = 1.0
MAX_REMEMBERED_BYTES: Final = 65_536
LOCAL_CLAIMS: Final = 10_000

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.judge")

_results = msgspec.json.Decoder(list[Judgement])


class Plane:
    """Judges what is drawn. All methods may run many times at once; none raises but for being cancelled."""

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
        self._factor = 1.0
        self._wanted = 0.0
        self._paced_at = 0.0
        self.patience = Patience()
        metrics.given_up.set_function(lambda: len(self.patience.left))
        self._local: OrderedDict[str, None] = OrderedDict()

    async def take(self, event: Interaction) -> None:
        """Sample one interaction, and judge it if it is drawn."""
        kind = kind_of(event)
        self.metrics.seen.labels(kind).inc()
        if kind in ("escalated", "denied"):
            await self._remember(event)
        self._wanted += self.rates[kind]
        await self._pace()
        drawn = decide(draw_of(event.environment, event.system, event.id), kind, self.rates, self._factor)
        if drawn is None:
            return
        self.metrics.sampled.labels(kind).inc()
        await self.score(event, sampling_of(drawn), self.purse)

    async def score(self, event: Interaction, sampling: JsonObject, purse: Purse) -> list[Judgement]:
        """Judge and publish one interaction, unless that was done; its judgements, also those of the first time."""
        identity = f"{event.environment}\x1f{event.system}\x1f{event.id}"
        held = await self._claim(identity)
        if held is not None:
            self.metrics.repeated.inc()
            if sampling["purpose"] != "sample":
                await self._publish(event, held, sampling)
            return held
        results: bytes | None = None
        try:
            reserved = await purse.reserve()
            if reserved is None:
                self.metrics.skipped.labels("over_budget").inc()
                return []
            judgements = await self._judged(event)
            await purse.settle(reserved, judgements)
            if not await self._publish(event, judgements, sampling):
                return []
            if any(one.reason not in PASSING for one in judgements):
                results = msgspec.json.encode(judgements)
            return judgements
        finally:
            # A claim that is given up can be taken at once, by a burst, a batch or after a restart.
            await (self.store.release(identity) if results is None else self.store.done(identity, results))

    async def _claim(self, identity: str) -> list[Judgement] | None:
        """None once the interaction is ours; else what came of it. Somebody else's work is waited for, then taken."""
        lease = self.settings.judge_seconds + LEASE_SLACK_SECONDS
        for _ in range(round(lease / LOOK_AGAIN_SECONDS) + 2):
            held = await self.store.claim(identity, round(lease * 1000))
            if held is None:
                return [] if self._known_here(identity) else None
            if held == b"":
                self._known_here(identity)
                return None
            if held.startswith(BATCHED):
                return []
            if not held.startswith(OWNED):
                try:
                    return _results.decode(held)
                except msgspec.MsgspecError:
                    return []
            # Its owner judges it, or died with it; then its lease runs out.
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        return []

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
        """Once a second: tell the others what was asked for, and how much the budget allows of it."""
        now = self._wall()
        if 0 <= now - self._paced_at < DEMAND_SECONDS:
            return
        self._paced_at = now
        expected, asked, self._wanted = self.purse.expected, self._wanted, 0.0
        share = Spent(round(asked * expected.tokens), round(asked * expected.micro_usd))
        wanted, spent = await self.store.want(now, share), await self.purse.show()
        if wanted is not None and spent is not None:
            self._factor = factor(self.purse.budget, spent, wanted, now % DAY_SECONDS)
        self.metrics.factor.set(self._factor)
        self.metrics.redis_up.set(self.store.up)

    async def _remember(self, event: Interaction) -> None:
        record = canonical_json(as_json(event))
        if len(record) <= MAX_REMEMBERED_BYTES:
            await self.store.remember(f"{event.environment}\x1f{event.system}", record)


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
