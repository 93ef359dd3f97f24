"""Five-minute counts of the last day, kept by the page: the engine holds minutes for two hours, then hours alone.

A reading of a shard hands over what its minutes hold, once complete; what is kept is packed as the engine packs hours.
What comes later than two hours counts in its hour alone, and stretches in which nobody read have none: a chart shows
those hours whole.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import numpy as np

from detectors.base import MINUTES
from schemas.series import SeriesKind
from stream.core.hours import HourBlock
from stream.core.machine import ShardMachine
from stream.core.windows import KindWindows

STEP: Final = 5
"""Minutes of a stretch."""

KEPT_MINUTES: Final = 26 * 60
"""How far back: a day, and what a chart shows before an onset."""

FINE_KINDS: Final[tuple[SeriesKind, ...]] = ("flow", "agent", "score", "score_version", "score_stratum")
MOST_ROWS: Final = 4_000_000
"""Rows of all stretches of one shard, about 64 MB; with more the oldest go first."""

SETTLING: Final = 6
"""Stretches that are taken again at each reading: telemetry comes late."""


class Fine:
    """The stretches of one shard, by kind and first minute."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[tuple[SeriesKind, int], HourBlock] = OrderedDict()
        self._rows = 0
        self._upto = 0

    def keep(self, machine: ShardMachine) -> None:
        """Take over what the machine's minutes hold, up to the last stretch that is over."""
        for kind in FINE_KINDS:
            self._keep(kind, machine.windows[kind])
        self._upto = machine.tick // STEP * STEP
        oldest = machine.tick - KEPT_MINUTES
        for place in [place for place in self._blocks if place[1] < oldest]:
            self._drop(place)
        while self._rows > MOST_ROWS:
            self._drop(min(self._blocks, key=lambda place: place[1]))

    def _keep(self, kind: SeriesKind, windows: KindWindows) -> None:
        end = windows.tick // STEP * STEP
        first = -(-(windows.tick - MINUTES) // STEP) * STEP
        known = self._upto - SETTLING * STEP
        start = max(first, known, 0)
        if end <= start:
            return
        minutes = windows.minutes(min(windows.tick - start, MINUTES))[:, : end - start]
        stretches = minutes.reshape(len(minutes), (end - start) // STEP, STEP, windows.width).sum(axis=2)
        for index, at in enumerate(range(start, end, STEP)):
            rows = np.flatnonzero(stretches[:, index].any(axis=1))
            self._drop((kind, at))
            counts = stretches[rows, index]
            narrow = np.min_scalar_type(int(counts.max(initial=0)))
            self._blocks[kind, at] = HourBlock(rows.astype(np.int32), counts.astype(narrow))
            self._rows += len(rows)

    def _drop(self, place: tuple[SeriesKind, int]) -> None:
        gone = self._blocks.pop(place, None)
        self._rows -= len(gone.rows) if gone is not None else 0

    def block(self, kind: SeriesKind, start: int) -> HourBlock | None:
        """The counts of `STEP` minutes from `start` on, a multiple of it; None where they are not kept."""
        return self._blocks.get((kind, start))

    def has_hour(self, kind: SeriesKind, start: int) -> bool:
        """Whether every stretch of the hour that begins with minute `start` is kept."""
        return all((kind, at) in self._blocks for at in range(start, start + 60, STEP))

    def __len__(self) -> int:
        return len(self._blocks)
