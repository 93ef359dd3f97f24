"""How many events a second the whole job takes in: Midwatch beside what a user would pick instead.

`make bench`, or `python -m benchmarks.throughput [--series N] [--rounds N] [--only NAME...] [--workers]`. The job:
consume, decode, check, count by series and minute, keep the counts durably. Every contender reads the same events, from
the Kafka that `MIDWATCH_KAFKA` names, else a real one if Java and its jars are there, else the embedded broker, and is
a process of its own, as are the broker and Redis (embedded, or `MIDWATCH_REDIS`). Contenders take turns, in another
order every round; medians are compared. Events per CPU-second of the contender's process, all threads, holds up on a
noisy machine; events per second by the wall clock does less so. A contender whose counts come out wrong fails.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from benchmarks import throughput_peers
from benchmarks.growth import two_workers
from benchmarks.throughput_events import PARTITIONS, SIZE, closing, events, systems_for
from benchmarks.throughput_meter import Measured, Task
from benchmarks.throughput_roster import ROSTER
from benchmarks.throughput_servers import Servers, fill, forget, servers

ROUNDS: Final = 5
SERIES: Final = (1_000, 10_000, 100_000)
OURS: Final = ("midwatch", "midwatch-4k")
RUN_SECONDS: Final = 180.0
"""Longest that one run may take before it counts as failed."""


class RunFailed(RuntimeError):
    """A contender failed, took too long or counted wrong."""


def run_once(name: str, task: Task) -> Measured:
    """One run of a contender. Raises RunFailed."""
    who = ROSTER[name]
    command = [who.python(), "-m", f"benchmarks.throughput_{who.module}", name, msgspec.json.encode(task).decode()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"not done after {RUN_SECONDS:.0f} s") from None
    if done.returncode != 0 or "{" not in done.stdout:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RunFailed(f"exit code {done.returncode}: {said[-1] if said else 'it said nothing'}")
    # Faust moves the cursor before it speaks, and the log goes to stdout too: the result is the last object.
    found = msgspec.json.decode(done.stdout[done.stdout.rindex("{") :], type=Measured)
    if found.counted != found.read:
        raise RunFailed(f"it read {found.read} events, and its counts hold {found.counted}")
    return found


class Round:
    """The topics of a run, and the contenders on them."""

    def __init__(self, at: Servers, names: Sequence[str], series: int, scale: float) -> None:
        self.sizes = {name: int(ROSTER[name].events_at(series) * scale) for name in names}
        self.failed: dict[str, str] = {}
        self._at = at
        self._mark = f"bench-{os.getpid()}"
        systems = systems_for(series)
        longest = max((n for name, n in self.sizes.items() if not ROSTER[name].end), default=0)
        if longest:
            fill(at.kafka, self._mark, PARTITIONS, events(longest + 50_000, systems=systems))
        for size in {n for name, n in self.sizes.items() if ROSTER[name].end}:
            ends = (closing(partition, size) for partition in range(PARTITIONS))
            fill(at.kafka, f"{self._mark}-{size}", PARTITIONS, itertools.chain(events(size, systems=systems), ends))

    def run(self, name: str, number: int) -> Measured | None:
        """One run; None, and the reason is kept, if it failed. A failure of Midwatch's own is raised."""
        size = self.sizes[name]
        topic = f"{self._mark}-{size}" if ROSTER[name].end else self._mark
        with tempfile.TemporaryDirectory(prefix="midwatch-bench-") as directory:
            run_name = f"{self._mark}-{name}-{number}"
            task = Task(self._at.kafka, self._at.redis, topic, size, run_name, PARTITIONS, directory)
            try:
                return run_once(name, task)
            except RunFailed as why:
                if name in OURS:
                    raise
                self.failed[name] = str(why)
                return None
            finally:
                asyncio.run(forget(self._at.redis, run_name))
                print(".", end="", file=sys.stderr, flush=True)


def measure(rounds: Round, names: Sequence[str], number_of_rounds: int) -> dict[str, list[Measured]]:
    """All runs of all contenders, taking turns; one that failed is not tried again."""
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(number_of_rounds):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            if name not in rounds.failed:
                measured = rounds.run(name, number)
                if measured is not None:
                    found[name].append(measured)
    print(file=sys.stderr)
    return found


def summary(runs: Mapping[str, Sequence[Measured]], reasons: Mapping[str, str]) -> list[dict[str, Any]]:
    """Medians of each contender, and how many times what it takes in Midwatch does, by CPU time."""
    per_cpu = {n: statistics.median(r.events / r.cpu_seconds for r in found) for n, found in runs.items() if found}
    per_wall = {n: statistics.median(r.events / r.wall_seconds for r in found) for n, found in runs.items() if found}
    ours = per_cpu.get("midwatch")
    rows: list[dict[str, Any]] = []
    for name, who in ROSTER.items():
        if name in reasons:
            rows.append({"name": name, "title": who.title, "reason": reasons[name]})
        elif name in per_cpu:
            rows.append(
                {
                    "name": name,
                    "title": who.title,
                    "events_per_cpu_second": round(per_cpu[name]),
                    "events_per_second": round(per_wall[name]),
                    "cpu_microseconds_per_event": round(1e6 / per_cpu[name], 2),
                    "midwatch_ratio": round(ours / per_cpu[name], 2) if ours else None,
                    "runs": len(runs[name]),
                }
            )
    return rows


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the table."""
    print(f"{'':42}{'events/CPU-s':>13}{'events/s':>11}{'us/event':>10}{'Midwatch is':>13}")
    for row in rows:
        if "reason" in row:
            print(f"{row['title']:42}  {row['reason']}")
            continue
        ratio = "" if row["midwatch_ratio"] is None else f"{row['midwatch_ratio']:.2f} x"
        print(
            f"{row['title']:42}{row['events_per_cpu_second']:>13,}{row['events_per_second']:>11,}"
            f"{row['cpu_microseconds_per_event']:>10.2f}{ratio:>13}"
        )


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, choices=SERIES, default=SERIES[0], help="about so many series")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds, {ROUNDS} if not given")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many events a run")
    parser.add_argument("--only", nargs="+", choices=list(ROSTER), default=list(ROSTER), help="contenders to run")
    parser.add_argument("--workers", action="store_true", help="also compare two workers of Midwatch with one")
    parser.add_argument("--embedded", action="store_true", help="the embedded broker, though a real Kafka is there")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    if chosen.rounds < 1 or chosen.scale <= 0:
        parser.error("--rounds must be 1 or more and --scale above 0")
    return chosen


def main() -> None:
    """Measure and print."""
    chosen = options()
    reasons = {name: why for name in chosen.only if (why := ROSTER[name].missing())}
    names = [name for name in ROSTER if name in chosen.only and name not in reasons]
    with servers(embedded=chosen.embedded) as at:
        rounds = Round(at, names, chosen.series, chosen.scale)
        rows = summary(measure(rounds, names, chosen.rounds), reasons | rounds.failed)
        workers = two_workers(at, chosen.series, chosen.rounds) if chosen.workers else None
        broker = at.broker
    used = {"python": platform.python_version(), **throughput_peers.versions("bytewax", "quixstreams")}
    if chosen.json:
        about = {"event_bytes": SIZE, "series": chosen.series, "rounds": chosen.rounds, "broker": broker}
        print(json.dumps({**about, "versions": used, "contenders": rows, "workers": workers}))
        return
    print(f"{SIZE} bytes an event, {PARTITIONS} partitions, about {chosen.series:,} series; {broker}")
    print(f"Medians of {chosen.rounds} interleaved rounds; " + ", ".join(f"{k} {v}" for k, v in used.items()))
    show(rows)
    if workers is not None:
        print(
            f"Two workers take {workers['two']:,} events/s, one {workers['one']:,}: {workers['ratio']:.2f} x by the "
            f"clock, {workers['cpu_ratio']:.2f} x with a core for each and others for the servers (by processor time)"
        )


if __name__ == "__main__":
    main()
