"""Tasks that are cancelled end, though a cancellation may get lost on its way."""

from __future__ import annotations

import asyncio

import pytest

from stream import cancel as module
from stream.cancel import cancel


async def test_a_cancellation_that_got_lost_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client may drop one; what goes round in a loop ends all the same, and others that ended do no harm."""
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.001)
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    async def fail() -> None:
        raise OSError("away")

    async def done() -> None:
        pass

    tasks = [asyncio.create_task(one()) for one in (deaf, fail, done)]
    await asyncio.sleep(0)
    await asyncio.wait_for(cancel(*tasks), 10)
    assert lost == 3
    assert all(task.done() for task in tasks)


async def test_a_task_is_given_time_to_clean_up() -> None:
    """One cancellation is enough for it, and it is not cancelled again meanwhile."""
    cleaned = asyncio.Event()

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.set()

    task = asyncio.create_task(tidy())
    await asyncio.sleep(0)
    await cancel(task)
    assert cleaned.is_set()
