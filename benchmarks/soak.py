"""Whether the engine's memory stays where it is at full load, how fast it ends, and that nothing is lost by that.

`python -m benchmarks.soak [--minutes M] [--series 10x] [--history M] [--json]`. The worker first reads some hours of
the past, so that the two hours of minutes and exemplars that it keeps are full. Then it reads as fast as it can: a
producer keeps some ten thousand records waiting for it, stamped with the present. Resident memory is looked at every
five seconds; the slope is that of a straight line through what comes after the warm-up, in per cent of its mean in ten
minutes; if that is ten minutes or more, a slope above one per cent fails. At the end the worker gets SIGTERM amid the
load; then another one reads the rest, and the windows are counted. Kafka and Redis are embedded, or those of
`MIDWATCH_KAFKA` and `MIDWATCH_REDIS`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.soak_load import Load, counted, series_of
from benchmarks.throughput_servers import servers
from stream.embedded import free_port
from stream.settings import Settings, load_settings
from stream.topics import create_topics, plan_topics

SAMPLE_SECONDS: Final = 5.0
WARM_UP_SHARE: Final = 0.3
"""The share of the time that counts as warm-up: caches fill, the first hour's block is made."""

HISTORY_MINUTES: Final = 150
"""More than a worker keeps by the minute."""

MOST_WAITING: Final = 60_000
"""Records that wait for the worker, at the most: below, more are sent."""

MOST_SLOPE_PERCENT: Final = 1.0
JUDGED_MINUTES: Final = 10.0
"""What comes after the warm-up must last so long for its slope to be judged."""

PARTITIONS: Final = 4
BATCH: Final = 1500
STOP_SECONDS: Final = 10.0
"""Ending in order may take `engine.stop_seconds`, 5, and what a process takes to go."""

PATIENCE_SECONDS: Final = 600.0


@dataclass
class Found:
    """What was measured: (seconds, resident bytes, records read) from the start on, and what came of the end."""

    samples: list[tuple[float, int, float]] = field(default_factory=list)
    inbox_bytes: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    sent: int = 0
    counted: int = 0
    shutdown_seconds: float = 0.0
    waiting_at_the_end: int = 0
    exit_code: int | None = None


class Worker:
    """A worker process and its metrics."""

    def __init__(self, config: Path, port: int) -> None:
        self._config = config
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the worker is not started")
        return self._process

    async def start(self) -> None:
        """Start it; its log goes beside the configuration."""
        with self._config.with_suffix(".log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "stream.cli", "run", "--config", str(self._config), stdout=log, stderr=log
            )

    def check(self) -> None:
        """Fail with its last words if it has ended by itself."""
        if self._running.returncode is not None:
            words = self._config.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
            at = max(words.rfind("\nmidwatch: "), 0) or max(len(words) - 3000, 0)
            raise RuntimeError(f"the worker ended with code {self._running.returncode}: {words[at : at + 3000]}")

    def resident(self) -> int:
        """Bytes in memory."""
        for line in Path(f"/proc/{self._running.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the worker has no memory")

    def cpu_seconds(self) -> float:
        """Seconds of processor time so far, of all its threads."""
        fields = Path(f"/proc/{self._running.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def metric(self, session: aiohttp.ClientSession, name: str) -> float | None:
        """The sum of a metric over its labels; None while the worker does not answer."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(self._url, timeout=aiohttp.ClientTimeout(10)) as answer:
                lines = (await answer.text()).splitlines()
            found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
            return sum(found) if found else None
        return None

    async def stop(self) -> tuple[int, float]:
        """SIGTERM: the exit code, and how long it took."""
        began = time.monotonic()
        self._running.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._running.wait(), PATIENCE_SECONDS), time.monotonic() - began


def settings_at(folder: Path, kafka: str, redis: str, port: int) -> tuple[Path, Settings]:
    """A configuration as in production, but for the page."""
    path = folder / "midwatch.toml"
    path.write_text(
        f'[kafka]\nbootstrap_servers = "{kafka}"\npartitions = {PARTITIONS}\n'
        f'[redis]\nurl = "{redis}"\nnamespace = "soak-{os.getpid()}"\n'
        f"[http]\nport = {port}\n[dashboard]\nenabled = false\n",
        encoding="utf-8",
    )
    return path, load_settings(path, {})


async def make_topics(settings: Settings) -> None:
    """All topics that the engine wants."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await admin.start()
    try:
        await create_topics(admin, plan_topics(settings.kafka), 1)
    finally:
        await admin.close()


async def soak(minutes: float, series: int, history: int, kafka: str, redis: str, folder: Path) -> Found:
    """The whole run."""
    port, found = free_port(), Found()
    config, settings = settings_at(folder, kafka, redis, port)
    await make_topics(settings)
    worker, stop = Worker(config, port), asyncio.Event()
    load = Load(series)
    async with (
        aiohttp.ClientSession() as session,
        AIOKafkaProducer(
            bootstrap_servers=kafka, compression_type="lz4", max_batch_size=800_000
        ) as producer,
    ):
        await worker.start()
        await _send_history(producer, load, worker, session, found, history)
        await _until_read(worker, session)
        sending = asyncio.create_task(_send(producer, load, worker, session, found, stop))
        await _sample(worker, session, minutes * 60, found)
        found.waiting_at_the_end = int(await worker.metric(session, "midwatch_consumer_lag_records") or 0)
        found.exit_code, found.shutdown_seconds = await worker.stop()
        stop.set()
        await sending
        await worker.start()
        await _until_read(worker, session)
        await worker.stop()
    found.counted = await counted(settings)
    return found


async def _send_history(
    producer: AIOKafkaProducer, load: Load, worker: Worker, session: aiohttp.ClientSession, found: Found, minutes: int
) -> None:
    """Send the minutes before the present, and wait for the worker where it falls behind."""
    began = time.time_ns() // 60_000_000_000 - minutes
    for minute in range(began, began + minutes):
        while (await worker.metric(session, "midwatch_consumer_lag_records") or 0) > MOST_WAITING:
            worker.check()
            await asyncio.sleep(0.1)
        stored = []
        for number, batch in enumerate(batched(load.history(minute * 60_000), BATCH)):
            stored.append(await _send_batch(producer, batch, minute * 60_000, number % PARTITIONS))
            found.sent += len(batch)
        await asyncio.gather(*stored)


async def _send_batch(
    producer: AIOKafkaProducer, values: Iterable[bytes], time_ms: int, partition: int
) -> asyncio.Future[Any]:
    batch = producer.create_batch()
    for value in values:
        if batch.append(key=None, value=value, timestamp=time_ms) is None:
            raise RuntimeError("the batch is too small for its events")
    stored: asyncio.Future[Any] = await producer.send_batch(batch, "agent.interactions", partition=partition)
    return stored


async def _send(
    producer: AIOKafkaProducer, load: Load, worker: Worker, session: aiohttp.ClientSession, found: Found,
    stop: asyncio.Event,
) -> None:  # fmt: skip
    """Keep records waiting, until told to stop."""
    ahead, looked = 0, 0.0
    while not stop.is_set():
        if time.monotonic() - looked > 0.5:
            looked = time.monotonic()
            lag = await worker.metric(session, "midwatch_consumer_lag_records")
            ahead = int(lag) if lag is not None else ahead
        if ahead > MOST_WAITING:
            await asyncio.sleep(0.05)
            continue
        now = time.time_ns() // 1_000_000
        stored = []
        for partition in range(PARTITIONS):
            stored.append(await _send_batch(producer, load.events(BATCH, now), now, partition))
        await asyncio.gather(*stored)
        found.sent += PARTITIONS * BATCH
        ahead += PARTITIONS * BATCH


async def _sample(worker: Worker, session: aiohttp.ClientSession, seconds: float, found: Found) -> None:
    began = time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        worker.check()
        read = await worker.metric(session, "midwatch_records_read_total")
        if read is not None:
            found.samples.append((at, worker.resident(), read))
            found.cpu_seconds.append(worker.cpu_seconds())
            found.inbox_bytes.append(await worker.metric(session, "midwatch_inbox_bytes") or 0.0)
        if len(found.samples) % 12 == 1:
            print(f"{at:6.0f} s {worker.resident() / 2**20:8.1f} MiB, {found.sent:,} sent", file=sys.stderr, flush=True)
        await asyncio.sleep(SAMPLE_SECONDS)


async def _until_read(worker: Worker, session: aiohttp.ClientSession) -> None:
    """Wait until a fresh worker has nothing left to read."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        calm = 0
        while calm < 4:
            lag = await worker.metric(session, "midwatch_consumer_lag_records")
            calm = calm + 1 if lag == 0 else 0
            await asyncio.sleep(1)


def batched(values: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """The values, so many at a time."""
    while batch := list(islice(values, size)):
        yield batch


def slope(samples: Sequence[tuple[float, int, float]]) -> float:
    """Growth of the least-squares line, in per cent of the mean in ten minutes."""
    times, sizes = [at for at, _, _ in samples], [size for _, size, _ in samples]
    middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((at - middle) ** 2 for at in times)
    rise = sum((at - middle) * (size - mean) for at, size in zip(times, sizes, strict=True)) / spread
    return rise * 600 / mean * 100


def _per_cpu_second(found: Found) -> int | None:
    """Of the worker as a whole: ingest, adding up, evaluation, checkpoints, metrics."""
    if len(found.cpu_seconds) < 2:
        return None
    return round((found.samples[-1][2] - found.samples[0][2]) / (found.cpu_seconds[-1] - found.cpu_seconds[0]))


def summary(found: Found, minutes: float, series: int) -> dict[str, Any]:
    """The figures."""
    settled = [one for one in found.samples if one[0] >= minutes * 60 * WARM_UP_SHARE]
    first, last = settled[0], settled[-1]
    return {
        "minutes": minutes,
        "series": series,
        "sent": found.sent,
        "events_per_second": round((last[2] - first[2]) / (last[0] - first[0])),
        "events_per_cpu_second": _per_cpu_second(found),
        "resident_mib_after_warm_up": round(first[1] / 2**20, 1),
        "resident_mib_at_the_end": round(last[1] / 2**20, 1),
        "slope_percent_per_10_minutes": round(slope(settled), 2),
        "inboxes_mib_at_the_most": round(max(found.inbox_bytes, default=0.0) / 2**20, 1),
        "records_waiting_at_the_end": found.waiting_at_the_end,
        "shutdown_seconds": round(found.shutdown_seconds, 2),
        "exit_code": found.exit_code,
        "counted_in_windows": found.counted,
        "lost": found.sent - found.counted,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="how long, 30 if not given")
    parser.add_argument("--series", type=series_of, default=10_000, help="flows: a number, or 10x for ten times 1,000")
    parser.add_argument("--history", type=int, default=HISTORY_MINUTES, help="minutes of the past to begin with")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    with servers(embedded=True) as at, tempfile.TemporaryDirectory(prefix="midwatch-soak-") as folder:
        found = asyncio.run(soak(chosen.minutes, chosen.series, chosen.history, at.kafka, at.redis, Path(folder)))
    figures = summary(found, chosen.minutes, chosen.series)
    if chosen.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' '):32}{value:>14,}" if isinstance(value, int | float) else f"{name}: {value}")
    failures = failures_of(figures)
    if failures:
        raise SystemExit("; ".join(failures))


def failures_of(figures: Mapping[str, Any]) -> list[str]:
    """What is not as it must be."""
    found = []
    if figures["lost"]:
        found.append(f"{figures['lost']} events were lost or counted twice")
    if figures["exit_code"] or figures["shutdown_seconds"] > STOP_SECONDS:
        found.append(f"the worker did not end in order within {STOP_SECONDS:g} s")
    slope_percent = figures["slope_percent_per_10_minutes"]
    if figures["minutes"] * (1 - WARM_UP_SHARE) >= JUDGED_MINUTES and slope_percent > MOST_SLOPE_PERCENT:
        found.append(f"memory grew by {slope_percent} % in ten minutes, and may by {MOST_SLOPE_PERCENT:g} %")
    return found


if __name__ == "__main__":
    main()
