"""The garbage collector's pace, for processes that make and drop thousands of small objects a batch.

Python's collector looks at the young objects after every 700 (from 3.12 on, 2,000) that were made, and finds each
time that a batch's records are still in use. Nothing on the hot path refers back to itself, so counting references
frees all of it; looking less often costs nothing but the time it took.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (50_000, 20, 100)
"""New objects before a look at the young ones; looks at the young before one at the middle, and so on."""


def calm_collector() -> None:
    """Set everything that is there by now aside for good, and look less often at what comes. Once, at the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
