"""The stage of the demonstration: broker, Redis, engine, the player and the listener, started and ended together."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from evaluation.scripted_server import scripted_server
from scenarios.demo_engine import LATENESS_SECONDS, EngineProcess, engine_process, write_config
from scenarios.demo_evaluation import Evaluation, open_evaluation
from scenarios.demo_kafka import Listener, Player, listener, make_topics, player
from scenarios.demo_page import page_process
from scenarios.demo_print import clock, print_verdict, say
from scenarios.demo_scores import Board
from scenarios.fleet import Fleet
from scenarios.fleet_events import Emitted
from scenarios.fleet_model import HOUR_MS, MINUTE_MS
from scenarios.incidents import LIVE_MINUTES
from stream.cancel import cancel
from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis, free_port
from stream.settings import load_settings
from stream.settings_judge import JudgeSettings
from stream.settings_sampling import SamplingSettings

TAIL_MINUTES = 3
"""Played after the live phase, so that its last minutes are certain to be behind the watermark."""

PATIENCE_SECONDS = 60.0
"""Longest wait for the engine to get on by a tick; a slow machine is slow, an engine that stands still is broken."""

RETENTION_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class Plan:
    """When it plays: hours of history before `live_start_ms`, then the live phase.

    The default begins on a Wednesday morning, 2026-03-04T08:00Z.
    """

    live_start_ms: int = 1_772_611_200_000
    history_hours: int = 26
    live_minutes: int = LIVE_MINUTES

    @property
    def history_start_ms(self) -> int:
        """The first moment of the history."""
        return self.live_start_ms - self.history_hours * HOUR_MS

    @property
    def live_end_ms(self) -> int:
        """The moment behind the live phase."""
        return self.live_start_ms + self.live_minutes * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs.

    `companions` run all the time: the listener, and the watch over the engine. Neither ends unless something is wrong.
    """

    plan: Plan
    bootstrap: str
    player: Player
    evaluation: Evaluation
    listener: Listener
    engine: EngineProcess
    page: str
    """Where the on-call page is."""
    console: Console
    companions: tuple[asyncio.Task[None], ...]

    async def run(self, phase: Coroutine[Any, Any, None]) -> None:
        """Run a phase; when a companion ends meanwhile, end the phase and raise why."""
        task = asyncio.create_task(phase)
        try:
            await asyncio.wait({task, *self.companions}, return_when=asyncio.FIRST_COMPLETED)
            for ended in (task, *self.companions):
                if ended.done():
                    await ended
        finally:
            await cancel(task)

    async def catch_up(self) -> None:
        """Wait until the history is evaluated."""
        began = time.monotonic()
        await self._evaluated(self.plan.live_start_ms)
        say(self.console, f"Caught up: the history is evaluated, in {time.monotonic() - began:.1f} s")

    async def play(self, fleet: Fleet, speed: float) -> None:
        """Play the live phase, `speed` times faster than the clock, and wait until it is evaluated."""
        began, sent, start, end = time.monotonic(), self.player.sent, self.plan.live_start_ms, self.plan.live_end_ms
        say(self.console, f"Live: {clock(start)} to {clock(end)}, {speed:g} times faster than the clock")
        board = Board(start, lambda line: say(self.console, line), self.evaluation.told)

        async def join(events: list[Emitted]) -> list[Emitted]:
            joined = await self.evaluation.join(events)
            board.take(joined)
            return joined

        await self.player.play(fleet.events(start, end + TAIL_MINUTES * MINUTE_MS), start, speed, join)
        await self._evaluated(end)
        took = time.monotonic() - began
        say(self.console, f"Live phase over: {self.player.sent - sent:,} events in {took:.1f} s")

    async def _evaluated(self, time_ms: int) -> None:
        """Wait until the engine is through with what came before `time_ms`, less what its lateness holds back."""
        held_back_ms = (LATENESS_SECONDS * 1000 // MINUTE_MS + 2) * MINUTE_MS
        reached = asyncio.create_task(self.listener.reach(time_ms - held_back_ms))
        progress = -1
        try:
            while not reached.done() and progress < self.listener.ticks:
                progress = self.listener.ticks
                await asyncio.wait({reached}, timeout=PATIENCE_SECONDS)
            if reached.done():
                return await reached
        finally:
            await cancel(reached)
        minute = self.listener.minute
        got = "not every shard gave a sign of life" if minute is None else f"it got to {clock(minute * MINUTE_MS)}"
        raise self.engine.failure(f"The engine stands still on its way to {clock(time_ms)}: {got}.")


@asynccontextmanager
async def open_stage(
    fleet: Fleet, console: Console, plan: Plan = Plan(), own_judge: JudgeSettings | None = None
) -> AsyncIterator[Stage]:
    """Start broker, Redis and judge, produce the fleet's history, start the engine; end all in the opposite order.

    The judge is the scripted one, or that of `own_judge`.
    """
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="midwatch-demo-")))
        kafka = stack.enter_context(EmbeddedKafkaProcess(retention_bytes=RETENTION_BYTES))
        redis = stack.enter_context(EmbeddedRedis())
        say(console, f"Embedded Kafka at {kafka.bootstrap}, embedded Redis at {redis.url}")
        await make_topics(kafka.bootstrap)
        fleet_player = await stack.enter_async_context(player(kafka.bootstrap))
        judge = await stack.enter_async_context(scripted_server())
        metrics, config = free_port(), directory / "midwatch.toml"
        write_config(config, kafka.bootstrap, redis.url, metrics, f"{judge.url}/v1")
        settings = load_settings(config, {})
        if own_judge is not None:
            settings = settings.model_copy(update={"judge": own_judge})
        say(console, _judge_line(settings.judge, own_judge is not None))
        evaluation = await stack.enter_async_context(open_evaluation(settings))
        evaluation.draw_at(SamplingSettings())
        await _produce_history(fleet_player, evaluation, fleet, plan, console)
        evaluation.draw_at(settings.sampling)
        engine = await stack.enter_async_context(engine_process(config, directory / "engine.log"))
        say(console, f"Engine (midwatch run) started, metrics at http://127.0.0.1:{metrics}/metrics")
        page = await stack.enter_async_context(page_process(config, directory / "page.log"))
        say(console, f"On-call page: {page}")
        ears = await stack.enter_async_context(
            listener(kafka.bootstrap, lambda verdict: print_verdict(console, verdict))
        )
        companions = (asyncio.create_task(ears.run()), asyncio.create_task(engine.watch()))
        stack.push_async_callback(cancel, *companions)
        yield Stage(plan, kafka.bootstrap, fleet_player, evaluation, ears, engine, page, console, companions)


def _judge_line(settings: JudgeSettings, is_own: bool) -> str:
    if is_own:
        return f"Judge: {settings.model} ({settings.provider}), yours; what it costs is yours to pay"
    return f"Judge: scripted, rules and no model, at {settings.base_url}; its scores say judge.method = scripted"


async def _produce_history(
    fleet_player: Player, evaluation: Evaluation, fleet: Fleet, plan: Plan, console: Console
) -> None:
    began, start = time.monotonic(), plan.history_start_ms
    await fleet_player.play_at_once(fleet.events(start, plan.live_start_ms), start, evaluation.join)
    took = time.monotonic() - began
    say(console, f"History: {fleet_player.sent:,} events of {plan.history_hours} hours produced in {took:.1f} s")
    say(console, f"History's {evaluation.told()}")
