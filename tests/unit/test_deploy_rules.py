"""The rules for Redis allow every command that is in the code: a new one is not first missed in production."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from redis.asyncio import Redis

from stream.redis_cluster import KEY_FIRST

ROOT: Final = Path(__file__).parents[2]
PARTS: Final = ("stream", "evaluation", "dashboard")
SOURCES: Final = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
SCRIPTS: Final = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.lua"))
NAMED: Final = {"delete": "del", "config_get": "config|get"}
"""Methods of the client that are called otherwise than their command."""

NOT_COMMANDS: Final = {"aclose", "close", "from_url", "execute", "execute_command", "get_encoder"}
KEYLESS: Final = {"ping", "info", "time", "config|get", "eval", "evalsha"}
"""Commands that go to any node of a cluster, or, scripts, to that of the key behind their text."""


def allowed() -> set[str]:
    """Commands of the rule, those with a subcommand by both words."""
    return set(re.findall(r"\+([a-z|]+)", (ROOT / "deploy/redis/midwatch.acl").read_text(encoding="utf-8")))


def in_scripts() -> set[str]:
    text = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    return {name.lower() for name in re.findall(r"redis\.p?call\(\s*['\"](\w+)", text)}


def in_code() -> set[str]:
    """What is called on a client or a pipeline, by the names that they have in the code."""
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    called = re.findall(r"\b(?:_?redis|pipe|pipeline|client)\.([a-z_]+)\(", text)
    known = {name for name in called if hasattr(Redis, name) and name not in NOT_COMMANDS}
    spelled = re.findall(r"\bexecute_command\(\s*\"([A-Z ]+)\"", text)
    return {NAMED.get(name, name) for name in known} | {name.lower().replace(" ", "|") for name in spelled}


@pytest.mark.parametrize("name", sorted(in_scripts() | in_code()))
def test_the_rule_allows_what_the_code_asks(name: str) -> None:
    """Every command of a script, and every one that Python sends."""
    assert name in allowed()


def test_the_search_finds_commands() -> None:
    """It knows some of each kind, or the test above would hold for nothing."""
    assert {"hset", "hincrby", "pexpire"} <= in_scripts()
    assert {"mget", "hvals", "zrem", "del", "evalsha", "cluster|info"} <= in_code()


@pytest.mark.parametrize("name", sorted(in_code()))
def test_a_cluster_knows_where_each_command_goes(name: str) -> None:
    """One that is neither by its first key nor without any would go by redis-py's own loop, which repeats."""
    assert name.upper() in KEY_FIRST or name in KEYLESS or name.startswith("cluster|")


def test_nothing_dangerous_is_allowed() -> None:
    """No command empties, dumps, lists or reconfigures the server."""
    assert not {"flushall", "flushdb", "keys", "scan", "config", "config|set", "acl", "debug", "shutdown"} & allowed()
