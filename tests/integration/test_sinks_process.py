"""The deliveries beside an engine: started with it, started again when they die, gone with it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis
from tests.support.destinations import destination
from tests.support.engine import engine, make_topics, settings_from, write_config
from tests.support.sinks import SECRET

pytestmark = pytest.mark.timeout(180)


def started(folder: Path) -> list[int]:
    """Process ids of the deliveries that were started, by the engine's log."""
    lines = [line for log in folder.glob("*.log") for line in log.read_text().splitlines() if "sinks_started" in line]
    return [json.loads(line)["pid"] for line in lines]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_deliveries_live_and_die_with_the_engine(embedded_redis: EmbeddedRedis, tmp_path: Path) -> None:
    """Killed deliveries are started again and the engine goes on; a killed engine leaves none behind."""
    (tmp_path / "secret").write_text(SECRET)
    async with destination("hook") as server:
        with EmbeddedKafkaProcess() as broker:
            config = write_config(tmp_path, broker.bootstrap, embedded_redis.url)
            with config.open("a") as more:
                more.write(
                    '\n[delivery]\nhttp_port = 0\n[sinks.hook]\nkind = "webhook"\n'
                    f'url = "{server.url}"\nallow_private = true\nsecret_file = "{tmp_path / "secret"}"\n'
                )
            await make_topics(settings_from(config))
            async with engine(config) as process:
                await until(lambda: len(started(tmp_path)) == 1)
                os.kill(started(tmp_path)[0], signal.SIGKILL)
                await until(lambda: len(started(tmp_path)) == 2)
                assert process.returncode is None
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), 30) == 0
                assert not alive(started(tmp_path)[1])
            async with engine(config) as process:
                await until(lambda: len(started(tmp_path)) == 3)
                process.send_signal(signal.SIGKILL)
                await process.wait()
                await until(lambda: not alive(started(tmp_path)[2]))
