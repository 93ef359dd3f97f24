"""How long after its tick a verdict is published: a real worker under a steady load, on the time of its telemetry.

Event time runs `SPEED` times as fast as the clock, so that a run of a minute sees many ticks. The clock of a tick
starts when the broker has acknowledged, in every partition, the event that lets the watermark pass it, and stops when a
consumer of the verdict topic has the verdict. So it holds reading, folding, the commit, evaluation, triage, publishing.
Before it, two hours of quiet telemetry are sent as fast as they go, for detectors do not judge a fleet that is young.
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
SYSTEMS: Final = 100
FLOWS: Final = 5
SPEED: Final = 20
MINUTE_MS: Final = 60_000
LATENESS_MS: Final = 5_000
WARM_MINUTES: Final = 120
WARM_EVENTS: Final = 1_000
"""Events in each minute of the quiet time."""

CATCH_UP_SECONDS: Final = 15.0
QUIET_SECONDS: Final = 15.0
INCIDENT_MINUTES: Final = 6
SLICES: Final = 30
"""Parts of a minute that are sent at once."""

TOPIC: Final = "agent.interactions"
START_MS: Final = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS - 6 * 3_600_000


class Load:
    """Sends a fleet's interactions minute by minute; in each minute from `WARM_MINUTES` on some systems turn bad."""

    def __init__(self, bootstrap: str, rate: float) -> None:
        self.closed: dict[int, float] = {}
        """When each tick, in minutes since 1970, was closed in every partition."""
        self.behind = 0.0
        """The most seconds that sending was late."""
        self._each = max(round(rate * 60 / SPEED / SLICES), 1)
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 2, "acks": "all"}
        )
        self._chance = random.Random(7)
        self._acknowledged: dict[int, int] = {}
        self._number = 0

    def run(self, minutes: int) -> None:
        """Send the quiet time, then `minutes` minutes of telemetry, at the given rate by the clock."""
        for minute in range(WARM_MINUTES):
            start_ms = START_MS + minute * MINUTE_MS
            for number in range(WARM_EVENTS):
                self._send(minute, start_ms + number * MINUTE_MS // WARM_EVENTS, number % PARTITIONS)
            self._producer.flush(30)
        time.sleep(CATCH_UP_SECONDS)
        began = time.monotonic() - WARM_MINUTES * 60 / SPEED
        for minute in range(WARM_MINUTES, WARM_MINUTES + minutes):
            for part in range(SLICES):
                due = began + (minute + part / SLICES) * 60 / SPEED
                now = time.monotonic()
                self.behind = max(self.behind, now - due)
                time.sleep(max(due - now, 0))
                self._slice(minute, START_MS + minute * MINUTE_MS + part * MINUTE_MS // SLICES)
        self._producer.flush(30)

    def _slice(self, minute: int, start_ms: int) -> None:
        width = MINUTE_MS // SLICES
        passed = start_ms % MINUTE_MS - LATENESS_MS
        if 0 <= passed < width:
            for partition in range(PARTITIONS):
                self._send(minute, start_ms, partition, closing=True)
        for number in range(self._each):
            self._send(minute, start_ms + number * width // self._each, self._number % PARTITIONS)
        self._producer.poll(0)

    def _send(self, minute: int, time_ms: int, partition: int, *, closing: bool = False) -> None:
        self._number += 1
        system = self._chance.randrange(SYSTEMS)
        value = json.dumps(_interaction(self._number, time_ms, system, _is_bad(system, minute))).encode()
        tick = time_ms // MINUTE_MS

        def acknowledged(error: Any, _message: Any) -> None:
            if error is not None:
                raise RuntimeError(f"an event was not stored: {error}")
            self._acknowledged[tick] = self._acknowledged.get(tick, 0) + 1
            if self._acknowledged[tick] == PARTITIONS:
                self.closed[tick] = time.time()

        callback = acknowledged if closing else None
        self._producer.produce(TOPIC, value, partition=partition, timestamp=time_ms, on_delivery=callback)


def _is_bad(system: int, minute: int) -> bool:
    start = WARM_MINUTES + system % 40
    return start <= minute < start + INCIDENT_MINUTES


def _interaction(number: int, time_ms: int, system: int, bad: bool) -> dict[str, Any]:
    more: dict[str, Any] = {"outcome": "resolved"}
    if bad:
        more = {"outcome": "escalated", "escalation": {"reason": "high_risk"}}
    return {
        "type": "interaction",
        "id": f"i-{number}",
        "time": rfc3339(time_ms),
        "environment": "production",
        "system": f"system-{system:03d}",
        "flow": f"flow-{number % FLOWS}",
        **more,
    }


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
        f'[redis]\nurl = "{at.redis}"\nnamespace = "latency"\n[engine]\nclock = "stream"\n'
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
    """Seconds from the close of a tick to each of its verdicts."""
    with tempfile.TemporaryDirectory(prefix="midwatch-latency-") as folder, _worker(at, Path(folder)):
        verdicts, load = Verdicts(at.kafka), Load(at.kafka, rate)
        try:
            load.run(minutes)
            verdicts.await_quiet()
        finally:
            verdicts.close()
    return {
        "rate": rate,
        "sending_late_seconds": round(load.behind, 3),
        "seconds": sorted(now - load.closed[tick] for tick, now in verdicts.seen if tick in load.closed),
    }
