"""What the systems of one environment gained in one minute, of what is common: interactions, decisions, model calls.

Most events are one of these, so they are counted by their own names by functions of C, and become series only when they
are packed: an environment at a time, which spares every name a part.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec import msgpack

from stream.core.bins import Lists
from stream.core.cells import UsageCell
from stream.core.deltas import KIND_CODE

UNNAMED: Final = "(unnamed)"
"""Stands for an agent or a principal that the producer left out."""

_FLOW: Final = KIND_CODE["flow"]
_FLOW_VERSION: Final = KIND_CODE["flow_version"]
_AGENT: Final = KIND_CODE["agent"]
_FLOW_REASON: Final = KIND_CODE["flow_reason"]
_DENIAL: Final = KIND_CODE["denial"]
_USAGE: Final = KIND_CODE["usage"]

_encode: Final = msgpack.Encoder().encode

Flow = tuple[str, str, str | None]
"""A flow's version: system, flow, version."""

Escalated = tuple[str, str, str | None, str]
"""Escalations of a flow's version for one reason: system, flow, version, reason."""

Agent = tuple[str, str]
"""An agent: system, agent."""

Denied = tuple[str, str, str, str | None]
"""Denials of an agent's action: system, agent, action, principal."""

Used = tuple[str, str | None, str, str | None]
"""Use of a model: system, agent, model, pricing."""


@dataclass(slots=True)
class Gains:
    """Of one environment and minute.

    Attributes:
        flows: interactions; of those `escalated`, `unexplained` (escalated, for no reason) and `failed`.
        agents: authorizations; of those `denied`.
        usage: model calls.
    """

    environment: str
    flows: Counter[Flow] = field(default_factory=Counter)
    escalated: Counter[Escalated] = field(default_factory=Counter)
    unexplained: Counter[Flow] = field(default_factory=Counter)
    failed: Counter[Flow] = field(default_factory=Counter)
    agents: Counter[Agent] = field(default_factory=Counter)
    denied: Counter[Denied] = field(default_factory=Counter)
    usage: dict[Used, UsageCell] = field(default_factory=dict)

    @property
    def cells(self) -> int:
        """Cells of what is common."""
        return len(self.flows) + len(self.agents) + len(self.usage)

    def pack_counts(self, minute: int, shard: Mapping[str, int]) -> Lists:
        """What is counted, packed by the shards of the systems. To be done once."""
        lists: Lists = defaultdict(list)
        self._pack_flows(lists, minute, shard)
        self._pack_agents(lists, minute, shard)
        for (system, caller, model, pricing), used in self.usage.items():
            whose = (caller or UNNAMED, model, pricing or "payg")
            lists[shard[system]].append(_encode((_USAGE, self.environment, system, whose, minute, used.amounts())))
        return lists

    def _pack_flows(self, lists: Lists, minute: int, shard: Mapping[str, int]) -> None:
        environment, escalated, failed = self.environment, self.unexplained, self.failed
        for (system, flow, version, reason), number in self.escalated.items():
            escalated[system, flow, version] += number
            count = (_FLOW_REASON, environment, system, (flow, reason), minute, (number,))
            lists[shard[system]].append(_encode(count))
        for key, number in self.flows.items():
            system, flow, version = key
            append = lists[shard[system]].append
            raised = escalated.get(key, 0)
            if version is not None:
                dims = (flow, version)
                append(_encode((_FLOW_VERSION, environment, system, dims, minute, (number, raised))))
            # A flow of several versions has several counts here, which sum up like those of several batches.
            append(_encode((_FLOW, environment, system, (flow,), minute, (number, raised, failed.get(key, 0)))))

    def _pack_agents(self, lists: Lists, minute: int, shard: Mapping[str, int]) -> None:
        environment, denials = self.environment, Counter[Agent]()
        for (system, agent, action, principal), number in self.denied.items():
            denials[system, agent] += number
            count = (_DENIAL, environment, system, (agent, action, principal or UNNAMED), minute, (number,))
            lists[shard[system]].append(_encode(count))
        for key, number in self.agents.items():
            system, agent = key
            amounts = (number, denials.get(key, 0))
            lists[shard[system]].append(_encode((_AGENT, environment, system, (agent,), minute, amounts)))
