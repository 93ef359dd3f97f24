"""The engine of the demonstration: its configuration, and its process."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from evaluation.scripted import SCRIPTED_MODEL
from stream.embedded.guard import Guard

LATENESS_SECONDS = 5
PARTITIONS = 4
JUDGED_AT_ONCE = 16
STOP_SECONDS = 10.0
LOG_LINES = 30
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
PACKAGE_ROOT = str(Path(__file__).resolve().parents[1])


class EngineError(RuntimeError):
    """The engine ended, or did not get on; the message holds the end of its log."""


def write_config(path: Path, bootstrap: str, redis_url: str, http_port: int, judge_url: str) -> None:
    """The configuration of the demonstration: event time is the clock, and silence in real time means nothing.

    What is sampled is judged at `judge_url`. Most rates of the live phase are above the shipped ones, since its
    incidents are short; the lowest is not, so that the fair sample, which detectors see, has the same rate throughout.
    """
    path.write_text(
        f"""\
[kafka]
bootstrap_servers = "{bootstrap}"
partitions = {PARTITIONS}

[redis]
url = "{redis_url}"

[engine]
clock = "stream"
shards = 2
lateness_seconds = {LATENESS_SECONDS}
idle_grace_seconds = 0.5

[judge]
base_url = "{judge_url}"
model = "{SCRIPTED_MODEL}"
concurrency = {JUDGED_AT_ONCE}

[sampling]
resolved_rate = 0.15
escalated_rate = 0.5
denied_rate = 0.5
failed_rate = 0.3
tokens_per_day = 16_000_000
concurrency = {JUDGED_AT_ONCE}

[budgets.fleet]
amount_usd = 30_000

[budgets.refunds]
amount_usd = 4_000
system = "refunds"

[http]
port = {http_port}

[dashboard]
enabled = false
port = 0

[log]
format = "console"
""",
        encoding="utf-8",
    )


@dataclass(slots=True)
class EngineProcess:
    """A running `midwatch run` with its log."""

    process: asyncio.subprocess.Process
    log: Path

    def failure(self, what: str) -> EngineError:
        """An error that says `what`, with the end of the log."""
        text = _COLOURS.sub("", self.log.read_text(encoding="utf-8", errors="replace"))
        lines = text.splitlines()[-LOG_LINES:]
        return EngineError("\n".join([what, "The end of the engine's log:", *(lines or ["(empty)"])]))

    async def watch(self) -> None:
        """Return never; raise EngineError when the process ends."""
        code = await self.process.wait()
        raise self.failure(f"The engine ended by itself with exit code {code}.")


@asynccontextmanager
async def engine_process(config: Path, log: Path) -> AsyncIterator[EngineProcess]:
    """`midwatch run` in a process of its own, ended by its own id with this context, or with this process."""
    path = os.pathsep.join(filter(None, [PACKAGE_ROOT, os.environ.get("PYTHONPATH", "")]))
    # Settings in our own environment are meant for another engine.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MIDWATCH_")}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stream.cli", "run", "--config", str(config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**environment, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for us; we then end the engine before its broker.
        )
    guard = Guard(process.pid)
    try:
        yield EngineProcess(process, log)
    finally:
        await stop_process(process)
        guard.release()


async def stop_process(process: asyncio.subprocess.Process) -> None:
    """End a process, by force if it does not end by itself."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
