"""A shard that is born of a snapshot too large for one script: all of it or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from stream import birth_pieces
from stream.core.layouts import LAYOUT
from stream.store import Birth, PartitionState, Store
from tests.unit.core.builders import START

_numbers = count()
P = "agent.interactions/0"
EMPTY = [LAYOUT, 2, 0, 0, b"", "in:", "hour:", 1, 0, 0, 0]
"""What `birth.lua` is told for a shard that begins empty."""


@pytest.fixture
async def store(redis_server: Any) -> AsyncIterator[Store]:
    """A store of two shards in a namespace of its own."""
    client = Redis.from_url(redis_server.url, retry=Retry(NoBackoff(), 0))
    yield Store(client, f"births-{next(_numbers)}", 2)
    await client.aclose()


async def everything(store: Store) -> dict[str, Any]:
    """Every key of the first shard, without what they all begin with, and its serialised value."""
    prefix = store.key(0, "")
    keys = [key.decode() async for key in store.redis.scan_iter(count=1000)]
    return {key.removeprefix(prefix): await store.redis.dump(key) for key in sorted(keys) if key.startswith(prefix)}


def large() -> Birth:
    """A snapshot that goes in nine pieces of 64 bytes or a little more."""
    hours = {(0, 10 + number): bytes([number]) * 40 for number in range(5)}
    inboxes = [(START + 1, b"1" * 30), (START + 1, b"2" * 30), (START + 9, b"9" * 90)]
    return Birth(START, START, b"s" * 150, hours, {P: PartitionState(7, 70)}, inboxes)


def cut_after(store: Store, monkeypatch: pytest.MonkeyPatch, sent: int) -> None:
    """Let the process die when it has sent so many scripts of a birth, the last of which Redis has taken in."""
    run, left = store.run, [sent]

    async def dying(name: str, keys: list[str], args: Any) -> Any:
        answer = await run(name, keys, args)
        if name in {"stage", "birth"}:
            left[0] -= 1
            if not left[0]:
                raise ConnectionError("killed")
        return answer

    monkeypatch.setattr(store, "run", dying)


async def test_a_large_snapshot_is_born_of_pieces_as_of_one_script(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key for key the same shard, with no trace of how it came."""
    assert await store.birth(0, large())
    whole = await everything(store)
    ttls = [await store.redis.ttl(store.key(0, key)) for key in whole]
    monkeypatch.setattr(birth_pieces, "PIECE_BYTES", 64)
    assert len(birth_pieces.pieces_of(large().state, large().hours or {}, large().inboxes)) == 9
    await store.redis.delete(*(store.key(0, key) for key in whole))
    assert await store.birth(0, large())
    assert await everything(store) == whole
    assert [await store.redis.ttl(store.key(0, key)) for key in whole] == pytest.approx(ttls, abs=5)


@pytest.mark.parametrize("sent", range(1, 10))
async def test_a_birth_that_is_cut_off_leaves_nothing_half_born(
    store: Store, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    """After any piece: no shard, only keys that expire and that nobody reads; the next birth is whole, of its own."""
    monkeypatch.setattr(birth_pieces, "PIECE_BYTES", 64)
    with monkeypatch.context() as patch:
        cut_after(store, patch, sent)
        with pytest.raises(ConnectionError):
            await store.birth(0, large())
    assert await store.meta(0) is None
    assert await store.parts(0) == {}
    assert await store.load(0) == (b"", {})
    left = await everything(store)
    assert all(key.startswith("birth:") for key in left)
    for key in left:
        assert 0 < await store.redis.ttl(store.key(0, key)) <= birth_pieces.STAGED_SECONDS
    other = Birth(START + 5, START + 5, b"other", {(0, 11): b"eleven"})
    assert await store.birth(0, other)
    assert {key for key in await everything(store) if not key.startswith("birth:")} == {"meta", "state", "hour:0:11"}


async def test_a_shard_that_was_born_amid_another_s_pieces_stays_as_it_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is slower adds nothing to it, whichever piece he was at."""
    monkeypatch.setattr(birth_pieces, "PIECE_BYTES", 64)
    for sent in range(1, 10):
        with monkeypatch.context() as patch:
            run, left = store.run, [sent]

            async def overtaken(name: str, keys: list[str], args: Any, run: Any = run, left: list[int] = left) -> Any:
                if not left[0]:
                    await run("birth", [*keys[:1], *(f"{keys[0]}{n}" for n in range(3)), "none:names"], EMPTY)
                left[0] -= 1
                return await run(name, keys, args)

            patch.setattr(store, "run", overtaken)
            assert not await store.birth(0, large())
        meta = await store.meta(0)
        assert meta is not None
        assert (meta.committed, await store.parts(0), await store.load(0)) == (0, {}, (b"", {}))
        await store.redis.delete(*(store.key(0, key) for key in await everything(store)))


async def test_a_birth_is_refused_when_pieces_are_gone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis lost, or let expire, what was sent: no shard is made of the rest, and the next attempt is whole."""
    monkeypatch.setattr(birth_pieces, "PIECE_BYTES", 64)
    run = store.run

    async def losing(name: str, keys: list[str], args: Any) -> Any:
        if name == "birth":
            await store.redis.delete(keys[4].removesuffix("names") + "hour:0:12")
        return await run(name, keys, args)

    with monkeypatch.context() as patch:
        patch.setattr(store, "run", losing)
        with pytest.raises(RedisError, match="no longer in Redis"):
            await store.birth(0, large())
    assert await store.meta(0) is None
    assert await store.birth(0, large())
    assert await store.redis.get(store.key(0, "state")) == large().state
