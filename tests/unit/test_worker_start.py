"""A worker that cannot start yet tries again for a moment; one that cannot start at all says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from stream import worker as module
from stream.clock import EngineClock
from stream.settings import load_settings
from stream.store import Store
from stream.worker import START_PAUSES, TopicsMissing, Worker


class Starts:
    """A worker whose starts end as a test says, one after the other; after that they succeed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> None:
        monkeypatch.setattr(module, "START_PAUSES", (0.0,) * len(START_PAUSES))
        self.worker = Worker(load_settings(None, {}))
        self.errors = list(errors)
        self.tries = 0
        self.on_try: Callable[[], None] = lambda: None
        monkeypatch.setattr(self.worker, "_run", self._run)

    async def _run(self, _stop: asyncio.Event) -> None:
        self.tries += 1
        self.on_try()
        if self.errors:
            raise self.errors.pop(0)


async def test_a_lost_connection_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever server it was to."""
    starts = Starts(monkeypatch, RedisConnectionError("reset"), KafkaConnectionError("closed"), OSError("refused"))
    await starts.worker.run(asyncio.Event())
    assert starts.tries == 4


async def test_a_server_that_stays_away_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last error is what is said."""
    starts = Starts(monkeypatch, *[RedisConnectionError(f"away {number}") for number in range(9)])
    with pytest.raises(RedisConnectionError, match=f"away {len(START_PAUSES)}"):
        await starts.worker.run(asyncio.Event())


@pytest.mark.parametrize("error", [AuthenticationError("wrong password"), TopicsMissing("topics are missing")])
async def test_what_does_not_pass_is_said_at_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A wrong password is a connection error for the client, and none for us."""
    starts = Starts(monkeypatch, error)
    with pytest.raises(type(error)):
        await starts.worker.run(asyncio.Event())
    assert starts.tries == 1


async def test_what_happens_after_the_start_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that ran and failed is for its supervisor: its parts are not begun twice."""
    starts = Starts(monkeypatch, OSError("the port is taken"))
    starts.on_try = lambda: setattr(starts.worker, "_started", True)
    with pytest.raises(OSError, match="port"):
        await starts.worker.run(asyncio.Event())
    assert starts.tries == 1


async def test_a_stop_ends_the_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to end between two of them, it ends in order."""
    starts, stop = Starts(monkeypatch, *[OSError("away")] * 9), asyncio.Event()
    starts.on_try = stop.set
    await starts.worker.run(stop)
    assert starts.tries == 1


async def test_reading_wakes_evaluation_and_gives_way_to_it() -> None:
    """The two halves of a worker know each other: a tick that may pass is looked at, and reading is not in its way."""
    worker = Worker(load_settings(None, {}))
    store = Store(Redis(), "midwatch", worker.settings.engine.shards)
    producer: Any = object()
    reading, evaluating = worker._parts(store, producer, EngineClock(store.redis.time))
    reading.noticed()
    assert evaluating._woken.is_set()
    assert reading.ingest._give_way == evaluating._loop_share.give_way
    await reading.stop()
