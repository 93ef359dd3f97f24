"""Kafka and Redis as the compose file configures them, started natively: they take it, and the doctor is content."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from stream.cli import app
from stream.doctor import examine_redis, worst
from stream.embedded import free_port
from stream.settings import load_settings
from tests.support.real import unavailable
from tests.support.real_kafka import KafkaNode, RealKafkaCluster, external_kafka, new_cluster

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))[
    "services"
]


class ComposeNode(KafkaNode):
    """A broker with the compose file's properties; only addresses and the data directory are this machine's."""

    def _properties(self, voters: str, nodes: int) -> list[str]:
        given = SERVICES["kafka"]["environment"]
        named = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): value
            for name, value in given.items()
            if name.startswith("KAFKA_")
        }
        outside = f"127.0.0.1:{self.port}"
        named["controller.quorum.voters"] = voters
        named["listeners"] = (
            f"INTERNAL://127.0.0.1:{free_port()},EXTERNAL://{outside},CONTROLLER://127.0.0.1:{self.controller_port}"
        )
        inside = named["listeners"].split(",")[0]
        named["advertised.listeners"] = f"{inside},EXTERNAL://{outside}"
        named["log.dirs"] = str(self.directory / "data")
        return [f"{name}={value}" for name, value in named.items()]


@pytest.fixture(scope="module")
def compose_kafka() -> Iterator[RealKafkaCluster]:
    """A real Kafka with the compose file's properties."""
    if external_kafka() is not None:
        pytest.skip("MIDWATCH_KAFKA names a Kafka that has its own properties")
    cluster = new_cluster()
    cluster.nodes = [ComposeNode(1, cluster.nodes[0].directory)]
    with cluster:
        yield cluster


@pytest.mark.kafka
def test_kafka_takes_the_properties(compose_kafka: RealKafkaCluster) -> None:
    """The broker starts with them, makes Midwatch's topics by the container's command, and makes no others."""
    environ = {"MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": compose_kafka.bootstrap}
    result = CliRunner().invoke(app, [*SERVICES["topics"]["command"], "--json"], env=environ)
    assert result.exit_code == 0, result.output
    assert {topic["status"] for topic in json.loads(result.stdout)["topics"]} == {"created"}
    result = CliRunner().invoke(app, ["verdicts"], env=environ)
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.redis
def test_redis_takes_the_flags() -> None:
    """redis-server starts with them, and the doctor finds nothing to warn of."""
    program = shutil.which("redis-server")
    if program is None:
        unavailable("no redis-server: install it")
    command: list[str] = SERVICES["redis"]["command"]
    assert command[0] == "redis-server"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="midwatch-compose-redis-") as directory:
        own = ["--bind", "127.0.0.1", "--port", str(port), "--dir", directory]
        process = subprocess.Popen([program, *command[1:], *own], stdout=subprocess.PIPE, text=True)
        try:
            _await_ready(process)
            settings = load_settings(None, {"MIDWATCH_REDIS__URL": f"redis://127.0.0.1:{port}"})
            lines = asyncio.run(examine_redis(settings, lambda: time.time_ns() // 1_000_000))
        finally:
            process.terminate()
            process.communicate(timeout=10)
    assert worst(lines) == "ok", lines


def _await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if "Ready to accept connections" in line:
            return
    raise AssertionError("redis-server ended before it was ready")
