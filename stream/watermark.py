"""The watermark: up to which event time a shard has seen everything that is not late."""

from __future__ import annotations

from collections.abc import Mapping

from stream.core.ticks import NEVER
from stream.store import PartitionState


def watermark_ms(parts: Mapping[str, PartitionState], lateness_ms: int, idle_grace_ms: int) -> int:
    """The lowest watermark of the source partitions, in ms.

    A partition's own watermark is its newest event time less the lateness. One that was found read to its end at
    reference time `empty_ms` holds back no further than that less the grace and the lateness. Without partitions, or
    with one that has shown nothing yet, there is no watermark: `NEVER`.
    """
    lowest = min(
        (max(part.newest_ms, part.empty_ms - idle_grace_ms if part.empty_ms else NEVER) for part in parts.values()),
        default=NEVER,
    )
    return NEVER if lowest == NEVER else lowest - lateness_ms
