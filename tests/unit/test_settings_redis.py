"""The three ways of running Redis: what each needs, and every reason at once why a configuration does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio.sentinel import Sentinel

from stream.redis_cluster import ClusterRedis
from stream.redis_urls import addresses, database
from stream.settings import Settings, SettingsError, load_settings
from stream.settings_clients import redis_client

SENTINEL = {"MODE": "sentinel", "SENTINEL_MASTER": "main"}


def settings(**keys: str) -> Settings:
    return load_settings(None, {f"MIDWATCH_REDIS__{name}": value for name, value in keys.items()})


def reasons(**keys: str) -> str:
    """What is said about section redis."""
    with pytest.raises(SettingsError) as refused:
        settings(**keys)
    (problem,) = refused.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis://a:1,b:2/0", [("a", 1), ("b", 2)]),
        ("redis://a, b:7000", [("a", 6379), ("b", 7000)]),
        ("rediss://[::1]:7000,[fe80::2]/0", [("::1", 7000), ("fe80::2", 6379)]),
    ],
)
def test_addresses_of_several_nodes(url: str, found: list[tuple[str, int]]) -> None:
    """Hosts with and without ports, IPv6 in brackets."""
    assert addresses(url) == found


@pytest.mark.parametrize("url", ["redis://a:x", "redis://a:0", "redis://a:65536", "redis://a,,b", "redis:///0"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """By name, so that it can be found in a long list."""
    with pytest.raises(ValueError, match="is not host:port"):
        addresses(url)


def test_the_database_is_a_number() -> None:
    """None is 0; what is no number is refused."""
    assert [database("redis://a"), database("redis://a/"), database("redis://a/3")] == [0, 0, 3]
    with pytest.raises(ValueError, match="not the number"):
        database("redis://a/three")


def test_every_reason_is_said_at_once() -> None:
    """A URL with four faults, a key of another mode, and certificates without TLS."""
    said = reasons(MODE="cluster", URL="redis://me@a:x,b/2?x=1", SENTINEL_MASTER="main", SSL_CAFILE="/ca.pem")
    for word in ("username", "'?'", "'a:x'", "other than 0", "sentinel_master", "rediss://"):
        assert word in said, word


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"URL": "redis://a:1,b:2"}, "mode is single"),
        ({"MODE": "cluster", "URL": "unix:///run/redis.sock"}, "mode cluster needs url"),
        ({"MODE": "sentinel", "URL": "redis://a"}, "needs sentinel_master"),
        ({"SENTINEL_PASSWORD": "s3cret"}, "sentinel_password set, but mode is single"),
        ({**SENTINEL, "URL": "redis://:s3cret@a:1,b:2"}, "holds a password"),
    ],
)
def test_what_does_not_fit_the_mode_is_refused(keys: dict[str, str], word: str) -> None:
    """Each with what to do; no secret is repeated."""
    said = reasons(**keys)
    assert word in said
    assert "s3cret" not in said


async def test_login_and_tls_reach_every_node_of_a_cluster() -> None:
    """Also those that are only heard of later: nodes are made of the client's own options."""
    keys = {"URL": "rediss://a:1,b:2", "USERNAME": "midwatch", "PASSWORD": "pw", "SSL_CAFILE": "/ca.pem"}
    client: Any = redis_client(settings(MODE="cluster", **keys).redis)
    assert isinstance(client, ClusterRedis)
    made = [*client.nodes_manager.startup_nodes.values()]
    assert sorted(node.name for node in made) == ["a:1", "b:2"]
    for options in [client.connection_kwargs, *(node.connection_kwargs for node in made)]:
        found = [options[name] for name in ("username", "password", "ssl_ca_certs", "ssl_check_hostname")]
        assert found == ["midwatch", "pw", "/ca.pem", True]
    assert client.retry.get_retries() == 0


async def test_sentinels_have_a_login_of_their_own() -> None:
    """The data's password is not told to them; TLS and the database count for both and for one."""
    keys = {"URL": "rediss://a,b:2/3", "PASSWORD": "data", "SENTINEL_PASSWORD": "watch", "SSL_CAFILE": "/ca.pem"}
    client: Any = redis_client(settings(**SENTINEL, **keys).redis)
    asked: Sentinel = client.asked
    own = [sentinel.connection_pool.connection_kwargs for sentinel in asked.sentinels]
    assert [(one["host"], one["port"], one["password"], one["ssl_ca_certs"]) for one in own] == [
        ("a", 26379, "watch", "/ca.pem"),
        ("b", 2, "watch", "/ca.pem"),
    ]
    data = client.connection_pool.connection_kwargs
    assert (data["password"], data["db"], data["ssl_ca_certs"]) == ("data", 3, "/ca.pem")
    await client.aclose()
