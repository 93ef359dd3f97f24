"""Midwatch workers as processes of their own, each supervised as in production: who dies is started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.chaos.traffic import MAX_RECORD_BYTES, PARTITIONS, TOPICS
from stream.embedded.guard import Guard
from stream.settings import Settings, load_settings

SHARDS: Final = 8
LATENESS_SECONDS: Final = 30.0
IDLE_GRACE_SECONDS: Final = 60.0
"""Three slices: what an idle partition lets pass is never ahead of what another has yet to read."""

RESTART_SECONDS: Final = 0.5
STOP_SECONDS: Final = 30.0

_CLOCK: Final = '''\
"""Put before a worker's own code: its wall clock is off by the milliseconds that a file holds, from one moment on."""
import os, threading, time

_path, _off, _real_ns, _real = os.environ["CHAOS_CLOCK"], [0], time.time_ns, time.time
time.time_ns = lambda: _real_ns() + _off[0] * 1_000_000
time.time = lambda: _real() + _off[0] / 1000


def _watch():
    while True:
        try:
            with open(_path) as file:
                _off[0] = int(file.read() or 0)
        except (OSError, ValueError):
            pass
        time.sleep(0.2)


threading.Thread(target=_watch, daemon=True).start()
'''


@dataclass(frozen=True, slots=True)
class Exit:
    """A worker that ended without being told to: when (epoch seconds), with which code, and its last words."""

    worker: int
    at: float
    code: int
    words: str


def config_text(bootstrap: str, redis_port: int, engine: Sequence[str] = ()) -> str:
    """A worker's configuration. Leases, time-outs and sessions are the defaults; event time is the telemetry's own."""
    topics = ", ".join(f'"{topic}"' for topic in TOPICS)
    return "\n".join(
        [
            "[kafka]",
            f'bootstrap_servers = "{bootstrap}"',
            f"partitions = {PARTITIONS}",
            f"input_topics = [{topics}]",
            "[redis]",
            f'url = "redis://127.0.0.1:{redis_port}/0"',
            "[engine]",
            'clock = "stream"',
            f"shards = {SHARDS}",
            f"lateness_seconds = {LATENESS_SECONDS}",
            f"idle_grace_seconds = {IDLE_GRACE_SECONDS}",
            *engine,
            "[limits]",
            f"max_record_bytes = {MAX_RECORD_BYTES}",
            "[http]",
            "port = 0",
            "[dashboard]",
            "enabled = false",
        ]
    )


def settings_from(path: Path) -> Settings:
    """The settings in a file."""
    return load_settings(path, {})


class Worker:
    """One worker, its configuration and its log in `folder`."""

    def __init__(self, index: int, folder: Path, config: str) -> None:
        self.index = index
        self.config = folder / f"worker-{index}.toml"
        self.config.write_text(config, encoding="utf-8")
        self.log = folder / f"worker-{index}.log"
        self.exits: list[Exit] = []
        self.pids: list[int] = []
        self.starts = 0
        self._clock = folder / f"clock-{index}"
        self._tools = folder / "tools"
        self._tools.mkdir(exist_ok=True)
        (self._tools / "sitecustomize.py").write_text(_CLOCK)
        self._process: asyncio.subprocess.Process | None = None
        self._guard: Guard | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._expected = False
        self._stopping = False

    @property
    def pid(self) -> int:
        """The process that runs now, or ran last."""
        return self.pids[-1]

    async def start(self) -> None:
        """Start it, and start it again whenever it ends, until `stop`."""
        self._stopping = False
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"worker-{self.index}")

    async def stop(self) -> None:
        """End it in an orderly way."""
        self._stopping = self._expected = True
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if self._keeper is not None:
            try:
                await asyncio.wait_for(self._keeper, STOP_SECONDS)
            except TimeoutError:
                self.send(signal.SIGKILL)

    def send(self, number: signal.Signals, *, deadly: bool = False) -> None:
        """A signal to the process; `deadly` if its end is then expected."""
        if self._process is not None and self._process.returncode is None:
            self._expected |= deadly
            self._process.send_signal(number)

    def set_clock(self, off_ms: int) -> None:
        """Make its wall clock wrong by so much, within half a second; also after a restart."""
        self._clock.write_text(str(off_ms))

    async def _spawn(self) -> None:
        self._expected = False
        environment = {
            **os.environ,
            "PYTHONPATH": f"{self._tools}:{Path(__file__).parents[2]}",
            "CHAOS_CLOCK": str(self._clock),
        }
        with self.log.open("ab") as sink:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "stream.cli", "run", "--config", str(self.config),
                stdout=sink, stderr=sink, env=environment,
            )  # fmt: skip
        self._guard = Guard(self._process.pid)
        self.pids.append(self._process.pid)
        self.starts += 1

    async def _keep(self) -> None:
        while True:
            assert self._process is not None  # noqa: S101  # spawned before it is kept
            code = await self._process.wait()
            if self._guard is not None:
                await asyncio.to_thread(self._guard.release)
            if self._stopping:
                return
            if not self._expected:
                self.exits.append(Exit(self.index, time.time(), code, last_words(self.log)))
                await asyncio.sleep(RESTART_SECONDS)
            await self._spawn()


def last_words(log: Path, lines: int = 3) -> str:
    """The end of a log."""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - 4000, 0))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
