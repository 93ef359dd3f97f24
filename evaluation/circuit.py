"""A circuit breaker in front of a judge that is down. It knows no clock: `now` is seconds of any clock that only rises.

    closed --(so many failures in a row)--> open --(some seconds)--> half open --(the probe answers)--> closed
                                              ^------------------------(it fails)--------'

Open means: not asked at all, so that a provider that is down costs neither time nor tokens. Half open lets one call
through; what it brings decides. A call that began before the circuit opened says nothing about it any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

State: TypeAlias = Literal["closed", "half_open", "open"]

LONGEST_FACTOR: Final = 16
"""By how much the time for which it stays open grows at the most: it doubles with each probe that fails."""


class Circuit:
    """Counts failures in a row. `told` is called with the new state at each change."""

    def __init__(self, failures: int, seconds: float, told: Callable[[State], None]) -> None:
        self.state: State = "closed"
        self._most = failures
        self._seconds = seconds
        self._told = told
        self._failed = 0
        self._factor = 1
        self._opened_at = 0.0
        self._epoch = 0

    def admit(self, now: float) -> int | None:
        """A ticket for one call, to be given back with `answered`, `failed` or `left`; None if no call may be made."""
        if self.state == "open" and now - self._opened_at >= self._seconds * self._factor:
            self._become("half_open")
            return self._epoch
        return self._epoch if self.state == "closed" else None

    def answered(self, ticket: int) -> None:
        """The call was answered, with whatever."""
        if ticket != self._epoch:
            return
        self._failed = 0
        if self.state == "half_open":
            self._factor = 1
            self._become("closed")

    def failed(self, ticket: int, now: float) -> None:
        """Nobody answered the call."""
        if ticket != self._epoch:
            return
        self._failed += 1
        if self.state == "half_open":
            self._factor = min(2 * self._factor, LONGEST_FACTOR)
            self._open(now)
        elif self._failed >= self._most:
            self._open(now)

    def left(self, ticket: int) -> None:
        """The call was given up by whoever made it, and says nothing; a probe is free for the next."""
        if ticket == self._epoch and self.state == "half_open":
            self._become("open")

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._failed = 0
        self._become("open")

    def _become(self, state: State) -> None:
        self.state = state
        self._epoch += 1
        self._told(state)
