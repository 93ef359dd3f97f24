"""The engine's pulse: its heartbeats, as they come, and what they say about recovery.

A shard sends a heartbeat after ticks that it committed, at most one a second. So times here are a second coarse, and
err on the long side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from schemas.words import HEARTBEATS_TOPIC
from stream.core.ticks import MINUTE_MS, ms_of

POLL_MS: Final = 200
LOOK_SECONDS: Final = 0.1


class _Body(msgspec.Struct):
    shard: int
    tick: datetime
    worker: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat: when it was sent (epoch seconds), and what it says."""

    at: float
    shard: int
    tick: int
    worker: str
    epoch: int

    @property
    def pid(self) -> int:
        """The process that sent it; a worker's name ends in `-PID-TOKEN`."""
        return int(self.worker.rsplit("-", 2)[1])


class Pulse:
    """Reads heartbeats until it is cancelled, through everything that happens to the broker."""

    def __init__(self, bootstrap: str, shards: int) -> None:
        self.beats: list[Beat] = []
        self.ticks: dict[int, int] = dict.fromkeys(range(shards), 0)
        self._bootstrap = bootstrap

    async def run(self) -> None:
        """Follow the topic."""
        while True:
            consumer = AIOKafkaConsumer(
                HEARTBEATS_TOPIC, bootstrap_servers=self._bootstrap, auto_offset_reset="earliest"
            )
            self.beats.clear()
            try:
                await consumer.start()
                await self._follow(consumer)
            except (KafkaError, OSError):
                await asyncio.sleep(LOOK_SECONDS)
            finally:
                await consumer.stop()

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for batch in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in batch:
                    body = msgspec.json.decode(record.value, type=_Body)
                    tick = ms_of(body.tick) // MINUTE_MS
                    self.beats.append(Beat(record.timestamp / 1000, body.shard, tick, body.worker, body.epoch))
                    self.ticks[body.shard] = tick

    def holders(self) -> dict[int, Beat]:
        """The newest beat of every shard."""
        newest: dict[int, Beat] = {}
        for beat in self.beats:
            if beat.shard not in newest or beat.at >= newest[beat.shard].at:
                newest[beat.shard] = beat
        return newest

    async def reached(self, tick: int, seconds: float) -> float | None:
        """Wait until every shard has committed a tick; the seconds that took, or None if it took longer."""
        started = time.monotonic()
        while min(self.ticks.values()) < tick:
            if time.monotonic() - started > seconds:
                return None
            await asyncio.sleep(LOOK_SECONDS)
        return time.monotonic() - started


def takeover_seconds(
    beats: Iterable[Beat], holders: Mapping[int, Beat], victims: Sequence[int], died_at: float
) -> float | None:
    """How long after a worker's death every shard that it held was moved on by somebody; None if it held none.

    Raises ValueError if one of them never was.
    """
    lost = {shard: beat for shard, beat in holders.items() if beat.pid in victims}
    beats, slowest = list(beats), None
    for shard, last in lost.items():
        after = [
            beat.at - died_at
            for beat in beats
            if beat.shard == shard and beat.at > died_at and (beat.worker, beat.epoch) != (last.worker, last.epoch)
        ]
        if not after:
            raise ValueError(f"shard {shard} was never taken over")
        slowest = max(slowest or 0.0, min(after))
    return slowest


def zombie_beats(beats: Sequence[Beat], victims: Sequence[int], since: float, until: float) -> list[Beat]:
    """Heartbeats of processes that lost their shards, for ticks that were no longer theirs, in a stretch of time."""
    within = [beat for beat in beats if since <= beat.at <= until]
    found = []
    for beat in within:
        if beat.pid in victims:
            newer = [b for b in within if b.shard == beat.shard and b.pid not in victims and b.at < beat.at]
            if newer and newer[0].epoch > beat.epoch and beat.tick >= newer[0].tick:
                found.append(beat)
    return found

