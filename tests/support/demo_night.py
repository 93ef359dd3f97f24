"""The demonstration in a thread, held still while all its incidents are open: its own fleet, engine and page.

Its scores are the fleet's own, which saves the judge's time. A subscriber of rollbacks looks on, in dry run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scenarios.demo_engine import engine_process, write_config
from scenarios.demo_kafka import Listener, listener, make_topics, player
from scenarios.demo_page import page_process
from scenarios.demo_stage import Plan
from scenarios.fleet import Fleet
from scenarios.fleet_events import Emitted
from scenarios.fleet_model import MINUTE_MS
from scenarios.fleet_systems import FLEET
from scenarios.incidents import happenings, incidents
from schemas.actions import ActionTaken
from schemas.words import ACTIONS_TOPIC
from stream.approvals import actions_in
from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis, free_port
from stream.restore import read_values
from stream.rollback.executors.registry import build
from stream.rollback.run import Service
from stream.settings import Settings, load_settings
from stream.settings_clients import kafka_options

PLAN = Plan(history_hours=5)
HELD_MINUTE = 97
"""Of the live phase: the bad deployment is known, and its rollback may still be approved."""

BEHIND = 2
PATIENCE_SECONDS = 180.0

ROLLBACK = """
[rollback]
environments = ["production"]

[rollback_executors.demo]
type = "command"
argv = ["/bin/true"]
target_kinds = ["argo_rollout"]
"""


@dataclass
class Night:
    """The page's address, what the engine said, and the settings under which everything runs."""

    url: str
    systems: frozenset[str]
    settings: Settings
    listener: Listener
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def steps(self, status: str) -> list[ActionTaken]:
        """What the subscriber has said with this status, once it has."""

        async def read() -> list[ActionTaken]:
            while True:
                said = actions_in(await read_values(ACTIONS_TOPIC, kafka_options(self.settings.kafka)))
                if found := [step for step in said if step.status == status]:
                    return found

        return asyncio.run_coroutine_threadsafe(read(), self.loop).result(PATIENCE_SECONDS)


@contextmanager
def demo_night(folder: Path) -> Iterator[Night]:
    """The night, once everything up to the held minute is evaluated."""
    ready: list[Night | BaseException] = []
    there = threading.Event()

    async def run() -> None:
        async with AsyncExitStack() as stack:
            night = await _open(stack, folder)
            ready.append(night)
            there.set()
            await night.stop.wait()

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001  # it is raised where the test can see it
            ready.append(error)
            there.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert there.wait(PATIENCE_SECONDS * 2)
    night = ready[0]
    if isinstance(night, BaseException):
        raise night
    yield night
    night.loop.call_soon_threadsafe(night.stop.set)
    thread.join(PATIENCE_SECONDS)
    assert len(ready) == 1, ready[1]


async def _open(stack: AsyncExitStack, folder: Path) -> Night:
    kafka, redis = stack.enter_context(EmbeddedKafkaProcess()), stack.enter_context(EmbeddedRedis())
    await make_topics(kafka.bootstrap)
    config = folder / "midwatch.toml"
    write_config(config, kafka.bootstrap, redis.url, free_port(), "http://127.0.0.1:9/v1")
    config.write_text(config.read_text(encoding="utf-8") + ROLLBACK, encoding="utf-8")
    settings = load_settings(config, {"MIDWATCH_HTTP__PORT": "0"})
    labelled = [one for one in incidents(PLAN.live_start_ms) if one.expected is not None]
    ears = await stack.enter_async_context(listener(kafka.bootstrap, lambda _: None))
    hearing = asyncio.create_task(ears.run())
    stack.callback(hearing.cancel)
    service = asyncio.create_task(_subscribe(settings, stopping := asyncio.Event()))
    stack.push_async_callback(_end, service, stopping)
    url = await _play(kafka.bootstrap, config, folder, {one.system for one in labelled}, stack, ears)
    return Night(url, frozenset(one.system for one in labelled), settings, ears, asyncio.get_running_loop())


async def _play(
    bootstrap: str, config: Path, folder: Path, systems: set[str], stack: AsyncExitStack, ears: Listener
) -> str:
    page = asyncio.create_task(stack.enter_async_context(page_process(config, folder / "page.log")))
    every = happenings(PLAN.live_start_ms)
    fleet = Fleet(1, tuple(one for one in FLEET if one.name in systems), {name: every[name] for name in systems})
    held = PLAN.live_start_ms + HELD_MINUTE * MINUTE_MS
    async with player(bootstrap) as fleet_player:
        await fleet_player.play_at_once(fleet.events(PLAN.history_start_ms, held), PLAN.history_start_ms, _as_it_is)
    url = await page
    # It begins behind the history, as in the demonstration: reading along, it would take our pauses for the fleet's.
    await stack.enter_async_context(engine_process(config, folder / "engine.log"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ears.reach(held - BEHIND * MINUTE_MS)
    return url


async def _as_it_is(events: list[Emitted]) -> list[Emitted]:
    return events


async def _subscribe(settings: Settings, stopping: asyncio.Event) -> None:
    executors, problems = build(settings.rollback, settings.rollback_executors)
    assert not problems
    await Service(settings, executors).run(stopping)


async def _end(service: asyncio.Task[None], stopping: asyncio.Event) -> None:
    stopping.set()
    await asyncio.wait_for(service, 30)
