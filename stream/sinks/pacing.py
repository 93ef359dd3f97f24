"""How fast a destination is sent to, and how long it is left alone after a failure. Times are a monotonic clock's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 60.0


def back_off(tries: int, chance: float) -> float:
    """Seconds before the next try after `tries` failures: doubling, half of it fixed and half by `chance` in [0, 1)."""
    bound = min(FIRST_SECONDS * 2.0 ** min(tries - 1, 30), LONGEST_SECONDS)
    return bound / 2 * (1 + chance)


class Bucket:
    """A token bucket: `burst` at once, then `per_minute`."""

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = per_minute / 60
        self._burst = float(burst)
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def take(self) -> float:
        """Take a token; the seconds to wait until it is there."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        return max(0.0, -self._tokens / self._rate)


@dataclass(slots=True)
class Health:
    """How a destination does: its failures in a row, and until when it is left alone."""

    failures: int = 0
    quiet_until: float = 0.0
    failing: str = ""

    def well(self) -> bool:
        """A parcel was taken; whether that is news."""
        news = bool(self.failing)
        self.failures, self.quiet_until, self.failing = 0, 0.0, ""
        return news

    def ill(self, reason: str, now: float, wait_seconds: float | None, chance: float) -> bool:
        """The destination failed; whether that is news. It is left alone for as long as it asked, or for longer."""
        news = not self.failing
        self.failing = reason
        self.failures += 1
        self.quiet_until = now + max(wait_seconds or 0.0, back_off(self.failures, chance))
        return news
