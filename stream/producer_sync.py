"""The same as `stream.producer` for programs without an event loop: one runs in a thread of its own.

    from stream.producer_sync import SyncMidwatch

    with SyncMidwatch("127.0.0.1:9092", environment="production", system="claims") as midwatch:
        midwatch.usage(model="gpt-5", input_tokens=1200, output_tokens=80)

Any number of threads may use it at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from schemas.words import EventType
from stream.producer import Midwatch, Stored
from stream.producer_fields import (
    AuthorizationFields,
    CircuitBreakerFields,
    DeploymentFields,
    EvaluationFields,
    InteractionFields,
    UsageFields,
)

T = TypeVar("T")


class SyncMidwatch:
    """Sends events; use it in `with`. The arguments are those of `Midwatch`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._midwatch = Midwatch(*arguments, **options)
        self._thread = threading.Thread(target=self._loop.run_forever, name="midwatch-producer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._call(self._midwatch.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call(self._midwatch.__aexit__(kind, error, trace))
        finally:
            self._end()

    def interaction(self, **fields: Unpack[InteractionFields]) -> Stored:
        """Send an interaction; where it is stored. Raises InvalidEvent, NotStored."""
        return self.send("interaction", fields)

    def authorization(self, **fields: Unpack[AuthorizationFields]) -> Stored:
        """Send a decision; where it is stored. Raises InvalidEvent, NotStored."""
        return self.send("authorization", fields)

    def circuit_breaker(self, **fields: Unpack[CircuitBreakerFields]) -> Stored:
        """Send a breaker's state; where it is stored. Raises InvalidEvent, NotStored."""
        return self.send("circuit_breaker", fields)

    def evaluation(self, **fields: Unpack[EvaluationFields]) -> Stored:
        """Send a score; where it is stored. Raises InvalidEvent, NotStored."""
        return self.send("evaluation", fields)

    def deployment(self, **fields: Unpack[DeploymentFields]) -> Stored:
        """Send a change; where it is stored. Raises InvalidEvent, NotStored."""
        return self.send("deployment", fields)

    def usage(self, **fields: Unpack[UsageFields]) -> Stored:
        """Send a model call's tokens; where it is stored. Raises InvalidEvent, NotStored."""
        return self.send("usage", fields)

    def send(self, event_type: EventType, fields: Mapping[str, Any]) -> Stored:
        """Send an event of any type and wait until it is stored. Raises InvalidEvent, NotStored."""
        return self._call(self._midwatch.send(event_type, fields))

    def post(self, event_type: EventType, fields: Mapping[str, Any]) -> str:
        """Hand an event over, its id back; waits only for room. Raises InvalidEvent; failures come with `flush`."""
        return self._call(self._midwatch.post(event_type, fields))

    def flush(self) -> None:
        """Wait until all that was posted is stored. Raises NotStored for what was not, since the last call."""
        self._call(self._midwatch.flush())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
