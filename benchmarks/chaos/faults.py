"""The faults, by name: each does its harm to the world, waits as long as it lasts, and puts things right again.

A fault answers with what it did, in a word or two, for the log. Those of worker processes name their victims by the
process ids that they hit.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from benchmarks.chaos.proxy import CALM, Proxy, Weather
from benchmarks.chaos.world import World
from stream.settings_clients import redis_client


@dataclass(frozen=True, slots=True)
class Done:
    """What a fault did; `victims` are process ids of workers."""

    detail: str
    victims: tuple[int, ...] = ()


Fault = Callable[[World, random.Random], Awaitable[Done]]

ZOMBIE_SECONDS: Final = (16.0, 20.0)
"""Longer than a lease and a session (10 s each) and a round of leases: the others must have taken over."""

_ANY_MEMORY: Final = 0
_NO_MEMORY: Final = 1


async def _signal(world: World, chance: random.Random, number: signal.Signals) -> Done:
    worker = chance.choice(world.workers)
    pid = worker.pid
    worker.send(number, deadly=True)
    return Done(f"worker {worker.index}", (pid,))


async def kill(world: World, chance: random.Random) -> Done:
    """SIGKILL to a worker, which is started again at once."""
    return await _signal(world, chance, signal.SIGKILL)


async def term(world: World, chance: random.Random) -> Done:
    """SIGTERM to a worker, which is started again when it has ended."""
    return await _signal(world, chance, signal.SIGTERM)


async def kill_all(world: World, _chance: random.Random) -> Done:
    """SIGKILL to all workers at once."""
    pids = tuple(worker.pid for worker in world.workers)
    for worker in world.workers:
        worker.send(signal.SIGKILL, deadly=True)
    return Done("all workers", pids)


async def zombie(world: World, chance: random.Random) -> Done:
    """SIGSTOP until its lease and its session are over, then SIGCONT: it goes on as if nothing had been."""
    worker = chance.choice(world.workers)
    pid = worker.pid
    worker.send(signal.SIGSTOP)
    seconds = chance.uniform(*ZOMBIE_SECONDS)
    await asyncio.sleep(seconds)
    worker.send(signal.SIGCONT)
    return Done(f"worker {worker.index}, {seconds:.1f} s", (pid,))


async def rebalance(world: World, chance: random.Random) -> Done:
    """One more worker joins under load, takes its share, and leaves."""
    await world.spare.start()
    pid = world.spare.pid
    await asyncio.sleep(chance.uniform(6, 10))
    await world.spare.stop()
    return Done("a fourth worker came and went", (pid,))


async def clock(world: World, chance: random.Random) -> Done:
    """A worker's wall clock jumps by an hour, one way or the other, and back."""
    worker = chance.choice(world.workers)
    off = chance.choice((-3_600_000, 3_600_000))
    worker.set_clock(off)
    await asyncio.sleep(chance.uniform(4, 8))
    worker.set_clock(0)
    return Done(f"worker {worker.index}, {off // 60_000:+d} min")


async def redis_kill(world: World, chance: random.Random) -> Done:
    """SIGKILL to Redis; it comes back with what its append-only file holds."""
    away = chance.uniform(0.2, 3)
    await asyncio.to_thread(world.redis.kill)
    await asyncio.sleep(away)
    await asyncio.to_thread(world.redis.start)
    return Done(f"away for {away:.1f} s")


async def redis_rollback(world: World, chance: random.Random) -> Done:
    """Redis comes back as it was some seconds ago."""
    await asyncio.to_thread(world.redis.back_up)
    seconds = chance.uniform(3, 12)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(world.redis.restore)
    return Done(f"{seconds:.1f} s lost")


async def redis_wipe(world: World, _chance: random.Random) -> Done:
    """FLUSHALL."""
    async with _redis(world) as client:
        await client.flushall()
    return Done("everything gone")


async def redis_oom(world: World, chance: random.Random) -> Done:
    """Redis has no memory left and evicts nothing: it refuses to write."""
    seconds = chance.uniform(2, 6)
    async with _redis(world) as client:
        await client.config_set("maxmemory", _NO_MEMORY)
        await asyncio.sleep(seconds)
        await client.config_set("maxmemory", _ANY_MEMORY)
    return Done(f"{seconds:.1f} s")


async def redis_full(world: World, chance: random.Random) -> Done:
    """Redis's disk is full: the append-only file cannot grow, so it refuses to write."""
    seconds = chance.uniform(2, 6)
    world.redis.fill_disk()
    await asyncio.sleep(seconds)
    world.redis.free_disk()
    return Done(f"{seconds:.1f} s")


def _redis(world: World) -> Redis:
    return redis_client(world.settings.redis)


def _some(chance: random.Random, proxies: list[Proxy]) -> list[Proxy]:
    """One of them, or all."""
    return proxies if chance.random() < 0.5 else [chance.choice(proxies)]


async def _cut(chance: random.Random, proxies: list[Proxy]) -> Done:
    times, cut = chance.randrange(1, 4), 0
    for _ in range(times):
        cut += sum(proxy.cut() for proxy in _some(chance, proxies))
        await asyncio.sleep(chance.uniform(0.05, 0.5))
    return Done(f"{cut} connections in {times} times")


async def _weather(chance: random.Random, proxies: list[Proxy], weather: Weather, lasts: tuple[float, float]) -> Done:
    hit = _some(chance, proxies)
    seconds = chance.uniform(*lasts)
    for proxy in hit:
        proxy.set(weather)
    await asyncio.sleep(seconds)
    for proxy in hit:
        proxy.set(CALM)
    return Done(f"{len(hit)} of {len(proxies)}, {seconds:.1f} s")


GUST: Final = (4.0, 8.0)
"""How long bad weather lasts that a client bears, in seconds."""


def _delayed(chance: random.Random) -> Weather:
    return Weather(delay_seconds=chance.uniform(0.05, 0.4))


def _throttled(chance: random.Random) -> Weather:
    return Weather(bytes_per_second=chance.randrange(20_000, 100_000))


async def redis_cut(world: World, chance: random.Random) -> Done:
    """Connections to Redis are reset."""
    return await _cut(chance, world.redis_proxies)


async def redis_delay(world: World, chance: random.Random) -> Done:
    """Every packet to and from Redis takes 50 to 400 ms more."""
    return await _weather(chance, world.redis_proxies, _delayed(chance), GUST)


async def redis_half_open(world: World, chance: random.Random) -> Done:
    """Nothing comes back from Redis, and nothing is closed, for longer than the client waits."""
    return await _weather(chance, world.redis_proxies, Weather(stalled=True), (6, 9))


async def redis_throttle(world: World, chance: random.Random) -> Done:
    """20 to 100 kB/s on each connection to Redis."""
    return await _weather(chance, world.redis_proxies, _throttled(chance), GUST)


async def kafka_cut(world: World, chance: random.Random) -> Done:
    """Connections to the brokers are reset."""
    return await _cut(chance, world.kafka_proxies)


async def kafka_delay(world: World, chance: random.Random) -> Done:
    """Every packet to and from the brokers takes 50 to 400 ms more."""
    return await _weather(chance, world.kafka_proxies, _delayed(chance), GUST)


async def kafka_half_open(world: World, chance: random.Random) -> Done:
    """Nothing comes from the brokers, and nothing is closed, for longer than a session."""
    return await _weather(chance, world.kafka_proxies, Weather(stalled=True), (8, 14))


async def kafka_throttle(world: World, chance: random.Random) -> Done:
    """20 to 100 kB/s on each connection to the brokers."""
    return await _weather(chance, world.kafka_proxies, _throttled(chance), GUST)


async def broker_kill(world: World, chance: random.Random) -> Done:
    """SIGKILL to a broker; it is started again, and serves some seconds later."""
    index = chance.randrange(len(world.kafka.nodes))
    await asyncio.to_thread(world.kafka.kill, index)
    await asyncio.sleep(chance.uniform(0.5, 3))
    await asyncio.to_thread(world.kafka.restart, index)
    return Done(f"broker {index}")


async def leader_move(world: World, chance: random.Random) -> Done:
    """A broker stops in an orderly way, so that its partitions are led elsewhere, and comes back."""
    index = chance.randrange(len(world.kafka.nodes))
    await asyncio.to_thread(world.kafka.nodes[index].stop)
    await asyncio.sleep(chance.uniform(1, 4))
    await asyncio.to_thread(world.kafka.restart, index)
    return Done(f"broker {index}")


FAULTS: Final[dict[str, Fault]] = {
    fault.__name__: fault
    for fault in (
        kill, term, kill_all, zombie, rebalance, clock,
        redis_kill, redis_rollback, redis_wipe, redis_oom, redis_full,
        redis_cut, redis_delay, redis_half_open, redis_throttle,
        kafka_cut, kafka_delay, kafka_half_open, kafka_throttle,
        broker_kill, leader_move,
    )
}  # fmt: skip

WORKER_DEATHS: Final = frozenset({"kill", "term", "zombie"})
"""Faults after which those that live must take shards over. Where all died, it is for the supervisor to be quick."""


def describe(name: str) -> str:
    """What a fault does, in a sentence."""
    return " ".join(str(FAULTS[name].__doc__).split())


