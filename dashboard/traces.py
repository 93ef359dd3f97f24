"""A bounded sample of the requests: waterfalls, and latency by agent and step.

Requests are sampled, never counted here: what is counted comes from the engine's windows. `dashboard.tail` reads the
newest of each second, so latencies are those of a sample.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from datetime import datetime, timedelta
from typing import Final

from dashboard.views import Filter, LatencyRow, TraceStep, TraceView
from schemas.outputs import Scope
from stream.adapters import Interaction
from stream.core.ticks import datetime_of

WENT_WELL: Final = 1000
WENT_ILL: Final = 2000
"""Requests that are kept; those that were escalated or failed are looked at more often."""

STEPS: Final = 60
"""Steps of a request that are kept."""

LATENCIES: Final = 400
"""Steps that are kept for each agent and operation of a flow, the newest."""

GROUPS: Final = 2000
SHOWN: Final = 10

_Group = tuple[str, str, str, str, str]


class Sample:
    """The requests that were kept. Everything in it is bounded by the constants of this file."""

    def __init__(self) -> None:
        self._well: deque[tuple[str, str, TraceView]] = deque(maxlen=WENT_WELL)
        self._ill: deque[tuple[str, str, TraceView]] = deque(maxlen=WENT_ILL)
        self._latencies: OrderedDict[_Group, deque[tuple[datetime, float, bool]]] = OrderedDict()

    def take(self, event: object) -> None:
        """Keep one request; other events are passed over."""
        if not isinstance(event, Interaction):
            return
        trace = trace_of(event)
        kept = self._well if event.outcome == "resolved" and trace.failed_at is None else self._ill
        kept.append((event.environment, event.system, trace))
        for step in trace.steps:
            group = (event.environment, event.system, event.flow, step.agent, step.operation)
            known = self._latencies.setdefault(group, deque(maxlen=LATENCIES))
            known.append((trace.at, step.duration_ms, step.status != "ok"))
            self._latencies.move_to_end(group)
        while len(self._latencies) > GROUPS:
            self._latencies.popitem(last=False)

    def of_incident(
        self, scope: Scope, since: datetime, until: datetime, wanted: frozenset[str]
    ) -> tuple[TraceView, ...]:
        """Requests that show an incident: those that its findings name, then those that went ill, newest first."""
        found = [
            trace
            for environment, system, trace in (*self._ill, *self._well)
            if (environment, system) == (scope.environment, scope.system)
            and scope.flow in (None, trace.flow)
            and since <= trace.at <= until
        ]
        if scope.agent is not None:
            mine = [trace for trace in found if any(step.agent == scope.agent for step in trace.steps)]
            found = mine or found
        found.sort(key=lambda t: (t.interaction_id in wanted, t.outcome != "resolved", t.at), reverse=True)
        return tuple(found[:SHOWN])

    def newest(self, asked: Filter, since: datetime) -> tuple[TraceView, ...]:
        """The newest requests of a part of the fleet, those that went ill first."""
        ill = [trace for e, s, trace in self._ill if _matches(asked, e, s, trace.flow) and trace.at >= since]
        well = [trace for e, s, trace in self._well if _matches(asked, e, s, trace.flow) and trace.at >= since]
        shown = sorted(ill, key=lambda t: t.at)[-(SHOWN - 3) :]
        shown += sorted(well, key=lambda t: t.at)[-(SHOWN - len(shown)) :]
        return tuple(sorted(shown, key=lambda t: t.at, reverse=True))

    def latency(self, asked: Filter, since: datetime) -> tuple[LatencyRow, ...]:
        """p50 and p95 by agent and operation, the slowest first."""
        merged: dict[tuple[str, str], list[tuple[float, bool]]] = {}
        for (environment, system, flow, agent, operation), known in self._latencies.items():
            if _matches(asked, environment, system, flow):
                cells = merged.setdefault((agent, operation), [])
                cells += [(ms, bad) for at, ms, bad in known if at >= since]
        rows = []
        for (agent, operation), cells in merged.items():
            if cells:
                ordered = sorted(ms for ms, _ in cells)
                p50, p95 = (quantile(ordered, share) for share in (0.5, 0.95))
                errors = sum(bad for _, bad in cells)
                rows.append(
                    LatencyRow(
                        agent=agent, operation=operation, requests=len(cells), p50_ms=p50, p95_ms=p95, errors=errors
                    )
                )
        return tuple(sorted(rows, key=lambda row: -row.p95_ms))


def quantile(ordered: list[float], share: float) -> float:
    """The value below which so large a share of the ascending values lies (nearest rank)."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def trace_of(event: Interaction) -> TraceView:
    """A request as a waterfall."""
    steps = tuple(
        TraceStep(
            agent=step.agent,
            operation=step.operation,
            name=step.name,
            start_ms=step.start_ms,
            duration_ms=step.duration_ms,
            status=step.status,
            dependency=step.dependency,
            tokens=_sum(step.input_tokens, step.output_tokens),
        )
        for step in sorted(event.steps or (), key=lambda step: step.start_ms)[:STEPS]
    )
    return TraceView(
        interaction_id=event.id,
        trace_id=event.trace_id,
        at=datetime_of(event.time),
        flow=event.flow,
        version=event.version,
        outcome=event.outcome,
        reason=event.escalation.reason if event.escalation is not None else None,
        duration_ms=event.duration_ms,
        steps=steps,
        failed_at=next((index for index, step in enumerate(steps) if step.status != "ok"), None),
    )


def _sum(*amounts: int | None) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _matches(asked: Filter, environment: str, system: str, flow: str) -> bool:
    wanted = ((asked.environment, environment), (asked.system, system), (asked.flow, flow))
    return all(one in (None, found) for one, found in wanted)


SPANS: Final = {"3h": timedelta(hours=3), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
