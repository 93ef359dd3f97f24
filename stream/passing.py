"""When partitions that are read to their end let a tick pass, by the wall clock: somebody waits for its verdicts.

A partition without new records holds a tick back until it is known to have had none when the tick's lateness and grace
were over. Between those moments there is time; at them, it is asked for at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stream.core.ticks import MINUTE_MS, tick_of

EAGER_MS: Final = 1000
"""How long after a tick could have passed what lets it pass is looked for again and again; afterwards once."""

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
        self._passed = self._looked_at = self._passing = 0
        """The tick that nothing holds back any more; the last that was looked at, and how many did not hold it back."""

    def is_due(self, now_ms: int) -> bool:
        """Whether to look for what lets a tick pass: it could have by now and has not, as far as is known."""
        tick = tick_of(now_ms - self.waits_ms)
        return tick > self._passed and (tick > self._looked_at or self._is_fresh(now_ms))

    def longest_wait_ms(self, now_ms: int) -> int:
        """How long a fetch may wait for data, so that it is over when a tick may pass."""
        if tick_of(now_ms - self.waits_ms) > self._passed and self._is_fresh(now_ms):
            return min(SHORT_MS, self._longest_ms)
        left = MINUTE_MS - (now_ms - self.waits_ms) % MINUTE_MS
        return min(left, self._longest_ms)

    def look(self, references: Iterable[int], now_ms: int) -> bool:
        """Take in up to when partitions are known to be empty; whether more of them let the tick pass than before."""
        tick = tick_of(now_ms - self.waits_ms)
        if tick > self._looked_at:
            self._looked_at, self._passing = tick, 0
        passing = sum(tick_of(reference - self.waits_ms) >= tick for reference in references)
        more, self._passing = passing > self._passing, passing
        return more

    def noted(self, partitions: int) -> None:
        """What the last look found is noted. With all partitions in hand the tick has passed: it is not looked for."""
        if self._passing >= partitions:
            self._passed = max(self._passed, self._looked_at)

    def _is_fresh(self, now_ms: int) -> bool:
        return (now_ms - self.waits_ms) % MINUTE_MS <= EAGER_MS
