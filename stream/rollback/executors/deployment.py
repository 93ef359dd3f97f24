"""A Kubernetes Deployment: `kubectl rollout undo`, to the newest revision of the version to return to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.base import JsonObject
from stream.rollback.executors.base import Order, Outcome, Refused
from stream.rollback.executors.kubernetes import Cluster, Trouble
from stream.rollback.verify import Observed

REVISION: Final = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class DeploymentUndo:
    """It looks first: only a Deployment that still carries the version to leave is touched."""

    cluster: Cluster
    idempotent: bool = True

    def plan(self, order: Order) -> str:
        """In words."""
        namespace, name = self.cluster.place(order)
        to = order.target.to_version or "the revision before"
        return (
            f"kubectl rollout undo deployment/{name} in {namespace}, from {order.target.from_version} to the newest "
            f"revision that carries {to}"
        )

    async def observe(self, order: Order) -> Observed:
        """By the pod template that the Deployment has now."""
        namespace, name = self.cluster.place(order)
        try:
            return self._reading(await self.cluster.read(namespace, "deployments.apps", name), order)
        except Trouble:
            return "unknown"

    async def execute(self, order: Order) -> Outcome:
        """Find the revision and undo to it."""
        namespace, name = self.cluster.place(order)
        try:
            found = await self.cluster.read(namespace, "deployments.apps", name)
            reading = self._reading(found, order)
            if reading == "rolled_back":
                return Outcome(ok=True, detail=f"{name} carried the version already", reason="found_done")
            if reading == "moved_on":
                raise Refused(f"{name} carries neither {order.target.from_version} nor the version before: left alone")
            revision = await self.cluster.revision(found, namespace, order, REVISION)
        except Trouble as trouble:
            return Outcome(ok=False, detail=str(trouble), reason="unreachable", again=True)
        undo = ("rollout", "undo", f"deployment/{name}", f"--to-revision={revision}")
        ran = await self.cluster.call(self.cluster.binary, namespace, *undo)
        return Outcome(ran.ok, f"kubectl {' '.join(undo)} in {namespace}: {ran.said()}", again=True)

    def _reading(self, found: JsonObject, order: Order) -> Observed:
        template = (found.get("spec") or {}).get("template")
        if self.cluster.carries(template, order.target.from_version):
            return "serving"
        to = order.target.to_version
        return "rolled_back" if to is None or self.cluster.carries(template, to) else "moved_on"
