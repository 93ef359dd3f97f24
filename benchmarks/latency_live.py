"""How long after its tick a verdict is published: a real worker under a steady load, in real time.

A tick may be evaluated when the watermark has passed it. With partitions that are read to their end, as those of
deployments and controls are nearly always, that is its end, the lateness and the idle grace later, by the clock. The
clock of a tick starts then, and stops when a consumer of the verdict topic has the verdict: it holds reading, folding,
the commit, noticing, evaluation, triage, publishing. Before it, two hours of quiet telemetry of the past are sent as
fast as they go, for detectors do not judge a fleet that is young.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, Producer

from benchmarks.soak import make_topics
from benchmarks.throughput_servers import Servers
from schemas.words import VERDICTS_TOPIC
from stream.core.ticks import rfc3339
from stream.settings import load_settings

PARTITIONS: Final = 4
SYSTEMS: Final = 200
FLOWS: Final = 5
MINUTE_MS: Final = 60_000
WAIT_MS: Final = 7_000
"""Lateness and idle grace, both as they are by default: so long after its end a tick is evaluated."""

WARM_MINUTES: Final = 120
WARM_EVENTS: Final = 2_000
"""Events in each minute of the quiet time."""

CATCH_UP_SECONDS: Final = 15.0
QUIET_SECONDS: Final = 15.0
INCIDENT_MINUTES: Final = 6
PERIOD_MINUTES: Final = 20
"""So many minutes after one another the systems turn bad, an equal share in each."""

SLICE_SECONDS: Final = 0.05
"""What is sent at once."""

TOPIC: Final = "agent.interactions"


class Load:
    """Sends a fleet's interactions; in each minute of the time under load some systems turn bad."""

    def __init__(self, bootstrap: str, rate: float) -> None:
        self.start_minute = 0
        """The first minute under load, since 1970."""
        self.behind = 0.0
        """The most seconds that sending was late."""
        self._each = max(round(rate * SLICE_SECONDS), 1)
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 2, "acks": "all"}
        )
        self._chance = random.Random(7)
        self._number = 0
        self._tails = {
            (system, flow, bad): _tail(system, flow, bad)
            for system in range(SYSTEMS)
            for flow in range(FLOWS)
            for bad in (False, True)
        }

    def run(self, minutes: int) -> None:
        """Send the quiet time; then, until `minutes` whole minutes are over, the given rate."""
        self.start_minute = time.time_ns() // 60_000_000_000 + 2
        for minute in range(self.start_minute - WARM_MINUTES - 1, self.start_minute - 1):
            for number in range(WARM_EVENTS):
                self._send(minute, minute * MINUTE_MS + number * MINUTE_MS // WARM_EVENTS)
            self._producer.flush(30)
        time.sleep(CATCH_UP_SECONDS)
        offset = time.time() - time.monotonic()
        due = time.time()
        while due < (self.start_minute + minutes) * 60 + WAIT_MS / 1000 + 1:
            now = time.monotonic() + offset
            self.behind = max(self.behind, now - due)
            time.sleep(max(due - now, 0))
            for number in range(self._each):
                time_ms = round((due + number * SLICE_SECONDS / self._each) * 1000) - 1
                self._send(time_ms // MINUTE_MS, time_ms)
            self._producer.poll(0)
            due += SLICE_SECONDS
        if self._producer.flush(30):
            raise RuntimeError("the broker did not take all events")

    def _send(self, minute: int, time_ms: int) -> None:
        self._number += 1
        system = self._chance.randrange(SYSTEMS)
        tail = self._tails[system, self._number % FLOWS, self._is_bad(system, minute)]
        value = f'{{"type":"interaction","id":"i-{self._number}","time":"{rfc3339(time_ms)}",{tail}'.encode()
        self._producer.produce(TOPIC, value, partition=self._number % PARTITIONS, timestamp=time_ms)

    def _is_bad(self, system: int, minute: int) -> bool:
        start = self.start_minute + system % PERIOD_MINUTES
        return start <= minute < start + INCIDENT_MINUTES


def _tail(system: int, flow: int, bad: bool) -> str:
    more: dict[str, Any] = {"outcome": "resolved"}
    if bad:
        more = {"outcome": "escalated", "escalation": {"reason": "high_risk"}}
    fields = {"environment": "production", "system": f"system-{system:03d}", "flow": f"flow-{flow}", **more}
    return json.dumps(fields)[1:]


class Verdicts:
    """Reads the verdict topic in a thread; `seen` is (tick, when it came) for each."""

    def __init__(self, bootstrap: str) -> None:
        self.seen: list[tuple[int, float]] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "latency",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
            }
        )
        self._consumer.subscribe([VERDICTS_TOPIC])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def await_quiet(self) -> None:
        """Wait until no verdict has come for a while."""
        count = -1
        while len(self.seen) > count:
            count = len(self.seen)
            time.sleep(QUIET_SECONDS)

    def _read(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.05)
            if message is not None and message.error() is None:
                now = time.time()
                decided = datetime.fromisoformat(json.loads(message.value() or b"{}")["decided_at"])
                self.seen.append((round(decided.timestamp() * 1000) // MINUTE_MS, now))


@contextmanager
def _worker(at: Servers, folder: Path) -> Iterator[None]:
    config = folder / "midwatch.toml"
    config.write_text(
        f'[kafka]\nbootstrap_servers = "{at.kafka}"\npartitions = {PARTITIONS}\n'
        f'[redis]\nurl = "{at.redis}"\nnamespace = "latency"\n'
        "[http]\nport = 0\n[dashboard]\nenabled = false\n",
        encoding="utf-8",
    )
    asyncio.run(make_topics(load_settings(config, {})))
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream.cli", "run", "--config", str(config)], stdout=log, stderr=log
        )
        try:
            _await_worker(process, folder / "worker.log")
            yield
        finally:
            process.terminate()
            process.wait(30)


def _await_worker(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while b"shard_taken" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the worker did not start: {log.read_text()[-1000:]}")
        time.sleep(0.1)


def tick_to_verdict(at: Servers, rate: float, minutes: int) -> dict[str, Any]:
    """Seconds from when each tick under load could be evaluated to each of its verdicts."""
    with tempfile.TemporaryDirectory(prefix="midwatch-latency-") as folder, _worker(at, Path(folder)):
        verdicts, load = Verdicts(at.kafka), Load(at.kafka, rate)
        try:
            load.run(minutes)
            verdicts.await_quiet()
        finally:
            verdicts.close()
    # A verdict of a tick bears the tick's end.
    measured = range(load.start_minute + 1, load.start_minute + minutes + 1)
    return {
        "rate": rate,
        "sending_late_seconds": round(load.behind, 3),
        "seconds": sorted(now - (tick * 60 + WAIT_MS / 1000) for tick, now in verdicts.seen if tick in measured),
    }
