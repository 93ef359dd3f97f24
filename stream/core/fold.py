"""Fold events into deltas: what each shard gains, at which tick it becomes visible.

One `PartitionFold` follows one source partition, in the order of its offsets, and knows the partition's own watermark.
Batches may be cut anywhere: the sums are the same. The loop over events is the hot path of the engine, so what is
common (interactions, decisions, model calls) counts into plain lists by small keys, system by system, and becomes
series only once a batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from msgspec import structs, to_builtins

from costs.budgets import BudgetRule
from costs.prices import LIST, Called, PriceBook, usd_to_micro
from costs.tags_spend import SpendTally
from schemas.canonical import canonical_json
from schemas.series import SCORE_UNIT, SeriesKey, stratum_of
from schemas.words import EventType
from stream.adapters.native import (
    Authorization,
    CircuitBreaker,
    Deployment,
    Evaluation,
    Interaction,
    NativeEvent,
    Usage,
)
from stream.core.batch import Batch, Place, System, Trace, add_to
from stream.core.controls import Control, record_of
from stream.core.deltas import BreakerRecord, DeploymentRecord, ScoreRecord
from stream.core.shards import shard_of
from stream.core.spans import TracedSpan
from stream.core.ticks import MINUTE_MS, NEVER, rfc3339, visible_from

__all__ = ["Batch", "FoldTallies", "PartitionFold", "ShardMap", "type_of"]

UNNAMED: Final = "(unnamed)"
"""Stands for an agent or a principal that the producer left out."""

DAY_MS: Final = 86_400_000
SHARD_MEMO: Final = 65_536

_TYPES: Final[dict[type, EventType | Literal["span"]]] = {
    Interaction: "interaction",
    Authorization: "authorization",
    CircuitBreaker: "circuit_breaker",
    Evaluation: "evaluation",
    Deployment: "deployment",
    Usage: "usage",
    TracedSpan: "span",
}


@dataclass(slots=True)
class FoldTallies:
    """Counts for metrics; `spend` only where someone asks for it."""

    events: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    unpriced: Counter[str] = field(default_factory=Counter)
    spend: SpendTally | None = None


class PartitionFold:
    """Folds the events of one source partition.

    `newest_ms` is the latest event time seen so far; the partition's watermark is that less the lateness. It is part
    of what a commit stores, so that a restart goes on with the same one. Several partitions may share a `batch`.
    """

    def __init__(
        self,
        lateness_ms: int,
        budgets: Sequence[BudgetRule] = (),
        newest_ms: int = NEVER,
        tallies: FoldTallies | None = None,
        prices: PriceBook = LIST,
    ) -> None:
        self.newest_ms = newest_ms
        self.tallies = tallies or FoldTallies()
        self._lateness_ms = lateness_ms
        self._prices = prices
        self._budgets = tuple((rule, rule.key()) for rule in budgets)
        self._take: dict[type, Callable[[Place, System, Any, int], None]] = {
            Interaction: _interaction,
            Authorization: _authorization,
            Usage: self._usage,
            Evaluation: _evaluation,
            CircuitBreaker: _circuit_breaker,
            Deployment: _deployment,
            TracedSpan: self._span,
        }

    def add(self, events: Iterable[NativeEvent | TracedSpan], batch: Batch) -> None:
        """Take events in, in the order of their offsets, and add what they bring to `batch`."""
        newest, lateness, take = self.newest_ms, self._lateness_ms, self._take
        place = Place(NEVER, NEVER)
        for event in events:
            ms = event.time
            minute = ms // MINUTE_MS
            tick = minute + 1
            if ms > newest:
                newest = ms
            elif minute < (passed := (newest - lateness) // MINUTE_MS):
                tick = passed + 1
                self.tallies.late[type_of(event)] += 1
            if minute != place.minute or tick != place.tick:
                place = batch.place(tick, minute)
            where = (event.environment, event.system)
            system = place.systems.get(where)
            if system is None:
                system = place.systems[where] = System()
            if event.tags:
                if ms > system.tagged_ms:
                    system.tagged, system.tagged_ms = event, ms
                elif ms == system.tagged_ms:
                    system.note_tags(event, ms)
            take[type(event)](place, system, event, ms)
        self.newest_ms = newest

    def add_controls(self, controls: Iterable[Control], batch: Batch) -> None:
        """The same for controls: visible and late by the same rule, recorded instead of counted."""
        for control in controls:
            record = record_of(control)
            self.newest_ms = max(self.newest_ms, record.ms)
            tick = visible_from(record.ms, self.newest_ms - self._lateness_ms)
            if tick > record.ms // MINUTE_MS + 1:
                self.tallies.late[control.type] += 1
            batch.place(tick, record.ms // MINUTE_MS).records.append(record)

    def _span(self, place: Place, _system: System, event: TracedSpan, ms: int) -> None:
        """Keep a span for its trace; the tokens of an agent's own span are priced here, where the price book is."""
        if not event.trace_id:
            return
        where = (event.environment, event.system, event.trace_id)
        trace = place.traces.get(where)
        if trace is None:
            covering = tuple(key for budget, key in self._budgets if budget.covers(*where[:2], event.tags))
            trace = place.traces[where] = Trace(event.version, covering)
        fact = event.fact
        if fact.model and any(fact.tokens):
            read, cached, written, _ = fact.tokens
            price = self._prices.micro(Called(fact.model, fact.provider or None), read, cached, written, ms // DAY_MS)
            fact = structs.replace(fact, tokens=(read, cached, written, price or 0))
        trace.spans.append(fact)

    def _usage(self, place: Place, system: System, event: Usage, ms: int) -> None:
        tokens = (event.input_tokens, event.cached_input_tokens or 0, event.output_tokens)
        cost = self._cost(event, tokens, ms)
        if cost and self.tallies.spend is not None:
            self.tallies.spend.note(event.environment, event.system, event.tags, cost, ms // DAY_MS)
        dims = (event.agent or UNNAMED, event.model, event.pricing or "payg")
        cell = system.usage.get(dims)
        if cell is None:
            system.usage[dims] = [1, *tokens, cost]
        else:
            cell[0] += 1
            cell[1] += tokens[0]
            cell[2] += tokens[1]
            cell[3] += tokens[2]
            cell[4] += cost
        for budget, key in self._budgets:
            if budget.covers(event.environment, event.system, event.tags):
                add_to(place.series, key, (1, cost))

    def _cost(self, event: Usage, tokens: tuple[int, int, int], ms: int) -> int:
        """Micro-dollars of one call; 0 for an unknown model, which is counted."""
        if event.pricing == "ptu":
            return 0  # provisioned units are a flat cost, accrued by the hour whether used or not
        if event.cost_usd is not None:
            return usd_to_micro(event.cost_usd)
        called = Called(event.model, event.provider, event.deployment, event.service_tier)
        price = self._prices.micro(called, *tokens, ms // DAY_MS)
        if price is None:
            self.tallies.unpriced[event.model] += 1
        return price or 0


def _interaction(place: Place, system: System, event: Interaction, _ms: int) -> None:
    key = (event.flow, event.version)
    cell = system.flows.get(key)
    if cell is None:
        cell = system.flows[key] = [0, 0, 0]
    cell[0] += 1
    outcome = event.outcome
    if outcome == "escalated":
        cell[1] += 1
        _escalation(place, event)
    elif outcome == "failed":
        cell[2] += 1
    if event.steps:
        _steps(place, event)


def _escalation(place: Place, event: Interaction) -> None:
    where = (event.environment, event.system)
    if event.escalation is not None:
        add_to(place.series, SeriesKey("flow_reason", *where, (event.flow, event.escalation.reason)), (1,))
    place.show(SeriesKey("flow", *where, (event.flow,)), event, event.id)


def _steps(place: Place, event: Interaction) -> None:
    for step in event.steps or ():
        if step.dependency is not None:
            key = SeriesKey("dependency", event.environment, event.system, (step.dependency,))
            error, timeout = step.status == "error", step.status == "timeout"
            add_to(place.series, key, (1, int(error), int(timeout)))
            if error or timeout:
                place.show(key, event, event.id)


def _authorization(place: Place, system: System, event: Authorization, _ms: int) -> None:
    cell = system.agents.get(event.agent)
    if cell is None:
        cell = system.agents[event.agent] = [0, 0]
    cell[0] += 1
    if event.decision == "deny":
        cell[1] += 1
        where = (event.environment, event.system)
        principal = event.principal or UNNAMED
        add_to(place.series, SeriesKey("denial", *where, (event.agent, event.action, principal)), (1,))
        place.show(SeriesKey("agent", *where, (event.agent,)), event, event.interaction_id or event.id)


def _evaluation(place: Place, _system: System, event: Evaluation, ms: int) -> None:
    where = (event.environment, event.system, event.flow, event.version or "", event.criterion)
    score = round(event.score * SCORE_UNIT)
    drawn = event.sampling
    if drawn is None:
        place.records.append(ScoreRecord(event.id, ms, *where, score))
        return
    burst = (drawn.incident_id or "", event.interaction_id or "") if drawn.purpose == "burst" else ("", "")
    place.records.append(
        ScoreRecord(event.id, ms, *where, score, stratum_of(drawn.rate), drawn.uniform, drawn.purpose, *burst)
    )


def _circuit_breaker(place: Place, _system: System, event: CircuitBreaker, ms: int) -> None:
    breaker = event.breaker or event.dependency
    who = (event.environment, event.system, event.dependency, breaker, event.instance or "")
    place.records.append(BreakerRecord(event.id, ms, *who, event.state, event.failure_rate))


def _deployment(place: Place, _system: System, event: Deployment, ms: int) -> None:
    body = canonical_json({**to_builtins(event, order="sorted"), "time": rfc3339(ms)}).decode()
    place.records.append(DeploymentRecord(event.id, ms, event.environment, event.system, body))


class ShardMap:
    """`shard_of` with a bounded memo."""

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self._memo: dict[tuple[str, str], int] = {}

    def __call__(self, environment: str, system: str) -> int:
        """The shard of a system."""
        key = (environment, system)
        shard = self._memo.get(key)
        if shard is None:
            if len(self._memo) >= SHARD_MEMO:
                self._memo.clear()
            shard = self._memo[key] = shard_of(environment, system, self.shards)
        return shard


def type_of(event: NativeEvent | TracedSpan) -> EventType | Literal["span"]:
    """The event's type, as on the wire; a span, which is none yet, is a `span`."""
    return _TYPES[type(event)]
