"""Starting: what keeps the engine from it is said in a sentence, with what to do."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis
from stream.settings_clients import redis_client
from stream.store import Birth, Store
from tests.support.engine import make_topics, settings_from, write_config


async def outcome(config: Path) -> tuple[int | None, str]:
    """The exit code of `midwatch run` and all that it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream.cli", "run", "--config", str(config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode()


async def test_a_missing_topic_is_named(embedded_redis: EmbeddedRedis, tmp_path: Path) -> None:
    """Nothing is started over topics that are not there: what would be said to them would be lost."""
    with EmbeddedKafkaProcess() as broker:
        code, said = await outcome(write_config(tmp_path, broker.bootstrap, embedded_redis.url))
    assert code == 1
    assert "midwatch.verdicts" in said
    assert "midwatch topics create" in said
    assert "Traceback" not in said


async def test_other_shards_in_redis_are_refused(embedded_redis: EmbeddedRedis, tmp_path: Path) -> None:
    """A changed number of shards would scatter the windows: the engine says so and touches nothing."""
    with EmbeddedKafkaProcess() as broker:
        config = write_config(tmp_path, broker.bootstrap, embedded_redis.url)
        settings = settings_from(config)
        await make_topics(settings)
        client = redis_client(settings.redis)
        await Store(client, settings.redis.namespace, settings.engine.shards + 1).birth(0, Birth())
        await client.aclose()
        code, said = await outcome(config)
    assert code == 1
    assert "engine.shards" in said
    assert "Traceback" not in said


async def test_a_redis_that_is_away_is_named(tmp_path: Path) -> None:
    """The first connections decide: a wrong address is an error of the configuration, not a reason to wait for long."""
    with EmbeddedKafkaProcess() as broker:
        config = write_config(tmp_path, broker.bootstrap, "redis://127.0.0.1:1/0")
        await make_topics(settings_from(config))
        code, said = await outcome(config)
    assert code == 1
    assert "127.0.0.1:1" in said
    assert "Traceback" not in said


async def test_a_taken_port_is_said_at_once(embedded_redis: EmbeddedRedis, tmp_path: Path) -> None:
    """The worker has started by then: it is not begun again, as after a connection that was lost before."""
    with EmbeddedKafkaProcess() as broker, socket.create_server(("127.0.0.1", 0)) as taken:
        config = write_config(tmp_path, broker.bootstrap, embedded_redis.url)
        await make_topics(settings_from(config))
        port = taken.getsockname()[1]
        config.write_text(config.read_text().replace("[http]\nport = 0", f"[http]\nport = {port}"))
        code, said = await outcome(config)
    assert code == 1
    assert str(port) in said
    assert "start_waits" not in said
