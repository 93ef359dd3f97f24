"""A Flagger canary: Flagger asks, we answer. The gate (stream/rollback/gate.py) shuts while a rollback is on."""

from __future__ import annotations

from dataclasses import dataclass

from stream.rollback.executors.base import Order, Outcome, Refused
from stream.rollback.executors.words import KUBERNETES, NAMESPACE, ref
from stream.rollback.verify import Observed


@dataclass(frozen=True, slots=True)
class FlaggerGate:
    """To start an action is to shut the gate: the gate reads that from `midwatch.actions`, as every subscriber does."""

    namespaces: tuple[str, ...]
    minutes: float
    idempotent: bool = True

    def canary(self, order: Order) -> tuple[str, str]:
        """Namespace and name of the Canary, checked. Raises Refused."""
        namespace = ref(order.target.ref, "namespace", NAMESPACE)
        if namespace not in self.namespaces:
            raise Refused(f"namespace {namespace} is none of the executor's namespaces")
        return namespace, ref(order.target.ref, "name", KUBERNETES)

    def plan(self, order: Order) -> str:
        """In words."""
        namespace, name = self.canary(order)
        return f"shut the gate {namespace}/{name} for {self.minutes:g} min: Flagger's rollback hook ends the canary"

    async def observe(self, order: Order) -> Observed:
        """Whether Flagger has asked in the meantime, and what it then did, is not known here."""
        self.canary(order)
        return "unknown"

    async def execute(self, order: Order) -> Outcome:
        """Nothing is left to do."""
        namespace, name = self.canary(order)
        return Outcome(ok=True, detail=f"the gate {namespace}/{name} is shut for {self.minutes:g} min")
