"""Streams of events to fold, what a fold makes of them, and what it should by the rules, one event at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from costs.budgets import BudgetRule
from costs.prices import price_micro, usd_to_micro
from schemas.series import SeriesKey
from stream.adapters.native import (
    Authorization,
    CircuitBreaker,
    Deployment,
    Escalation,
    Evaluation,
    Interaction,
    NativeEvent,
    Step,
    Usage,
)
from stream.core.deltas import (
    Delta,
    Record,
    merge,
    pack,
    unpack,
)
from stream.core.fold import UNNAMED, Batch, PartitionFold
from stream.core.shards import ShardMap
from stream.core.ticks import MINUTE_MS, NEVER, visible_from

LATENESS_MS = 20_000
START_MS = 29_000_000 * MINUTE_MS
SHARDS = 3
MODEL = "gpt-4.1-mini"
BUDGETS = (
    BudgetRule("all"),
    BudgetRule("claims", system="claims"),
    BudgetRule("tagged", tags=(("cost-center", "cc-1"),)),
)

Counts = dict[tuple[int, SeriesKey, int], list[int]]
"""(Tick from which it is visible, series, minute) to amounts."""


# Many events share a time, for ties; some lie a millisecond beside the edge of a minute.
coarse = st.integers(0, 12).map(lambda n: START_MS + n * 20_000)
times = st.one_of(coarse, coarse.map(lambda ms: ms - 1), st.integers(START_MS, START_MS + 4 * MINUTE_MS))
common = {
    "time": times,
    "environment": st.sampled_from(["prod", "test"]),
    "system": st.sampled_from(["claims", "refunds"]),
    "id": st.integers(0, 40).map(lambda n: f"e{n}"),
    "tags": st.sampled_from([None, {}, {"cost-center": "cc-1"}, {"cost-center": "cc-2", "app": "x"}]),
    "trace_id": st.sampled_from([None, "t1", "t2"]),
}
flows = st.sampled_from(["f", "g"])
versions = st.sampled_from([None, "v1", "v2"])
tokens = st.integers(0, 5)
step_values = st.builds(
    Step,
    agent=st.just("a"),
    operation=st.just("call"),
    start_ms=st.just(0.0),
    duration_ms=st.just(1.0),
    status=st.sampled_from(["ok", "error", "timeout", "denied"]),
    dependency=st.sampled_from([None, "bank", "post"]),
)
interactions = st.builds(
    Interaction,
    **common,
    flow=flows,
    version=versions,
    outcome=st.sampled_from(["resolved", "escalated", "escalated", "failed", "abandoned"]),
    escalation=st.sampled_from([None, Escalation(reason="high_risk"), Escalation(reason="error")]),
    steps=st.none() | st.lists(step_values, max_size=4).map(tuple),
)
authorizations = st.builds(
    Authorization,
    **common,
    agent=st.sampled_from(["a", "b"]),
    action=st.sampled_from(["pay", "read"]),
    decision=st.sampled_from(["allow", "deny"]),
    principal=st.sampled_from([None, "p"]),
    interaction_id=st.sampled_from([None, "i1", "i2"]),
)
usages = st.builds(
    Usage,
    **common,
    agent=st.sampled_from([None, "a"]),
    model=st.sampled_from([MODEL, "no-such-model"]),
    pricing=st.sampled_from([None, "payg", "ptu", "spillover"]),
    input_tokens=tokens,
    cached_input_tokens=st.none() | tokens,
    output_tokens=tokens,
    cost_usd=st.sampled_from([None, 0.0125, 0.0000005]),
)
evaluations = st.builds(
    Evaluation, **common, flow=flows, version=versions, criterion=st.just("tone"), score=st.floats(1, 5)
)
breakers = st.builds(
    CircuitBreaker, **common, dependency=st.just("bank"), breaker=st.sampled_from([None, "b"]), state=st.just("open")
)
deployments = st.builds(
    Deployment,
    **common,
    change=st.just("flow"),
    component=flows,
    version=st.just("v2"),
    phase=st.just("completed"),
    canary_percent=st.just(100.0),
)
any_event: st.SearchStrategy[Any] = st.one_of(interactions, authorizations, usages, evaluations, breakers, deployments)
streams = st.lists(any_event, max_size=30)


def folded(
    batches: Sequence[Sequence[NativeEvent]], fold: PartitionFold | None = None
) -> tuple[dict[int, dict[int, list[Delta]]], PartitionFold]:
    """Every batch folded by itself; the deltas by shard and tick, as an inbox would hold them."""
    fold = fold or PartitionFold(LATENESS_MS, BUDGETS)
    inboxes: dict[int, dict[int, list[Delta]]] = {}
    for events in batches:
        batch = Batch()
        fold.add(events, batch)
        for shard, ticks in batch.spread(ShardMap(SHARDS)).items():
            for tick, delta in ticks.items():
                inboxes.setdefault(shard, {}).setdefault(tick, []).append(unpack(pack(delta)))
    return inboxes, fold


def each_tick(events: Sequence[NativeEvent]) -> list[int]:
    """The tick from which each event is visible: by the watermark of what came before it."""
    newest, found = NEVER, []
    for event in events:
        found.append(visible_from(event.time, newest - LATENESS_MS))
        newest = max(newest, event.time)
    return found


def counts_of(inboxes: dict[int, dict[int, list[Delta]]]) -> Counts:
    return {
        (tick, count.key(), count.minute): list(count.amounts)
        for ticks in inboxes.values()
        for tick, deltas in ticks.items()
        for count in merge(deltas).counts
    }


def records_of(inboxes: dict[int, dict[int, list[Delta]]], kind: type[Record]) -> list[tuple[int, Any]]:
    return [
        (tick, record)
        for ticks in inboxes.values()
        for tick, deltas in ticks.items()
        for delta in deltas
        for record in delta.records
        if type(record) is kind
    ]


def gains(event: NativeEvent) -> list[tuple[SeriesKey, tuple[int, ...]]]:
    """What one event adds, series by series."""
    where = (event.environment, event.system)
    found: list[tuple[SeriesKey, tuple[int, ...]]] = []
    if isinstance(event, Interaction):
        escalated, failed = int(event.outcome == "escalated"), int(event.outcome == "failed")
        found.append((SeriesKey("flow", *where, (event.flow,)), (1, escalated, failed)))
        if event.version is not None:
            found.append((SeriesKey("flow_version", *where, (event.flow, event.version)), (1, escalated)))
        if escalated and event.escalation is not None:
            found.append((SeriesKey("flow_reason", *where, (event.flow, event.escalation.reason)), (1,)))
        for step in event.steps or ():
            if step.dependency is not None:
                bad = (int(step.status == "error"), int(step.status == "timeout"))
                found.append((SeriesKey("dependency", *where, (step.dependency,)), (1, *bad)))
    elif isinstance(event, Authorization):
        denied = event.decision == "deny"
        found.append((SeriesKey("agent", *where, (event.agent,)), (1, int(denied))))
        if denied:
            who = event.principal or UNNAMED
            found.append((SeriesKey("denial", *where, (event.agent, event.action, who)), (1,)))
    elif isinstance(event, Usage):
        cached, cost = event.cached_input_tokens or 0, cost_of(event)
        key = SeriesKey("usage", *where, (event.agent or UNNAMED, event.model, event.pricing or "payg"))
        found.append((key, (1, event.input_tokens, cached, event.output_tokens, cost)))
        found += [(b.key(), (1, cost)) for b in BUDGETS if b.covers(*where, event.tags)]
    return found


def cost_of(event: Usage) -> int:
    if event.pricing == "ptu":
        return 0
    if event.cost_usd is not None:
        return usd_to_micro(event.cost_usd)
    counts = (event.input_tokens, event.cached_input_tokens or 0, event.output_tokens)
    return price_micro(event.model, event.provider, *counts, event.time // 86_400_000) or 0


def usage(**fields: Any) -> Usage:
    base = {"id": "u1", "time": START_MS, "environment": "prod", "system": "claims", "model": MODEL}
    return Usage(**{**base, "input_tokens": 1000, "output_tokens": 100, **fields})
