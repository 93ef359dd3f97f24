"""A listener for pybreaker that tells Midwatch when a breaker changes its state.

    import pybreaker
    from stream.breaker_listener import MidwatchListener
    from stream.producer_sync import SyncMidwatch

    with SyncMidwatch("127.0.0.1:9092", environment="production", system="claims") as midwatch:
        breaker = pybreaker.CircuitBreaker(name="fraud-check", listeners=[MidwatchListener(midwatch)])
        ...

It has the methods of `pybreaker.CircuitBreakerListener`, which is all that pybreaker asks of a listener, and needs no
pybreaker itself. Telling never fails the guarded call, and does not wait for Kafka: the event is handed over, and what
cannot be is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from schemas.words import EventType

STATES: Final = {"closed": "closed", "open": "open", "half-open": "half_open"}
"""pybreaker's names of its states, and ours."""

log: Final = logging.getLogger("midwatch.breaker_listener")


class Sender(Protocol):
    """What takes the events: `SyncMidwatch` is one."""

    def post(self, event_type: EventType, fields: Mapping[str, Any]) -> str:
        """Hand an event over."""
        ...


class MidwatchListener:
    """Tells `sender` of each change of state of the breakers that it listens to.

    `dependency` is what the breakers guard, else a breaker's name; `instance` is where they run, for a breaker that
    several processes have; `fields` are more of the event's (environment, system, tags).
    """

    def __init__(
        self, sender: Sender, *, dependency: str | None = None, instance: str | None = None, **fields: Any
    ) -> None:
        self._sender = sender
        self._dependency = dependency
        self._fields = {"instance": instance, **fields}

    def before_call(self, cb: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Nothing: a call is no change of state."""

    def failure(self, cb: Any, exc: BaseException) -> None:
        """Nothing: a failure is no change of state."""

    def success(self, cb: Any) -> None:
        """Nothing: a success is no change of state."""

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        """Tell of it."""
        try:
            name = cb.name or self._dependency
            fields = {
                **self._fields,
                "dependency": self._dependency or name,
                "breaker": name,
                "state": STATES[new_state.name],
                "previous_state": STATES.get(getattr(old_state, "name", None) or ""),
            }
            self._sender.post("circuit_breaker", fields)
        except Exception:  # a monitor must not break what it watches
            log.exception("the new state of a breaker could not be told")
