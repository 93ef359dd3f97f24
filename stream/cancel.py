"""Cancel tasks so that they end."""

from __future__ import annotations

import asyncio
from typing import Any, Final

AGAIN_SECONDS: Final = 0.5
"""Longer than a task takes to clean up, as a rule: a second cancellation would interrupt that."""


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended; what they end with is of no interest.

    Until Python 3.12 `asyncio.wait_for`, which redis-py writes with, drops a cancellation that comes in the moment in
    which what it waits for is done. A task that goes round in a loop goes on then, and who waits for it never gets on.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # Looked at, so that nobody warns of it.
