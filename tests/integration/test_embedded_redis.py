"""The embedded Redis: it keeps what it was told, stays on loopback, and behaves as a real Redis 7.0 does."""

import asyncio
import hashlib
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ResponseError

from stream.embedded import EmbeddedRedis, free_port
from stream.embedded import redis as embedded
from tests.support.real_redis import new_redis

ALL_BYTES = bytes(range(256))


def _connect(url: str) -> Redis:
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0))


@pytest.fixture
async def client(redis_server: Any) -> AsyncIterator[Redis]:
    """A client of the server under test, without retries."""
    async with _connect(redis_server.url) as client:
        yield client


@pytest.fixture
def key() -> str:
    """A key that no other test has."""
    return f"test:{{{uuid.uuid4().hex}}}"


@pytest.mark.parametrize("make", [EmbeddedRedis, pytest.param(new_redis, marks=pytest.mark.redis)])
async def test_what_was_acknowledged_survives_sigkill(make: Any) -> None:
    """After kill -9 and restart every acknowledged write is there: strings, lists, hashes and what scripts wrote."""
    with make() as server:
        async with _connect(server.url) as client:
            await client.set("s", ALL_BYTES)
            await client.rpush("l", b"a", ALL_BYTES)
            await client.eval("redis.call('HSET', KEYS[1], 'f', ARGV[1])", 1, "h", ALL_BYTES)
            for n in range(200):
                await client.incrby("n", n)
        server.kill()
        server.start()
        async with _connect(server.url) as client:
            assert await client.get("s") == ALL_BYTES
            assert await client.lrange("l", 0, -1) == [b"a", ALL_BYTES]
            assert await client.hget("h", "f") == ALL_BYTES
            assert await client.get("n") == str(sum(range(200))).encode()


async def test_data_outlive_an_orderly_stop(tmp_path: Path) -> None:
    """Another object on the same directory, as after a restart of the engine, finds the data."""
    with EmbeddedRedis(tmp_path) as server:
        async with _connect(server.url) as client:
            await client.set("k", "v")
    with EmbeddedRedis(tmp_path) as server:
        async with _connect(server.url) as client:
            assert await client.get("k") == b"v"


async def test_it_never_evicts(embedded_redis: EmbeddedRedis) -> None:
    """State is not a cache: a full server refuses to write instead of forgetting."""
    async with _connect(embedded_redis.url) as client:
        assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        assert (await client.config_get("appendonly"))["appendonly"] == "yes"


def _addresses_of_this_machine() -> list[str]:
    """IPv4 addresses beyond loopback: the one that a route outward would use, if there is any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # Nothing is sent: connecting UDP only chooses an address.
        except OSError:
            return []
        return [probe.getsockname()[0]]


@pytest.mark.parametrize("server", ["embedded_kafka", "embedded_redis"])
def test_servers_listen_on_loopback_only(request: pytest.FixtureRequest, server: str) -> None:
    """The port answers on 127.0.0.1 and nowhere else."""
    running = request.getfixturevalue(server)
    port = running.port if server == "embedded_redis" else int(running.bootstrap.split(":")[1])
    socket.create_connection(("127.0.0.1", port), timeout=2).close()
    for address in _addresses_of_this_machine():
        with pytest.raises(OSError, match=r"refused|timed out"):
            socket.create_connection((address, port), timeout=2).close()


def test_a_platform_without_a_server_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wheel has no server, the error names the way out."""
    monkeypatch.setattr(embedded, "ValkeyServer", None)
    with pytest.raises(RuntimeError, match=r"install redis-server.*MIDWATCH_REDIS"):
        EmbeddedRedis().start()


def test_a_taken_port_is_an_error() -> None:
    """It says which address could not be had."""
    with EmbeddedRedis() as server, pytest.raises(RuntimeError, match=str(server.port)):
        EmbeddedRedis(port=server.port).start()


def test_a_free_port_can_be_bound() -> None:
    """Nobody else listens there."""
    with socket.create_server(("127.0.0.1", free_port())):
        pass


ECHO = "return {KEYS[1], ARGV[1], #ARGV[1]}"


async def test_scripts_take_binary_arguments_by_hash(client: Redis, key: str) -> None:
    """EVALSHA passes every byte through, and says NOSCRIPT for a script that is not loaded."""
    sha = await client.script_load(ECHO)
    assert sha == hashlib.sha1(ECHO.encode(), usedforsecurity=False).hexdigest()
    assert await client.evalsha(sha, 1, key, ALL_BYTES) == [key.encode(), ALL_BYTES, 256]
    with pytest.raises(NoScriptError):
        await client.evalsha("0" * 40, 0)


async def test_lists_are_binary_safe(client: Redis, key: str) -> None:
    """RPUSH and LRANGE, from the client and from a script, keep every byte and the order."""
    values = [bytes([n]) * 3 for n in range(256)]
    assert await client.rpush(key, *values[:128]) == 128
    script = (
        "for _, v in ipairs(ARGV) do redis.call('RPUSH', KEYS[1], v) end return redis.call('LRANGE', KEYS[1], 0, -1)"
    )
    assert await client.eval(script, 1, key, *values[128:]) == values
    assert await client.lrange(key, -2, -1) == values[-2:]


PACKERS = """
local struct_back = {struct.unpack('>I8i4d', struct.pack('>I8i4d', 281474976710656, -5, 0.1))}
local msg_back = cmsgpack.unpack(cmsgpack.pack({a = {1, 2, 3}, b = ARGV[1]}))
local json_back = cjson.decode(cjson.encode({n = 1.5, s = 'x', l = {1, 2}}))
return {
  struct.pack('>I8', 281474976710656), tostring(struct_back[1]), struct_back[2], string.format('%.17g', struct_back[3]),
  cmsgpack.pack({1, 'two', false}), msg_back.b, #msg_back.a,
  cjson.encode({1, 'two', false}), string.format('%.17g', json_back.n), json_back.s, #json_back.l,
}
"""


async def test_lua_libraries_agree(client: Redis) -> None:
    """struct, cmsgpack and cjson give the same bytes on both servers, and take their own back."""
    assert await client.eval(PACKERS, 0, ALL_BYTES) == [
        (2**48).to_bytes(8, "big"),
        b"2.8147497671066e+14",
        -5,
        b"0.10000000000000001",
        b"\x93\x01\xa3two\xc2",
        ALL_BYTES,
        3,
        b'[1,"two",false]',
        b"1.5",
        b"x",
        2,
    ]


async def test_numbers_of_a_script_come_back_as_integers(client: Redis, key: str) -> None:
    """A fraction is cut off, counts are exact up to 2**53, nil ends a list: a script returns strings for more."""
    assert await client.eval("return {3.99, -3.99, 9007199254740992, true, false, nil, 1}", 0) == [
        *(3, -3, 2**53, 1, None),
    ]
    await client.set(key, 2**62)
    assert await client.eval("return redis.call('INCRBY', KEYS[1], 1)", 1, key) == 2**62, "a Lua number is a double"
    assert await client.get(key) == str(2**62 + 1).encode()


async def test_a_failing_script_keeps_what_it_wrote_before(client: Redis, key: str) -> None:
    """There is no rollback: a script must check before it writes."""
    with pytest.raises(ResponseError):
        await client.eval("redis.call('SET', KEYS[1], '1') redis.call('LPUSH', KEYS[1], 'x')", 1, key)
    assert await client.get(key) == b"1"


async def test_commands_that_windows_use_agree(client: Redis, key: str) -> None:
    """Hash counters, expiry, sorted sets and conditional writes of Redis 7.0 give the same answers."""
    assert await client.hincrby(key, "f", 2**40) == 2**40
    assert await client.hset(key, mapping={"g": ALL_BYTES}) == 1
    assert await client.hmget(key, "f", "g", "h") == [str(2**40).encode(), ALL_BYTES, None]
    assert await client.pexpire(key, 100_000) is True
    assert await client.expire(key, 500_000, lt=True) is False
    assert 0 < await client.pttl(key) <= 100_000
    assert await client.zadd(f"{key}:z", {"a": 1, "b": 2}) == 2
    assert await client.zrangebyscore(f"{key}:z", "(1", "+inf") == [b"b"]
    assert await client.set(f"{key}:lease", "me", nx=True, px=100_000) is True
    assert await client.set(f"{key}:lease", "you", nx=True, px=100_000) is None


async def test_pipelines_and_transactions_agree(client: Redis, key: str) -> None:
    """MULTI answers in order, and concurrent increments are each counted once."""
    async with client.pipeline(transaction=True) as pipe:
        pipe.set(key, 1)
        pipe.incr(key)
        pipe.get(key)
        assert await pipe.execute() == [True, 2, b"2"]
    answers = await asyncio.gather(*[client.incr(key) for _ in range(20)])
    assert sorted(answers) == list(range(3, 23))
