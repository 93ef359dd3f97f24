"""All deliveries of one process share what they share: one producer for what is given up, started once."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Self

import pytest
from aiokafka.errors import KafkaConnectionError

from stream.settings import load_settings
from stream.sinks import process
from stream.sinks.process import Sinks
from tests.support.sinks import minimal


class FakeProducer:
    """Takes a moment to start, as a real one does; fails as often as it is told to."""

    made: ClassVar[list[Self]] = []
    failures: ClassVar[int] = 0

    def __init__(self, **_options: Any) -> None:
        self.closed = False
        type(self).made.append(self)

    async def start(self) -> None:
        await asyncio.sleep(0)
        if type(self).failures:
            type(self).failures -= 1
            raise KafkaConnectionError("nobody answers")

    async def stop(self) -> None:
        self.closed = True


@pytest.fixture
def sinks(monkeypatch: pytest.MonkeyPatch) -> Sinks:
    FakeProducer.made, FakeProducer.failures = [], 0
    monkeypatch.setattr(process, "AIOKafkaProducer", FakeProducer)
    return Sinks(load_settings(None, minimal_settings()))


def minimal_settings() -> dict[str, str]:
    return {f"MIDWATCH_SINKS__HOOK__{key}": value for key, value in minimal("webhook").items()}


async def test_sinks_that_give_up_together_share_a_producer(sinks: Sinks) -> None:
    """A second one would be forgotten, with its connections, for as long as the process lives."""
    found = await asyncio.gather(*(sinks._started_producer() for _ in range(3)))
    assert len(FakeProducer.made) == 1
    assert set(map(id, found)) == {id(FakeProducer.made[0])}
    await sinks.close()
    assert FakeProducer.made[0].closed


async def test_a_producer_that_cannot_start_is_let_go(sinks: Sinks) -> None:
    """It is closed, and the next one that gives up tries another."""
    FakeProducer.failures = 1
    with pytest.raises(KafkaConnectionError):
        await sinks._started_producer()
    assert FakeProducer.made[0].closed
    assert await sinks._started_producer() is FakeProducer.made[1]
