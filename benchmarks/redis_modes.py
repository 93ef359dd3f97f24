"""What a Redis Cluster, or a master with a replica under sentinels, costs beside one server.

`python -m benchmarks.redis_modes [--rounds N] [--events N] [--json]`. Midwatch's ingest, as `benchmarks.throughput`
runs it, over the same topic of an embedded broker, in turn on one `redis-server`, on a master with a replica and three
sentinels, and on three masters with three replicas, all local, all with an append-only file. CPU time of the worker's
process and that of the servers that hold data (from their own INFO, idle work included) are counted apart; medians and
ratios to one server are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from benchmarks.throughput import run_once
from benchmarks.throughput_events import PARTITIONS, events
from benchmarks.throughput_meter import Task
from benchmarks.throughput_servers import fill
from stream.embedded import EmbeddedKafkaProcess
from tests.support.real_redis import RealRedis, new_redis
from tests.support.redis_cluster import RedisCluster, admin
from tests.support.redis_sentinel import MASTER, RedisSentinel

Mode = Literal["single", "sentinel", "cluster"]
TITLES: Final[dict[Mode, str]] = {
    "single": "one server",
    "sentinel": "master, replica, three sentinels",
    "cluster": "three masters, three replicas",
}
ROUNDS: Final = 5
EVENTS: Final = 60_000


@dataclass(frozen=True)
class Place:
    """A Redis of one mode: where it is, and the servers whose time counts."""

    url: str
    servers: Sequence[RealRedis]
    master: str | None = None


@dataclass(frozen=True)
class Run:
    """What one run took: events a second of the worker's CPU and of the clock, and the servers' CPU for each event."""

    per_cpu: float
    per_second: float
    server_microseconds: float


@contextmanager
def places() -> Iterator[dict[Mode, Place]]:
    """All three, running."""
    with ExitStack() as stack:
        single = stack.enter_context(new_redis())
        sentinel = stack.enter_context(RedisSentinel())
        cluster = stack.enter_context(RedisCluster())
        yield {
            "single": Place(single.url, [single]),
            "sentinel": Place(sentinel.url, sentinel.servers, MASTER),
            "cluster": Place(cluster.url, cluster.nodes),
        }


def server_seconds(place: Place) -> float:
    """CPU time that the servers have taken so far."""
    total = 0.0
    for server in place.servers:
        with admin(server) as client:
            info: Any = client.info("cpu")
        total += info["used_cpu_user"] + info["used_cpu_sys"]
    return total


def measure(bootstrap: str, found: Mapping[Mode, Place], rounds: int, size: int) -> dict[Mode, list[Run]]:
    """All runs, taking turns."""
    mark = f"modes-{os.getpid()}"
    fill(bootstrap, mark, PARTITIONS, events(size + 50_000))
    runs: dict[Mode, list[Run]] = {mode: [] for mode in found}
    modes = list(found)
    for number in range(rounds):
        turn = number % len(modes)
        for mode in [*modes[turn:], *modes[:turn]]:
            place = found[mode]
            given = (bootstrap, place.url, mark, size, f"{mark}-{mode}-{number}")
            task = Task(*given, redis_mode=mode, redis_master=place.master)
            before = server_seconds(place)
            run = run_once("midwatch", task)
            spent = server_seconds(place) - before
            runs[mode].append(Run(run.events / run.cpu_seconds, run.events / run.wall_seconds, 1e6 * spent / run.read))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return runs


def summary(runs: Mapping[Mode, Sequence[Run]]) -> list[dict[str, Any]]:
    """Medians, and the ratio of each round to the same round with one server."""
    rows = []
    for mode, found in runs.items():
        ratios = [run.per_cpu / one.per_cpu for run, one in zip(found, runs["single"], strict=True)]
        rows.append(
            {
                "mode": mode,
                "events_per_cpu_second": round(statistics.median(run.per_cpu for run in found)),
                "events_per_second": round(statistics.median(run.per_second for run in found)),
                "server_cpu_microseconds_per_event": round(statistics.median(r.server_microseconds for r in found), 2),
                "ratio_to_single": round(statistics.median(ratios), 3),
            }
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds, {ROUNDS} if not given")
    parser.add_argument("--events", type=int, default=EVENTS, help=f"events a run, {EVENTS} if not given")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    with EmbeddedKafkaProcess() as broker, places() as found:
        rows = summary(measure(broker.bootstrap, found, chosen.rounds, chosen.events))
    if chosen.json:
        print(json.dumps({"rounds": chosen.rounds, "events": chosen.events, "modes": rows}))
        return
    print(f"medians of {chosen.rounds} interleaved rounds of {chosen.events:,} events")
    print(f"{'':34}{'events/CPU-s':>13}{'events/s':>10}{'of one server':>15}{'servers us/event':>18}")
    for row in rows:
        print(
            f"{TITLES[row['mode']]:34}{row['events_per_cpu_second']:>13,}{row['events_per_second']:>10,}"
            f"{row['ratio_to_single']:>15.3f}{row['server_cpu_microseconds_per_event']:>18.2f}"
        )


if __name__ == "__main__":
    main()
