"""Idempotent producers: what a partition remembers of each, so that a batch sent twice is kept once (KIP-98)."""

from collections import deque
from dataclasses import dataclass, field

from stream.embedded.batches import NO_PRODUCER, Batch
from stream.embedded.codes import Code, Refused

_REMEMBERED_BATCHES = 5
"""Kafka keeps as many, because a producer may have five requests in flight."""
_SEQUENCES = 2**31


@dataclass(slots=True)
class _Producer:
    epoch: int
    next_sequence: int
    recent: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_BATCHES))
    """(base sequence, records, base offset) of the newest batches."""


class Producers:
    """The sequence numbers of one partition."""

    def __init__(self) -> None:
        self._known: dict[int, _Producer] = {}

    def duplicate_of(self, batch: Batch) -> int | None:
        """The base offset under which this very batch is already kept; None when it is the producer's next one.

        Raises:
            Refused: OUT_OF_ORDER_SEQUENCE for a gap or a batch too old to be remembered; INVALID_PRODUCER_EPOCH for an
                epoch that a newer one has fenced.
        """
        known = self._known.get(batch.producer_id)
        if batch.producer_id == NO_PRODUCER or known is None:
            return None
        if batch.producer_epoch < known.epoch:
            raise Refused(Code.INVALID_PRODUCER_EPOCH, f"epoch {batch.producer_epoch} is fenced by {known.epoch}")
        if batch.producer_epoch > known.epoch:
            expected = 0
        else:
            for sequence, records, offset in known.recent:
                if (sequence, records) == (batch.base_sequence, batch.records):
                    return offset
            expected = known.next_sequence
        if batch.base_sequence != expected:
            raise Refused(Code.OUT_OF_ORDER_SEQUENCE, f"sequence {batch.base_sequence} instead of {expected}")
        return None

    def appended(self, batch: Batch, offset: int) -> None:
        """Remember a batch that was kept under base offset `offset`."""
        if batch.producer_id == NO_PRODUCER:
            return
        known = self._known.get(batch.producer_id)
        if known is None or known.epoch != batch.producer_epoch:
            known = self._known[batch.producer_id] = _Producer(batch.producer_epoch, 0)
        known.next_sequence = (batch.base_sequence + batch.records) % _SEQUENCES
        known.recent.append((batch.base_sequence, batch.records, offset))
