"""What is said of work that does not end."""

from __future__ import annotations

import asyncio

from evaluation.giving_up import waiting_at


async def test_where_a_task_waits_is_said_from_the_outermost_to_the_innermost() -> None:
    """The chain of awaits is what shows who keeps a process from ending."""
    never = asyncio.Event()

    async def inner() -> None:
        await never.wait()

    async def outer() -> None:
        await inner()

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    names = [step.rpartition(":")[0].rpartition(".")[2] for step in waiting_at(task).split(" > ")]
    task.cancel()
    assert names == ["outer", "inner", "wait"]
