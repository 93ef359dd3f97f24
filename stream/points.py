"""Named points in the protocol at which a test may let a process die.

The engine calls `point("name")` where a crash would matter; in production nothing happens. A simulation passes a
function that raises at the point it wants, so that crashes are data and the code under test is the code that runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Point: TypeAlias = Callable[[str], None]


def nothing(_name: str) -> None:
    """The point of production: goes on."""
