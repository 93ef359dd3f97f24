"""`midwatch triage` at the command line: text, JSON, and what it says when it cannot answer."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from stream.cli import app
from stream.core.ticks import MINUTE_MS, rfc3339
from tests.integration import traffic
from tests.support.shards import open_shards, shard_settings

ASKED = ["triage", "--environment", "production", "--system", "refunds"]


@pytest.fixture(scope="module")
def environ(embedded_redis: Any) -> Iterator[dict[str, str]]:
    """The variables of an engine that has seen four hours of traffic, a spike at their end."""
    namespace = f"cli-{uuid.uuid4().hex[:8]}"
    settings = shard_settings(embedded_redis.url, namespace)
    filled = open_shards(settings)
    with asyncio.Runner() as runner:
        shards = runner.run(filled.__aenter__())
        runner.run(shards.take([event for _, event in traffic.events()]))
        yield {
            "MIDWATCH_REDIS__URL": embedded_redis.url,
            "MIDWATCH_REDIS__NAMESPACE": namespace,
            "MIDWATCH_ENGINE__SHARDS": "2",
        }
        runner.run(filled.__aexit__(None, None, None))


def test_an_answer_to_read(environ: dict[str, str]) -> None:
    """The half hour, every check in the runbook's order and what to do, on standard output."""
    result = CliRunner().invoke(app, ASKED, env=environ)
    assert result.exit_code == 0, result.output
    head, summary, *rest = result.stdout.splitlines()
    assert head.endswith("asked  production/refunds")
    assert "interactions escalated" in summary
    checks = ["authorization_denials", "circuit_breaker_state", "eval_score_trend", "recent_deployments"]
    found = [check for line in rest for check in checks if line[5:].startswith(check)]
    assert found == checks
    assert rest[-1].startswith("  do: ")


def test_an_answer_for_programs(environ: dict[str, str]) -> None:
    """`--json` prints one object, as of the time that was asked for."""
    at = rfc3339((traffic.START_MINUTE + traffic.SPIKE_AT) * MINUTE_MS)
    result = CliRunner().invoke(app, [*ASKED, "--flow", "refunds-flow", "--at", at, "--json"], env=environ)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["as_of"] == at
    assert said["scope"] == {"environment": "production", "system": "refunds", "flow": "refunds-flow"}
    assert said["window"]["interactions"] == 30 * traffic.PER_MINUTE
    assert said["triage_result"] == "inconclusive"
    assert len(said["findings"]) == 4


def test_an_unknown_system_at_the_command_line(environ: dict[str, str]) -> None:
    """The known systems are listed on standard error, exit code 1."""
    result = CliRunner().invoke(app, ["triage", "--environment", "prod", "--system", "refunds"], env=environ)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "production/claims, production/orders, production/refunds" in result.stderr


@pytest.mark.parametrize("at", ["yesterday", "2026-03-01T02:15", "02:15Z"])
def test_a_time_that_is_none(at: str) -> None:
    """A time without its offset could mean two moments; it is refused with an example, exit code 2."""
    result = CliRunner().invoke(app, [*ASKED, "--at", at])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "2026-03-01T02:15Z" in result.stderr


def test_no_redis() -> None:
    """Without Redis the command says so; exit code 1, no traceback."""
    result = CliRunner().invoke(app, ASKED, env={"MIDWATCH_REDIS__URL": "redis://127.0.0.1:1"})
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.output
