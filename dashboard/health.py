"""Whether what the page shows can be trusted, from signs of life. Pure: time comes in as an argument.

Nothing that is stale, silent or unreachable may look like a quiet night.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from dashboard.views import Health, Problem
from schemas.outputs import Heartbeat

SILENT_SECONDS: Final = 90.0
"""A shard is evaluated once a minute; without a sign of life for so long it is not."""

STREAM_SILENT_SECONDS: Final = 600.0
"""The same where telemetry alone moves time: a pause of the telemetry is no failure, a long one is to be said."""

LAG_MINUTES: Final = 5.0
"""An evaluation so far behind the clock pages too late."""

SEVERE_LAG_MINUTES: Final = 30.0
UNREACHABLE_SECONDS: Final = 10.0

GRACE_SECONDS: Final = 60.0
"""A page and an engine that were started together: the first sign of life takes a minute's telemetry."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What was seen. Silences are seconds since a server last answered, None while it does."""

    clock: Literal["wall", "stream"]
    shards: int
    heartbeats: Mapping[int, Heartbeat] = field(default_factory=dict)
    heard: Mapping[int, float] = field(default_factory=dict)
    """Seconds since each shard's last sign of life."""
    kafka_silent: float | None = None
    redis_silent: float | None = None
    caught_up: bool = True
    """Whether everything that stood on the topics when the page began has been read."""
    simulated: bool = False
    scripted: bool = False
    """Scores come from rules, not from a model."""
    waited: float = float("inf")
    """Seconds since the page began to look."""


def health_of(signs: Signs, now: datetime) -> Health:
    """The engine's health as of `now`."""
    beats = signs.heartbeats
    ticks = [beat.tick for beat in beats.values()]
    limit = SILENT_SECONDS if signs.clock == "wall" else STREAM_SILENT_SECONDS
    alive = sum(signs.heard.get(shard, limit + 1) <= limit for shard in beats)
    newest = max(ticks, default=None)
    problems = [*_servers(signs), *_shards(signs, alive, limit), *_lag(signs, now, alive)]
    return Health(
        problems=tuple(sorted(problems, key=lambda problem: problem.severity != "critical")),
        last_event_at=newest,
        last_tick_at=min(ticks, default=None),
        checked_at=now,
        shards=signs.shards,
        shards_alive=alive,
        series=sum(beat.series for beat in beats.values()),
        simulated=signs.simulated,
        scripted=signs.scripted,
        clock=signs.clock,
        now_at=newest if signs.clock == "stream" else now,
    )


def _servers(signs: Signs) -> list[Problem]:
    found = []
    if signs.kafka_silent is not None and signs.kafka_silent >= UNREACHABLE_SECONDS:
        found.append(
            Problem(
                severity="critical",
                text=f"Kafka has not answered for {_seconds(signs.kafka_silent)}: what is shown is old.",
                remedy="Look at the brokers and at this machine's way to them; `midwatch doctor` looks closer.",
            )
        )
    elif not signs.caught_up:
        found.append(
            Problem(
                severity="warning",
                text="The page is still reading the history: incidents may be missing.",
                remedy="Wait a moment; it goes away by itself.",
            )
        )
    if signs.redis_silent is not None and signs.redis_silent >= UNREACHABLE_SECONDS:
        found.append(
            Problem(
                severity="critical",
                text=f"Redis has not answered for {_seconds(signs.redis_silent)}: nothing is counted or evaluated.",
                remedy="Look at Redis first: the engine goes on by itself once it answers.",
            )
        )
    return found


def _shards(signs: Signs, alive: int, limit: float) -> list[Problem]:
    if not signs.heartbeats:
        if not signs.caught_up:
            return []
        if signs.waited < GRACE_SECONDS:
            return [
                Problem(
                    severity="warning",
                    text="Starting: nothing has been heard of the engine yet.",
                    remedy=f"Its first sign of life comes with telemetry; after {_seconds(GRACE_SECONDS)} without one "
                    "this is said to be critical.",
                )
            ]
        return [
            Problem(
                severity="critical",
                text="The engine has given no sign of life: nothing is watched.",
                remedy="Is `midwatch run` running with this configuration (kafka, redis.namespace), and is there "
                "telemetry? `midwatch doctor` looks closer.",
            )
        ]
    silent = signs.shards - alive
    if silent <= 0:
        return []
    if signs.clock == "stream" and alive == 0 and len(signs.heartbeats) == signs.shards:
        return [
            Problem(
                severity="warning",
                text=f"No telemetry has moved the clock for {_seconds(limit)} and more.",
                remedy="In this configuration (engine.clock = stream) time stands still without telemetry.",
            )
        ]
    some = "None" if alive == 0 else f"Only {alive}"
    blind = "nothing is watched" if alive == 0 else "a part of the fleet is not watched"
    return [
        Problem(
            severity="critical",
            text=f"{some} of {signs.shards} shards gave a sign of life in the last {_seconds(limit)}: {blind}.",
            remedy="Look at the log and at /readyz of the workers; a worker that was lost is replaced within seconds.",
        )
    ]


def _lag(signs: Signs, now: datetime, alive: int) -> list[Problem]:
    if signs.clock != "wall" or not signs.heartbeats or alive == 0:
        return []
    behind = now - min(beat.tick for beat in signs.heartbeats.values())
    if behind <= timedelta(minutes=LAG_MINUTES):
        return []
    minutes = behind.total_seconds() / 60
    return [
        Problem(
            severity="critical" if minutes >= SEVERE_LAG_MINUTES else "warning",
            text=f"The evaluation is {_minutes(minutes)} behind: what happened since is not seen yet.",
            remedy="After a restart it catches up by itself. Else telemetry comes late, or a worker is too slow: "
            "look at the lag in its /metrics, add workers.",
        )
    ]


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _minutes(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
