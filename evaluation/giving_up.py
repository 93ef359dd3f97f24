"""Giving work up that does not end: in time, whatever it does when it is cancelled.

`asyncio.timeout` and `wait_for` cancel and then wait for the cancelled work to end; work that swallows its
cancellation keeps them waiting for ever. Here a time-out ends the waiting. What goes on all the same is remembered,
and when the process ends it is not waited for either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

MOST_LEFT: Final = 100
"""Given up and still going on: beyond this nothing new is begun, or they would fill the memory."""

T = TypeVar("T")


class TooManyLeft(RuntimeError):
    """So much that was given up still goes on that nothing is begun any more."""


class Patience:
    """Waits for work for so long and no longer. `left` are the tasks that were given up and have not ended."""

    def __init__(self, most_left: int = MOST_LEFT) -> None:
        self.left: set[asyncio.Task[Any]] = set()
        self._most_left = most_left

    async def __call__(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """What `work` returns or raises. Raises TimeoutError after `seconds`, `TooManyLeft` without beginning."""
        if len(self.left) >= self._most_left:
            work.close()
            raise TooManyLeft(f"{len(self.left)} judgements that were given up have not ended")
        task = asyncio.create_task(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        finally:
            if not task.done():
                task.cancel()
                self.left.add(task)
                task.add_done_callback(self._ended)
        if not done:
            raise TimeoutError
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.left.discard(task)
        if not task.cancelled():
            task.exception()  # Looked at, so that nobody warns of it: what it became is of no interest any more.


async def give_up(tasks: Iterable[asyncio.Task[Any]], seconds: float) -> set[asyncio.Task[Any]]:
    """Cancel tasks and wait for them, no longer than `seconds`; those that have not ended."""
    left = {task for task in tasks if not task.done()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=seconds)
    return left


def waiting_at(task: asyncio.Task[Any]) -> str:
    """Where a task waits, outermost first: `function:line > function:line`. For the log of what does not end."""
    at: list[str] = []
    work: Any = task.get_coro()
    while work is not None:
        frame = _first(work, "cr_frame", "ag_frame", "gi_frame")
        if frame is not None:
            at.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        work = _first(work, "cr_await", "ag_await", "gi_yieldfrom")
    return " > ".join(at)


def _first(work: Any, *names: str) -> Any:
    return next((found for name in names if (found := getattr(work, name, None)) is not None), None)
