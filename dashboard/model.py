"""The read model: answers every question of the page, from memory or from windows read when they are looked at.

The page's own process holds it. It reads topics and Redis beside the engine, and writes to neither.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

import structlog
from redis.exceptions import RedisError

from dashboard import cards, panels, panels_money, scores
from dashboard.feed import Feed
from dashboard.health import Signs, health_of
from dashboard.judge_facts import is_scripted, judge_facts
from dashboard.memory import Memory
from dashboard.methods import Methods
from dashboard.ptus import ptu_rows
from dashboard.shards import Shards, ShardView
from dashboard.tail import Tail
from dashboard.traces import Sample
from dashboard.views import (
    ActionView,
    Chart,
    CostsView,
    Filter,
    Health,
    IncidentCard,
    IncidentView,
    Overview,
    PtuRow,
    QualityView,
    SignalsView,
)
from evaluation.budget import PlaneStore
from evaluation.pacing import DAY_SECONDS
from schemas.controls import Approval
from schemas.feedback import Feedback
from schemas.outputs import Verdict
from stream.core.checkpoint import LayoutError
from stream.core.shards import shard_of
from stream.core.ticks import MINUTE_MS, ms_of
from stream.health import Contact
from stream.settings import Settings
from stream.settings_clients import redis_client
from stream.store import LayoutMismatch, Store

ENDED: Final = timedelta(hours=24)
ENDED_SHOWN: Final = 20
CACHED_SECONDS: Final = 2.0
"""How long an answer that costs a reading is given again: fifty viewers cost as much as one."""

PTU_SECONDS: Final = 300.0
"""The same for what takes a second of arithmetic and changes by the hour."""

CACHED: Final = 256
LOOK_SECONDS: Final = 1.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.dashboard")
_View = TypeVar("_View")

Unreadable = (RedisError, OSError, LayoutError, LayoutMismatch)


class Narrates(Protocol):
    """Tells a verdict in a model's words, or does not."""

    def ready(self, verdict: Verdict) -> str | None:
        """The narration that is there by now; asks for one otherwise, without waiting."""


class ReadModel:
    """Is a `dashboard.views.Pages`. `run` keeps it up to date."""

    def __init__(
        self,
        settings: Settings,
        *,
        simulated: bool = False,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.memory = Memory(settings.dashboard.incidents, settings.redis.namespace)
        self.feed = Feed(settings.kafka, self.memory, clock)
        self.sample = Sample()
        self.methods = Methods()
        self._began = clock()
        self._simulated = simulated
        self.narrator: Narrates | None = None
        self._wall = wall
        self._clock = clock
        self._redis = redis_client(settings.redis)
        self._contact = Contact(self._redis.ping, clock)
        self.shards = Shards(Store(self._redis, settings.redis.namespace, settings.engine.shards), settings, clock)
        self._answers: dict[object, tuple[float, asyncio.Future[Any]]] = {}
        self._cards: dict[str, tuple[str, bool, IncidentCard]] = {}
        self._overview: tuple[int, Overview] | None = None
        self._said: object = None

    async def run(self, *, sampled: bool = True) -> None:
        """Read for ever; without `sampled` neither requests nor judges are looked at."""
        stop, kafka = asyncio.Event(), self.settings.kafka
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.feed.run(), name="feed")
                if sampled:
                    group.create_task(Tail(kafka, "interaction", self.sample.take).run(), name="sample")
                    group.create_task(self._keep_minutes(), name="keep-minutes")
                    group.create_task(Tail(kafka, "evaluation", self.methods.take, backwards=True).run(), name="judges")
                group.create_task(self._contact.keep(stop), name="ask-redis")
                group.create_task(self._look(), name="look")
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """End the connection to Redis."""
        await self._redis.aclose()

    async def _look(self) -> None:
        """Tell viewers when the engine's health, or the time it has come to, is another than before."""
        while True:
            health = self.health()
            said = (health.problems, health.last_tick_at, health.shards_alive)
            if said != self._said:
                self._said = said
                self.memory.version += 1
            await self.memory.wake()
            await asyncio.sleep(LOOK_SECONDS)

    async def _keep_minutes(self) -> None:
        """Read the windows now and then though nobody looks, so that their minutes are not lost for who looks later."""
        while True:
            ticks = {shard: ms_of(beat.tick) // MINUTE_MS for shard, beat in self.memory.heartbeats.items()}
            try:
                await self.shards.keep_minutes(ticks)
            except Unreadable as error:
                log.debug("page_keeps_no_minutes", error=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    def now(self) -> datetime:
        """What time it is for the engine: the wall clock's, or that of the newest tick where telemetry moves time."""
        if self.settings.engine.clock == "wall":
            return self._wall()
        return max((beat.tick for beat in self.memory.heartbeats.values()), default=self._wall())

    def health(self) -> Health:
        """Whether what is shown can be trusted."""
        memory, mono = self.memory, self._clock()
        signs = Signs(
            clock=self.settings.engine.clock,
            shards=self.settings.engine.shards,
            heartbeats=memory.heartbeats,
            heard={shard: mono - at for shard, at in memory.heard_at.items()},
            kafka_silent=self.feed.silent_seconds,
            redis_silent=None if self._contact.up else self._contact.silent_seconds,
            caught_up=self.feed.caught_up,
            simulated=self._simulated,
            scripted=is_scripted(self.settings.judge),
            waited=mono - self._began,
        )
        return health_of(signs, self._wall())

    async def overview(self) -> Overview:
        """See `Pages.overview`."""
        kept = self._overview
        if kept is not None and kept[0] == self.memory.version:
            return kept[1].model_copy(update={"health": self.health()})
        every = [self._card(verdict) for verdict in self.memory.latest()]
        open_ones = [card for card in every if card.state in ("open", "acknowledged")]
        recent = self.now() - ENDED
        ended = [card for card in every if card.resolved_at is not None and card.resolved_at >= recent]
        ended.sort(key=lambda card: (card.decided_at, card.incident_id), reverse=True)
        view = Overview(
            health=self.health(),
            open=cards.by_gravity(open_ones),
            muted=cards.by_gravity(card for card in every if card.state == "muted"),
            ended=tuple(ended[:ENDED_SHOWN]),
            version=self.memory.version,
        )
        self._overview = (self.memory.version, view)
        return view

    async def incidents(self, *, limit: int, before: datetime | None) -> tuple[IncidentCard, ...]:
        """See `Pages.incidents`."""
        latest = [verdict for verdict in self.memory.latest() if before is None or verdict.decided_at < before]
        latest.sort(key=lambda verdict: (verdict.decided_at, verdict.incident_id), reverse=True)
        return tuple(self._card(verdict) for verdict in latest[:limit])

    async def incident(self, incident_id: str) -> IncidentView | None:
        """See `Pages.incident`."""
        story = self.memory.story(incident_id)
        if not story:
            return None
        verdict = story[-1]
        until = verdict.decided_at if verdict.status == "resolved" else self.now()
        wanted = frozenset(one.interaction_id or "" for finding in verdict.findings for one in finding.exemplars)
        key = self._approval_key(verdict)
        return IncidentView(
            card=self._card(verdict),
            verdict=verdict,
            recommendation=verdict.recommendation,
            chain=cards.chain_of(verdict),
            chart=await self._chart(verdict),
            versions=cards.versions_of(verdict),
            traces=self.sample.of_incident(verdict.scope, verdict.onset_at, until, wanted),
            denials=cards.denials_of(verdict),
            scores=cards.scores_of(verdict, self.methods),
            revisions=cards.revisions_of(story),
            actions=self._actions(verdict),
            approval_key=key,
            approval_until=verdict.recommendation.not_after if key is not None else None,
            narration=self.narrator.ready(verdict) if self.narrator is not None else None,
        )

    def _card(self, verdict: Verdict) -> IncidentCard:
        """The incident's card, made once for each verdict."""
        awaits = self._approval_key(verdict) is not None
        kept = self._cards.get(verdict.incident_id)
        if kept is not None and kept[:2] == (verdict.verdict_id, awaits):
            return kept[2]
        card = cards.card_of(verdict, awaits_approval=awaits)
        if len(self._cards) > 2 * self.settings.dashboard.incidents:
            self._cards.clear()
        self._cards[verdict.incident_id] = (verdict.verdict_id, awaits, card)
        return card

    def _approval_key(self, verdict: Verdict) -> str | None:
        if verdict.recommendation.kind != "rollback":
            return None
        decided = [word for word in self.memory.words(verdict.incident_id) if isinstance(word, Approval)]
        return cards.approval_key(verdict, self.memory.steps(verdict.incident_id), decided, self.now())

    def _actions(self, verdict: Verdict) -> tuple[ActionView, ...]:
        memory, incident_id = self.memory, verdict.incident_id
        found = [cards.taken_action(step) for step in memory.steps(incident_id)]
        found += [cards.control_action(one) for one in memory.silences_of(verdict.scope, verdict.onset_at)]
        for word in memory.words(incident_id):
            found.append(cards.feedback_action(word) if isinstance(word, Feedback) else cards.control_action(word))
        return tuple(sorted(found, key=lambda action: action.at))

    async def _chart(self, verdict: Verdict) -> Chart | None:
        scope = verdict.scope

        async def read() -> Chart | None:
            if scope.budget is not None:
                budgets = panels_money.budgets_of(await self.views(), self.settings)
                return next((one.chart for one in budgets if one.budget == scope.budget), None)
            view = await self.shards.one(shard_of(scope.environment, scope.system, self.settings.engine.shards))
            return await asyncio.to_thread(panels.incident_chart, [view], verdict) if view is not None else None

        try:
            return await self._once(("chart", verdict.verdict_id), read)
        except Unreadable as error:
            log.warning("page_draws_nothing", error=type(error).__name__)
            return None

    async def signals(self, asked: Filter) -> SignalsView:
        """See `Pages.signals`."""
        now = self.now()
        views = await self.views()
        shown = [card for card in (await self.overview()).open if _concerns(asked, card)]

        escalation, appropriateness, denials, budgets, choices = await self._once(
            ("signals", asked),
            lambda: asyncio.to_thread(
                lambda: (
                    panels.escalation_chart(views, asked, shown),
                    scores.appropriateness_chart(views, asked),
                    panels.denials_chart(views, asked),
                    panels_money.budgets_of(views, self.settings),
                    panels.choices_of(views),
                )
            ),
        )
        start = panels.since(now, asked)
        return SignalsView(
            filter=asked,
            choices=choices,
            escalation=escalation,
            appropriateness=appropriateness,
            denials=denials,
            budgets=budgets,
            latency=self.sample.latency(asked, start),
            traces=self.sample.newest(asked, start),
            incidents=tuple(shown),
            health=self.health(),
        )

    async def quality(self, asked: Filter) -> QualityView:
        """See `Pages.quality`."""
        views = await self.views()

        choices, charts, rows = await self._once(
            ("quality", asked),
            lambda: asyncio.to_thread(
                lambda: (
                    panels.choices_of(views),
                    scores.quality_charts(views, asked),
                    panels.score_rows(views, asked, self.methods),
                )
            ),
        )
        store = PlaneStore(self._redis, self.settings.redis.namespace, "page", self._clock)
        method, model = self.methods.all(asked.environment, asked.system)
        # The demonstration's judge spends by the clock of its events, every other one by the wall's.
        day = int((self.now() if self._simulated else self._wall()).timestamp() // DAY_SECONDS)
        facts = await self._once(
            ("judge", method, model), lambda: judge_facts(self.settings, store, method, model, day)
        )
        return QualityView(filter=asked, choices=choices, charts=charts, rows=rows, judge=facts, health=self.health())

    async def costs(self, asked: Filter, tag: str | None) -> CostsView:
        """See `Pages.costs`."""
        views = await self.views()

        choices, tags, rows, budgets = await self._once(
            ("costs", asked, tag),
            lambda: asyncio.to_thread(
                lambda: (
                    panels.choices_of(views),
                    panels_money.tags_of(views),
                    panels_money.spend_rows(views, asked, tag or "system"),
                    panels_money.budgets_of(views, self.settings),
                )
            ),
        )
        ptus: tuple[PtuRow, ...] = ()
        if views:
            ptus = await self._once("ptus", lambda: asyncio.to_thread(ptu_rows, views, self.settings), PTU_SECONDS)
        return CostsView(
            filter=asked,
            choices=choices,
            tag=tag or "system",
            tags=tags,
            rows=rows,
            budgets=budgets,
            ptus=ptus,
            health=self.health(),
        )

    async def views(self) -> list[ShardView]:
        """All shards; none where Redis does not answer, which the page's health says."""
        try:
            return await self._once("views", self.shards.all)
        except Unreadable as error:
            log.warning("page_reads_no_windows", error=type(error).__name__, detail=str(error))
            return []

    async def _once(self, key: object, make: Callable[[], Awaitable[_View]], seconds: float = CACHED_SECONDS) -> _View:
        """The answer to a question, made once for all who ask it within so many seconds."""
        now = self._clock()
        kept = self._answers.get(key)
        if kept is None or now - kept[0] >= seconds or (kept[1].done() and kept[1].exception() is not None):
            if len(self._answers) >= CACHED:
                fresh = {k: v for k, v in self._answers.items() if now - v[0] < CACHED_SECONDS}
                self._answers = fresh if len(fresh) < CACHED else {}
            kept = (now, asyncio.ensure_future(make()))
            self._answers[key] = kept
        answer: _View = await asyncio.shield(kept[1])
        return answer


def _concerns(asked: Filter, card: IncidentCard) -> bool:
    pairs = (
        (asked.environment, card.scope.environment),
        (asked.system, card.scope.system),
        (asked.flow, card.scope.flow),
    )
    return all(wanted is None or has in (wanted, None, "*") for wanted, has in pairs)
