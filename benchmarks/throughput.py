"""How many events a second the whole job takes in: Midwatch beside Faust and beside plain aiokafka.

`python -m benchmarks.throughput [--rounds N] [--scale S] [--json]`. The job: consume, decode, check, count by series
and minute, keep the counts. Every contender reads the same topic, from the embedded broker or the Kafka that
`MIDWATCH_KAFKA` names, and is a process of its own, as are the broker and Redis (embedded, or `MIDWATCH_REDIS`).
Contenders take turns, in another order every round; medians are compared. Events per CPU-second of the contender's
process holds up on a noisy machine, events per second by the wall clock does less so. A contender whose counts come
out wrong fails the benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from benchmarks import throughput_clients, throughput_faust
from benchmarks.throughput_clients import Measured, Task
from benchmarks.throughput_events import PARTITIONS, SIZE, event_ms, values
from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis

ROUNDS: Final = 5
EVENTS: Final[dict[str, int]] = {
    "midwatch": 100_000,
    "midwatch-20k": 150_000,
    "fetch-only": 150_000,
    "by-hand": 50_000,
    "faust-take": 15_000,
    "faust-table": 5_000,
}
"""How many events each contender counts: a second or two of work."""

RUN_SECONDS: Final = 90.0
"""Longest that one run may take before the benchmark fails."""


def titles() -> dict[str, str]:
    """Every contender by name, in the order of the table."""
    return {name: title for name, (title, _) in throughput_clients.CONTENDERS.items()} | throughput_faust.TITLES


@contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """Bootstrap address and Redis URL: those of the environment, else embedded ones."""
    with ExitStack() as stack:
        kafka = os.environ.get("MIDWATCH_KAFKA") or stack.enter_context(EmbeddedKafkaProcess()).bootstrap
        redis = os.environ.get("MIDWATCH_REDIS") or stack.enter_context(EmbeddedRedis()).url
        yield kafka, redis


async def fill(bootstrap: str, topic: str, count: int) -> None:
    """Make the topic and write the events to it, partition by partition in turn."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, compression_type="lz4", linger_ms=20, max_batch_size=262_144
    )
    async with producer:
        for number, value in enumerate(values(count)):
            await producer.send(topic, value, partition=number % PARTITIONS, timestamp_ms=event_ms(number))
        await producer.flush()


def run_once(name: str, task: Task) -> Measured:
    """One run of a contender. Raises RuntimeError if it fails, takes too long or counts wrong."""
    module = "throughput_faust" if name in throughput_faust.TITLES else "throughput_clients"
    command = [sys.executable, "-m", f"benchmarks.{module}", name, msgspec.json.encode(task).decode()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    if done.returncode != 0 or "{" not in done.stdout:
        raise RuntimeError(f"{name} failed with exit code {done.returncode}: {done.stderr[-2000:]}")
    # Faust moves the cursor before it speaks, and the log goes to stdout too: the result is the last object.
    found = msgspec.json.decode(done.stdout[done.stdout.rindex("{") :], type=Measured)
    if found.counted != found.read:
        raise RuntimeError(f"{name} read {found.read} events, and its counts hold {found.counted}")
    return found


async def forget(redis_url: str, prefix: str) -> None:
    """Remove what a run left in Redis."""
    async with Redis.from_url(redis_url) as redis:
        for pattern in (f"{prefix}:*", f"{{{prefix}*"):
            keys = [key async for key in redis.scan_iter(match=pattern, count=1000)]
            if keys:
                await redis.delete(*keys)


def measure(bootstrap: str, redis: str, names: Sequence[str], rounds: int, scale: float) -> dict[str, list[Measured]]:
    """All runs of all contenders, taking turns."""
    mark = f"bench-{os.getpid()}"
    count = max(int(EVENTS[name] * scale) for name in names) + 50_000
    asyncio.run(fill(bootstrap, mark, count))
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            task = Task(bootstrap, redis, mark, int(EVENTS[name] * scale), f"{mark}-{name}-{number}")
            found[name].append(run_once(name, task))
            asyncio.run(forget(redis, task.name))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def summary(runs: Mapping[str, Sequence[Measured]]) -> list[dict[str, Any]]:
    """Medians of each contender, and how many times what it takes in Midwatch does, by CPU time."""
    per_cpu = {n: statistics.median(r.events / r.cpu_seconds for r in found) for n, found in runs.items()}
    per_wall = {n: statistics.median(r.events / r.wall_seconds for r in found) for n, found in runs.items()}
    return [
        {
            "name": name,
            "title": titles()[name],
            "events_per_cpu_second": round(per_cpu[name]),
            "events_per_second": round(per_wall[name]),
            "cpu_microseconds_per_event": round(1e6 / per_cpu[name], 2),
            "midwatch_ratio": round(per_cpu["midwatch"] / per_cpu[name], 2) if "midwatch" in per_cpu else None,
        }
        for name in runs
    ]


def show(rows: Sequence[Mapping[str, Any]], rounds: int) -> None:
    """Print the table."""
    print(f"{SIZE} bytes an event, {PARTITIONS} partitions, medians of {rounds} interleaved rounds")
    print(f"{'':44}{'events/CPU-s':>13}{'events/s':>10}{'us/event':>10}{'Midwatch is':>13}")
    for row in rows:
        ratio = "" if row["midwatch_ratio"] is None else f"{row['midwatch_ratio']:.2f} x"
        print(
            f"{row['title']:44}{row['events_per_cpu_second']:>13,}{row['events_per_second']:>10,}"
            f"{row['cpu_microseconds_per_event']:>10.2f}{ratio:>13}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds, {ROUNDS} if not given")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many events a run")
    parser.add_argument("--only", nargs="+", choices=list(EVENTS), default=list(EVENTS), help="contenders to run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    with servers() as (bootstrap, redis):
        rows = summary(measure(bootstrap, redis, chosen.only, chosen.rounds, chosen.scale))
    if chosen.json:
        print(json.dumps({"event_bytes": SIZE, "rounds": chosen.rounds, "contenders": rows}))
    else:
        show(rows, chosen.rounds)


if __name__ == "__main__":
    main()
