"""What an executor is: it says how it would roll a target back, looks how things stand, and does it.

Whatever comes from a verdict is checked by `words` before it stands in a command; whatever says *where* (cluster,
binary, URL, subscription) comes from the configuration alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schemas.actions import ActionTaken
from schemas.outputs import RollbackTarget
from stream.rollback.verify import Observed


class Refused(ValueError):
    """The target cannot be rolled back by this executor; the message says why. Nothing was done."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be rolled back, and for which incident."""

    environment: str
    system: str
    incident_id: str
    key: str
    target: RollbackTarget


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an execution. `again`: it failed in a way that may pass, before anything was changed."""

    ok: bool
    detail: str
    reason: str | None = None
    again: bool = False


class Executor(Protocol):
    """Rolls back targets of some kind. `idempotent`: doing it twice is the same as doing it once."""

    @property
    def idempotent(self) -> bool:
        """Whether it may be done again where nobody knows whether it was done."""
        ...

    def plan(self, order: Order) -> str:
        """What it would do, in words. Raises Refused where the order is none that it takes; touches nothing."""
        ...

    async def observe(self, order: Order) -> Observed:
        """How the target stands, as the tool that runs it says. Changes nothing, and raises nothing but Refused."""
        ...

    async def execute(self, order: Order) -> Outcome:
        """Do it, and wait until the tool has taken it. Raises nothing but Refused."""
        ...


def order_of(step: ActionTaken) -> Order | None:
    """The order of a step; None where it has no target."""
    if step.target is None:
        return None
    return Order(step.scope.environment, step.scope.system, step.incident_id, step.idempotency_key, step.target)
