"""When partitions that are read to their end let a tick pass, by the wall clock: somebody waits for its verdicts.

A partition without new records holds a tick back until it is known to have had none when the tick's lateness and grace
were over. Between those moments there is time; at them, it is asked for at once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from stream.core.ticks import MINUTE_MS, tick_of

EAGER_MS: Final = 1000
"""How long after a tick could have passed what lets it pass is looked for again and again."""

SHORT_MS: Final = 10
"""How long a fetch waits meanwhile."""


class Passing:
    """Follows the ticks of one worker.

    Attributes:
        waits_ms: lateness and grace together; so long after its end a tick may pass.
    """

    def __init__(self, waits_ms: int, longest_ms: int) -> None:
        self.waits_ms = waits_ms
        self._longest_ms = longest_ms
        self._passed = self._passing = 0
        """The tick that nothing holds back any more, and how many partitions do not hold back the next."""

    def is_due(self, now_ms: int) -> bool:
        """Whether a tick could have passed by now that has not, and did so only just."""
        since = now_ms - self.waits_ms
        return tick_of(since) > self._passed and since % MINUTE_MS <= EAGER_MS

    def longest_wait_ms(self, now_ms: int) -> int:
        """How long a fetch may wait for data, so that it is over when a tick may pass."""
        if self.is_due(now_ms):
            return min(SHORT_MS, self._longest_ms)
        left = MINUTE_MS - (now_ms - self.waits_ms) % MINUTE_MS
        return max(min(left, self._longest_ms), 1)

    def found(self, references: Collection[int], now_ms: int) -> bool:
        """Take in up to when each partition is known to be empty; whether more of them let the tick pass than before.

        One whose broker is away is not looked at for ever: `is_due` ends by itself.
        """
        tick = tick_of(now_ms - self.waits_ms)
        if tick <= self._passed:
            return False
        passing = sum(tick_of(reference - self.waits_ms) >= tick for reference in references)
        more, self._passing = passing > self._passing, passing
        if 0 < passing == len(references):
            self._passed, self._passing = tick, 0
        return more
