"""An Azure ML online endpoint: the traffic of the bad deployment goes to the one before (`az ml online-endpoint`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from stream.rollback.executors.base import Order, Outcome, Refused
from stream.rollback.executors.process import run
from stream.rollback.executors.words import AZURE_ML, checked, ref
from stream.rollback.verify import Observed


class Trouble(Exception):
    """`az` did not answer; the message is what it said."""


@dataclass(frozen=True, slots=True)
class AzureTraffic:
    """It looks first: only the share of the deployment to leave is moved, the others keep theirs."""

    binary: Path
    resource_group: str
    workspace: str
    subscription: str | None
    seconds: float
    idempotent: bool = True

    def parts(self, order: Order) -> tuple[str, str, str]:
        """Endpoint, the deployment to leave and the one to return to, checked. Raises Refused."""
        reference, target = order.target.ref, order.target
        endpoint = ref(reference, "endpoint", AZURE_ML)
        leave = checked(AZURE_ML, "ref.from_deployment", reference.get("from_deployment", target.from_version))
        to = checked(AZURE_ML, "ref.to_deployment or to_version", reference.get("to_deployment", target.to_version))
        if leave == to:
            raise Refused(f"the deployment to leave and the one to return to are both {to}")
        return endpoint, leave, to

    def plan(self, order: Order) -> str:
        """In words."""
        endpoint, leave, to = self.parts(order)
        return f"az ml online-endpoint update --name {endpoint}: all traffic of {leave} to {to}"

    async def observe(self, order: Order) -> Observed:
        """By the traffic that the endpoint has now."""
        endpoint, leave, to = self.parts(order)
        try:
            return _reading(await self._traffic(endpoint), leave, to)
        except Trouble:
            return "unknown"

    async def execute(self, order: Order) -> Outcome:
        """Move the traffic."""
        endpoint, leave, to = self.parts(order)
        try:
            shares = await self._traffic(endpoint)
        except Trouble as trouble:
            return Outcome(ok=False, detail=str(trouble), reason="unreachable", again=True)
        reading = _reading(shares, leave, to)
        if reading == "rolled_back":
            return Outcome(ok=True, detail=f"{leave} had no traffic any more", reason="found_done")
        if reading == "moved_on":
            raise Refused(f"neither {leave} nor {to} has traffic: left alone")
        moved = {**shares, leave: 0, to: shares.get(to, 0) + shares[leave]}
        wanted = " ".join(f"{name}={share}" for name, share in sorted(moved.items()))
        ran = await run([*self._command("update", endpoint), "--traffic", wanted], self.seconds)
        said = f"az ml online-endpoint update --name {endpoint} --traffic '{wanted}': {ran.said()}"
        return Outcome(ok=ran.ok, detail=said, again=True)

    async def _traffic(self, endpoint: str) -> dict[str, int]:
        ran = await run(self._command("show", endpoint), self.seconds)
        if not ran.ok:
            raise Trouble(f"az ml online-endpoint show --name {endpoint}: {ran.said()}")
        try:
            shares = json.loads(ran.out)["traffic"]
            return {checked(AZURE_ML, "deployment", name): int(share) for name, share in shares.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Trouble(f"az ml online-endpoint show --name {endpoint} printed no traffic: {error}") from None

    def _command(self, verb: str, endpoint: str) -> list[str]:
        where = ["--resource-group", self.resource_group, "--workspace-name", self.workspace]
        if self.subscription is not None:
            where += ["--subscription", self.subscription]
        return [str(self.binary), "ml", "online-endpoint", verb, "--name", endpoint, *where, "--output", "json"]


def _reading(shares: dict[str, int], leave: str, to: str) -> Observed:
    if shares.get(leave, 0) > 0:
        return "serving"
    return "rolled_back" if shares.get(to, 0) > 0 else "moved_on"
