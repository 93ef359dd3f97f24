"""Acknowledge Kafka records in their order, whatever order their work ends in. Pure.

Faust commits up to the newest acknowledged record of an unbroken run, but can begin that run behind a record that is
still in flight (its issue 606). A record is therefore acknowledged only once all before it in its partition are done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable


class OrderedAcks:
    """Holds acknowledgements back until their turn comes."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[_Entry]] = {}

    def begin(self, partition: Hashable, acknowledge: Callable[[], object]) -> Callable[[], None]:
        """Take a record in, in the order of its partition; call what it returns once the record is done."""
        queue = self._queues.setdefault(partition, deque())
        entry = _Entry(acknowledge)
        queue.append(entry)

        def done() -> None:
            entry.done = True
            while queue and queue[0].done:
                queue.popleft().acknowledge()

        return done


class _Entry:
    __slots__ = ("acknowledge", "done")

    def __init__(self, acknowledge: Callable[[], object]) -> None:
        self.acknowledge = acknowledge
        self.done = False
