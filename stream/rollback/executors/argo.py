"""An Argo Rollout: `abort` while the new version is a canary, `undo` once it has taken all traffic.

An abort sends all traffic back to the stable version at once; the Rollout's template still names the new one, and stays
aborted until somebody changes it. An undo changes the template, and goes through the Rollout's own steps, which Argo
leaves out for recent revisions where `spec.rollbackWindow` is set. Fields and annotation are those of Argo Rollouts'
own command line, which is what is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.base import JsonObject
from stream.rollback.executors.base import Order, Outcome, Refused
from stream.rollback.executors.kubernetes import Cluster, Trouble
from stream.rollback.verify import Observed

ROLLOUTS: Final = "rollouts.argoproj.io"
REVISION: Final = "rollout.argoproj.io/revision"


@dataclass(frozen=True, slots=True)
class ArgoRollouts:
    """It looks first: only a Rollout that still carries the version to leave is touched."""

    cluster: Cluster
    plugin: Path
    idempotent: bool = True

    def plan(self, order: Order) -> str:
        """In words."""
        namespace, name = self.cluster.place(order)
        to = order.target.to_version or "the revision before"
        return (
            f"kubectl argo rollouts abort {name} in {namespace} while {order.target.from_version} is a canary, else "
            f"undo to the newest revision that carries {to}"
        )

    async def observe(self, order: Order) -> Observed:
        """By the Rollout's template, and whether it is aborted."""
        namespace, name = self.cluster.place(order)
        try:
            return self._reading(await self.cluster.read(namespace, ROLLOUTS, name), order)
        except Trouble:
            return "unknown"

    async def execute(self, order: Order) -> Outcome:
        """Abort or undo."""
        namespace, name = self.cluster.place(order)
        try:
            found = await self.cluster.read(namespace, ROLLOUTS, name)
            reading = self._reading(found, order)
            if reading == "rolled_back":
                return Outcome(ok=True, detail=f"{name} was rolled back already", reason="found_done")
            if reading == "moved_on":
                raise Refused(f"{name} carries neither {order.target.from_version} nor the version before: left alone")
            command = ["abort", name]
            if _is_promoted(found):
                if (found.get("spec") or {}).get("workloadRef"):
                    raise Refused(f"{name} takes its template from a workloadRef, which an undo does not change")
                revision = await self.cluster.revision(found, namespace, order, REVISION)
                command = ["undo", name, f"--to-revision={revision}"]
        except Trouble as trouble:
            return Outcome(ok=False, detail=str(trouble), reason="unreachable", again=True)
        ran = await self.cluster.call(self.plugin, namespace, *command)
        return Outcome(ran.ok, f"kubectl argo rollouts {' '.join(command)} in {namespace}: {ran.said()}", again=True)

    def _reading(self, found: JsonObject, order: Order) -> Observed:
        template = (found.get("spec") or {}).get("template")
        if template is None:
            raise Refused("the Rollout has no template of its own, so that its version cannot be read")
        if self.cluster.carries(template, order.target.from_version):
            return "rolled_back" if (found.get("status") or {}).get("abort") is True else "serving"
        to = order.target.to_version
        return "rolled_back" if to is None or self.cluster.carries(template, to) else "moved_on"


def _is_promoted(found: JsonObject) -> bool:
    """Whether the current version is the stable one: there is nothing to abort."""
    status = found.get("status") or {}
    return bool(status.get("stableRS")) and status.get("stableRS") == status.get("currentPodHash")
