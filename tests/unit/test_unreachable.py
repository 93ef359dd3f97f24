"""A server that does not answer: a sentence that says which, where and what to look at, never a client's internals."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import AuthenticationError, MovedError
from redis.exceptions import ConnectionError as RedisConnectionError
from typer.testing import CliRunner

from stream.cli import app
from stream.unreachable import unreachable

runner = CliRunner()


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens: bound a moment ago, and let go."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_without_a_kafka_a_command_says_so(closed_port: int) -> None:
    """Exit 1 and one line: the address, the settings to check, and the command that looks closer."""
    result = runner.invoke(
        app, ["topics", "create"], env={"MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{closed_port}"}
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"midwatch: no Kafka can be reached at 127.0.0.1:{closed_port}: check kafka.")
    assert result.stderr.endswith("`midwatch doctor` looks closer\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [["triage", "--environment", "production", "--system", "refunds"], ["costs", "compare", "--from-redis"]]
)
def test_without_a_redis_a_command_says_so(command: list[str], closed_port: int) -> None:
    """The same for Redis."""
    result = runner.invoke(app, command, env={"MIDWATCH_REDIS__URL": f"redis://127.0.0.1:{closed_port}/0"})
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"no Redis can be reached at 127.0.0.1:{closed_port}: check redis.url" in result.stderr


def test_the_doctor_says_it_in_the_same_words(closed_port: int, tmp_path: Path) -> None:
    """Both servers, each with its address and no Python in it."""
    config = tmp_path / "midwatch.toml"
    config.write_text(
        f'[kafka]\nbootstrap_servers = "127.0.0.1:{closed_port}"\n[redis]\nurl = "redis://127.0.0.1:{closed_port}/0"\n',
        encoding="utf-8",
    )
    result = runner.invoke(app, ["doctor", "--config", str(config)])
    assert result.exit_code == 1
    assert f"no Kafka can be reached at 127.0.0.1:{closed_port} -> check" in result.output
    assert f"redis://127.0.0.1:{closed_port}/0: it cannot be reached -> check" in result.output
    assert "Error" not in result.output


def test_several_brokers_are_all_named() -> None:
    """As in aiokafka's message, which lists addresses with their families."""
    text = "Unable to bootstrap from [('k1', 9092, <AddressFamily.AF_UNSPEC: 0>), ('::1', 9093, 10)]"
    found = unreachable(KafkaConnectionError(text))
    assert found is not None
    assert found[0] == "no Kafka can be reached at k1:9092, ::1:9093"


def test_a_redis_of_another_mode_is_named_with_the_key_to_set() -> None:
    """A node of a cluster behind mode single, and sentinels that know no such master."""
    moved, unknown = unreachable(MovedError("4096 10.0.0.7:6379")), unreachable(MasterNotFoundError("No master found"))
    assert moved is not None
    assert "redis.mode" in moved[1]
    assert unknown is not None
    assert "sentinel_master" in unknown[1]


@pytest.mark.parametrize(
    "error",
    [
        TopicAuthorizationFailedError("agent.usage"),
        KafkaConnectionError("Connection at k1:9092 closed"),
        AuthenticationError("Error 111 connecting to x:6379."),
        RedisConnectionError("Connection closed by server."),
        ConnectionError("Error 111 connecting to x:6379."),
        ValueError("bootstrap"),
    ],
)
def test_other_errors_keep_their_own_words(error: Exception) -> None:
    """What was reached and then failed is another matter: its words stay."""
    assert unreachable(error) is None
