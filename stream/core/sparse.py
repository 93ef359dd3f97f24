"""Whether a fleet is so wide that counts had better be packed piece by piece.

A cell that is counted into again and again is packed once a batch. Where there are nearly as many cells as events, that
saves next to nothing, and packing them at the end of a large batch costs much: they are out of the processor's cache
by then. The counts of a piece are then packed before the next one is looked at.
"""

from __future__ import annotations

from typing import Final

from stream.core.batch import Batch
from stream.core.bins import Shards

MANY: Final = 0.7
"""Cells for an event, beyond which a fleet is sparse. Piece by piece there are at most so many more counts: 1 / 0.7."""

ENOUGH: Final = 2000
"""Events of a batch that tell."""

BATCHES: Final = 16
"""After so many batches one is counted as a whole again, to look."""

PLACES: Final = 16
"""A batch of more minutes is of the past, read as fast as it goes: the pieces of that are spread too thin."""


class Sparsity:
    """Looks at the batches of one ingest."""

    def __init__(self) -> None:
        self._left = 0

    def after_piece(self, batch: Batch, shard: Shards) -> None:
        """Pack what a piece brought, where it pays."""
        if self._left and batch.places <= PLACES:
            batch.pack_counts(shard)

    def after_batch(self, batch: Batch) -> None:
        """Look at a batch that is complete and not yet packed."""
        if self._left:
            self._left -= 1
            return
        events = batch.counted.total()
        if events >= ENOUGH and batch.cells > MANY * events:
            self._left = BATCHES
