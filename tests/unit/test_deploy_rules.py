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


RULES: Final = ("midwatch", "judge", "page")


def allowed(rule: str = "midwatch") -> set[str]:
    """Commands of a rule, those with a subcommand by both words."""
    return set(re.findall(r"\+([a-z|]+)", (ROOT / f"deploy/redis/{rule}.acl").read_text(encoding="utf-8")))


def in_scripts() -> set[str]:
    return _in_lua("".join(path.read_text(encoding="utf-8") for path in SCRIPTS))


def _in_lua(text: str) -> set[str]:
    return {name.lower() for name in re.findall(r"redis\.p?call\(\s*['\"](\w+)", text)}


def in_code() -> set[str]:
    """What is called on a client or a pipeline, by the names that they have in the code."""
    return _called("".join(path.read_text(encoding="utf-8") for path in SOURCES))


def _called(text: str) -> set[str]:
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


DANGEROUS: Final = {"flushall", "flushdb", "keys", "scan", "config", "config|set", "acl", "debug", "shutdown"}


@pytest.mark.parametrize("rule", RULES)
def test_nothing_dangerous_is_allowed(rule: str) -> None:
    """No command empties, dumps, lists or reconfigures the server; and no rule was forgotten here."""
    assert not DANGEROUS & allowed(rule)
    assert {path.stem for path in (ROOT / "deploy/redis").glob("*.acl")} == set(RULES)


def test_the_judge_may_what_its_code_asks() -> None:
    """Each command of its modules and scripts."""
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES if path.is_relative_to(ROOT / "evaluation"))
    lua = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "evaluation/lua").glob("*.lua"))
    needed = _called(text) | _in_lua(lua)
    assert needed <= allowed("judge")
    assert {"hsetnx", "lpush"} <= needed


@pytest.mark.parametrize("rule", RULES)
def test_every_user_may_ask_where_a_cluster_keeps_what(rule: str) -> None:
    """Without it no client of a cluster finds a key."""
    assert "cluster|slots" in allowed(rule)
