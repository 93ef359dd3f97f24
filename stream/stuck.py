"""What a stuck engine says before it ends: what does not get on, what failed last, who is silent, and what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from stream.health import Contacts

SILENT_SECONDS: Final = 4.0
"""A server that has not answered for so long, twice as long as it is asked again, is what is looked at first."""

PARTS: Final[Mapping[str, str]] = {
    "ingest": "ingest (telemetry from Kafka into Redis)",
    "evaluate": "evaluation (ticks from Redis, verdicts to Kafka)",
    "kafka": "the contact to Kafka",
    "redis": "the contact to Redis",
}
"""What is watched, as the last words call it."""


@dataclass(slots=True)
class Trouble:
    """The last failure of a part."""

    clock: Callable[[], float] = time.monotonic
    words: str = ""
    at: float = 0.0
    count: int = 0
    about: str = ""
    """Kafka or Redis, if it was one of them."""

    def note(self, error: BaseException) -> None:
        """Keep a failure."""
        self.words, self.at, self.count = f"{type(error).__name__}: {error}", self.clock(), self.count + 1
        module = type(error).__module__.partition(".")[0]
        self.about = {"aiokafka": "kafka", "redis": "redis"}.get(module, "")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Finds the words. `places` says by name where a server is."""

    contacts: Contacts
    places: Mapping[str, str]
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    where: Callable[[], str] = str

    def of(self, part: str) -> str:
        """The lines about a part that does not get on."""
        return "\n".join([*self._facts(part), f"  to do: {self._advice(part)}", "  what waits for what:", self.where()])

    def _facts(self, part: str) -> list[str]:
        trouble = self.troubles.get(part)
        lines = []
        if trouble is not None and trouble.count:
            ago = trouble.clock() - trouble.at
            lines.append(f"  last error, {ago:.0f} s ago, one of {trouble.count}: {trouble.words}")
        for name, contact in sorted(self.contacts.items()):
            lines.append(f"  {name} at {self.places.get(name, '?')}: last answered {contact.silent_seconds:.0f} s ago")
        return lines

    def _advice(self, part: str) -> str:
        silent = [name for name, contact in self.contacts.items() if contact.silent_seconds > SILENT_SECONDS]
        if "redis" in silent:
            return "see whether Redis runs and answers (redis-cli PING), its memory, disk, log and network"
        if "kafka" in silent:
            return "see whether the brokers run and can be reached, and their disks and logs; then: midwatch doctor"
        trouble = self.troubles.get(part)
        if trouble is not None and trouble.about == "redis":
            return "Redis answers, but refuses or is slow: see its memory limit, disk, users' rights, SLOWLOG"
        if part == "evaluate" or (trouble is not None and trouble.about == "kafka"):
            return (
                "Kafka answers, but does not take what is written, or not in time: see disks, quotas, ACLs and "
                "min.insync.replicas of the midwatch topics; then: midwatch doctor"
            )
        return "both servers answer: keep the lines below, they say where the engine hangs"
