"""How throughput grows: events a second against partitions, workers and series, a plot of each.

`python -m benchmarks.growth [--rounds N] [--plots FOLDER] [--only WHAT...] [--json]`. Midwatch's ingest loop with its
fenced commit, on the events of the throughput benchmark, interleaved, medians. Partitions and series are compared by
events per CPU-second of one worker; workers by the events per second of all of them together, by the wall clock, and by
their CPU-seconds, for on a machine whose cores are busy or few the clock says little. What Redis takes of its own
processor, for each event, is beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from redis import Redis

from benchmarks.pictures import lines
from benchmarks.throughput_events import PARTITIONS, events, systems_for
from benchmarks.throughput_meter import Measured, Task
from benchmarks.throughput_servers import Servers, fill, forget, servers

EVENTS: Final = 240_000
MORE: Final = 80_000
"""Events behind those that are counted, so that no worker runs dry."""

ROUNDS: Final = 3
RUN_SECONDS: Final = 180.0
SIZES: Final[dict[str, tuple[int, ...]]] = {
    "partitions": (1, 4, 16),
    "workers": (1, 2),
    "series": (1_000, 10_000, 100_000),
}


class Bench:
    """Topics, each filled once, and runs on them."""

    def __init__(self, at: Servers) -> None:
        self._at = at
        self._mark = f"growth-{os.getpid()}"
        self._runs = 0
        self._filled: set[str] = set()

    def run(self, partitions: int, workers: int, series: int) -> dict[str, float]:
        """Events per second and per CPU-second of all workers together."""
        topic = f"{self._mark}-{partitions}-{series}"
        if topic not in self._filled:
            fill(self._at.kafka, topic, partitions, events(2 * EVENTS + MORE, systems=systems_for(series)))
            self._filled.add(topic)
        self._runs += 1
        name = f"{self._mark}-{self._runs}"
        before = redis_cpu_seconds(self._at.redis)
        try:
            found = [json_of(process) for process in self._start(topic, name, partitions, workers)]
            used = redis_cpu_seconds(self._at.redis) - before
        finally:
            asyncio.run(forget(self._at.redis, name))
        counted = sum(one.events for one in found)
        return {
            "events_per_cpu_second": counted / sum(one.cpu_seconds for one in found),
            "events_per_second": sum(one.events / one.wall_seconds for one in found),
            "redis_microseconds_per_event": 1e6 * used / sum(one.read for one in found),
        }

    def _start(self, topic: str, name: str, partitions: int, workers: int) -> list[subprocess.Popen[str]]:
        """Workers of one group, each told to stop after its share."""
        task = Task(self._at.kafka, self._at.redis, topic, EVENTS, name, partitions)
        command = [sys.executable, "-m", "benchmarks.growth_worker", str(workers), msgspec.json.encode(task).decode()]
        return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(workers)]


def two_workers(at: Servers, series: int, rounds: int) -> dict[str, float]:
    """What two workers do beside one: events a second by the clock, medians of interleaved rounds.

    `cpu_ratio` is what they would do with a core for each and others for the servers: twice what one's processor second
    takes in, as far as two workers' seconds do as well.
    """
    bench = Bench(at)
    runs = [(bench.run(PARTITIONS, 1, series), bench.run(PARTITIONS, 2, series)) for _ in range(rounds)]
    clock = [statistics.median(run[which]["events_per_second"] for run in runs) for which in (0, 1)]
    cpu = [statistics.median(run[which]["events_per_cpu_second"] for run in runs) for which in (0, 1)]
    ratios = {"ratio": round(clock[1] / clock[0], 2), "cpu_ratio": round(2 * cpu[1] / cpu[0], 2)}
    return {"one": round(clock[0]), "two": round(clock[1]), **ratios}


def redis_cpu_seconds(url: str) -> float:
    """Processor seconds that the server has taken since its start."""
    with Redis.from_url(url) as redis:
        used: Any = redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def json_of(process: subprocess.Popen[str]) -> Measured:
    """The result of a worker. Raises RuntimeError if it failed."""
    try:
        out, _ = process.communicate(timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise RuntimeError(f"a worker was not done after {RUN_SECONDS:.0f} s") from None
    if process.returncode != 0 or "{" not in out:
        raise RuntimeError(f"a worker failed with exit code {process.returncode}")
    return msgspec.json.decode(out[out.rindex("{") :], type=Measured)


def measure(bench: Bench, what: Sequence[str], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Medians by what grows, for each of its sizes."""
    runs: dict[tuple[str, int], list[dict[str, float]]] = {}
    arguments: dict[str, Callable[[int], tuple[int, int, int]]] = {
        "partitions": lambda size: (size, 1, 1_000),
        "workers": lambda size: (PARTITIONS, size, 1_000),
        "series": lambda size: (PARTITIONS, 1, size),
    }
    for _ in range(rounds):
        for name in what:
            for size in SIZES[name]:
                runs.setdefault((name, size), []).append(bench.run(*arguments[name](size)))
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in what}
    for (name, size), each in runs.items():
        medians = {key: round(statistics.median(one[key] for one in each), 2) for key in each[0]}
        found[name].append({name: size, **medians})
    return found


def plot(found: dict[str, list[dict[str, Any]]], folder: Path) -> None:
    """One picture for each thing that grows."""
    for name, each in found.items():
        sizes = [row[name] for row in each]
        key = "events_per_second" if name == "workers" else "events_per_cpu_second"
        axis = "thousand events per second" if name == "workers" else "thousand events per CPU-second"
        values = [row[key] / 1000 for row in each]
        logarithmic = (name != "workers", False)
        lines(
            folder / f"growth-{name}.png",
            f"Throughput by {name}",
            (name, axis),
            sizes,
            {name: values},
            logarithmic=logarithmic,
        )


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(prog="benchmarks.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds, {ROUNDS} if not given")
    parser.add_argument("--only", nargs="+", choices=list(SIZES), default=list(SIZES), help="what is to grow")
    parser.add_argument("--plots", type=Path, help="folder for the pictures")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    with servers() as at:
        found = measure(Bench(at), chosen.only, chosen.rounds)
        broker = at.broker
    if chosen.json:
        print(json.dumps({"rounds": chosen.rounds, "broker": broker, "growth": found}))
    else:
        print(f"Medians of {chosen.rounds} rounds; {broker}")
        for name, each in found.items():
            print(f"{name:>10}{'events/CPU-s':>14}{'events/s':>12}{'Redis us/event':>16}")
            for row in each:
                rates = f"{row['events_per_cpu_second']:>14,.0f}{row['events_per_second']:>12,.0f}"
                print(f"{row[name]:>10,}{rates}{row['redis_microseconds_per_event']:>16.2f}")
    if chosen.plots:
        plot(found, chosen.plots)


if __name__ == "__main__":
    main()
