"""Fold events into deltas: what each shard gains, at which tick it becomes visible.

One `PartitionFold` follows one source partition, in the order of its offsets, and knows the partition's own watermark.
Batches may be cut anywhere: the sums are the same. This is the hot path of the engine: where an event counts is worked
out for all of them at once, and what is common (interactions, decisions, model calls) is counted by the events' own
names, which become series only when it is packed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final, Literal

import numpy as np
from msgspec import structs, to_builtins
from numpy.typing import NDArray

from costs.budgets import BudgetRule
from costs.prices import LIST, Called, PriceBook, usd_to_micro
from costs.tags_spend import SpendTally
from schemas.canonical import canonical_json
from schemas.series import SCORE_UNIT, stratum_of
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
from stream.core.batch import WORDS, Batch, Place, Trace, add_to
from stream.core.cells import UsageCell, show
from stream.core.controls import Control, record_of
from stream.core.deltas import KIND_CODE, BreakerRecord, DeploymentRecord, ScoreRecord
from stream.core.first_tags import FirstTags
from stream.core.gains import UNNAMED, Agent, Denied, Escalated, Flow, Gains
from stream.core.spans import TracedSpan
from stream.core.ticks import MINUTE_MS, NEVER, rfc3339, visible_from

__all__ = ["UNNAMED", "Batch", "FoldTallies", "PartitionFold", "type_of"]

DAY_MINUTES: Final = 1440

MIXED: Final = 16
"""Stretches of one place that are shorter than this, on average, are put together before they are counted."""

_DEPENDENCY: Final = KIND_CODE["dependency"]
_FLOW: Final = KIND_CODE["flow"]
_AGENT: Final = KIND_CODE["agent"]

_ENVIRONMENT: Final = attrgetter("environment")
_FLOW_KEY: Final[Callable[[Interaction], Flow]] = attrgetter("system", "flow", "version")
_AGENT_KEY: Final[Callable[[Authorization], Agent]] = attrgetter("system", "agent")
_ESCALATED_KEY: Final[Callable[[Interaction], Escalated]] = attrgetter(
    "system", "flow", "version", "escalation.reason"
)
_DENIED_KEY: Final[Callable[[Authorization], Denied]] = attrgetter(
    "system", "agent", "action", "principal"
)


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
        self._tags = FirstTags()
        self._budgets = tuple((rule, (KIND_CODE["budget"], *rule.key()[1:])) for rule in budgets)
        self._take: dict[type, Callable[[Place, Any, int], None]] = {
            Evaluation: _evaluation,
            CircuitBreaker: _circuit_breaker,
            Deployment: _deployment,
            TracedSpan: self._span,
        }

    def add(self, events: Iterable[NativeEvent | TracedSpan], batch: Batch) -> None:
        """Take events in, in the order of their offsets, and add what they bring to `batch`."""
        taken = list(events)
        self.add_columns(taken, np.array([event.time for event in taken], np.int64), batch)

    def add_columns(
        self, events: Sequence[NativeEvent | TracedSpan], times: NDArray[np.int64], batch: Batch
    ) -> None:
        """The same; `times[i]` is the time of `events[i]`, whose own is not looked at."""
        if not events:
            return
        newest = np.maximum(np.maximum.accumulate(times), self.newest_ms)
        self.newest_ms = int(newest[-1])
        minutes = times // MINUTE_MS
        passed = (newest - self._lateness_ms) // MINUTE_MS
        for index in np.flatnonzero(passed > minutes).tolist():
            self.tallies.late[type_of(events[index])] += 1
        ticks = np.maximum(minutes, passed) + 1
        edges = _edges(ticks, minutes)
        if len(edges) > 2 + len(events) // MIXED:
            # Minutes take turns, as where producers lag behind each other. Within a place the order is kept.
            order = np.lexsort((ticks, minutes))
            events, times = [events[index] for index in order.tolist()], times[order]
            ticks, minutes = ticks[order], minutes[order]
            edges = _edges(ticks, minutes)
        for begin, end in pairwise(edges):
            place = batch.place(int(ticks[begin]), int(minutes[begin]))
            self._count(place, events[begin:end], times[begin:end], batch.counted)

    def _count(
        self, place: Place, events: Sequence[NativeEvent | TracedSpan], times: NDArray[np.int64], counted: Counter[type]
    ) -> None:
        """Count events of one place, and into `counted` how many of each type."""
        environments = list(map(_ENVIRONMENT, events))
        environment = environments[0]
        if environments.count(environment) == len(environments):
            self._count_within(place, place.of(environment), events, times, counted)
            return
        indices: dict[str, list[int]] = {}
        for index, environment in enumerate(environments):
            indices.setdefault(environment, []).append(index)
        for environment, here in indices.items():
            those = [events[index] for index in here]
            self._count_within(place, place.of(environment), those, times[here], counted)

    def _count_within(  # noqa: C901  # the hot loop: a call for each event would take as long as all that it does
        self,
        place: Place,
        gains: Gains,
        events: Sequence[NativeEvent | TracedSpan],
        times: NDArray[np.int64],
        counted: Counter[type],
    ) -> None:
        """The same for events of one environment.

        What is common is sorted by type and counted by functions of C, with a step of Python only for what is odd.
        """
        interactions: list[Interaction] = []
        usages: list[Usage] = []
        authorizations: list[Authorization] = []
        odd: list[Interaction] = []
        denied: list[Authorization] = []
        for event, ms in zip(events, times.tolist(), strict=True):
            if type(event) is Interaction:
                interactions.append(event)
                if event.outcome != "resolved":
                    odd.append(event)
                if event.steps:
                    _steps(place, event)
            elif type(event) is Usage:
                usages.append(event)
            elif type(event) is Authorization:
                authorizations.append(event)
                if event.decision == "deny":
                    denied.append(event)
            else:
                counted[type(event)] += 1
                self._take[type(event)](place, event, ms)
        gains.flows.update(map(_FLOW_KEY, interactions))
        gains.agents.update(map(_AGENT_KEY, authorizations))
        if odd:
            _odd(place, gains, odd)
        if denied:
            _denied(place, gains, denied)
        if usages:
            self._usage(place, gains, usages)
        tags = place.tags.setdefault(gains.environment, {})
        self._tags.note((place.tick, place.minute), gains.environment, tags, events, times)
        counted[Interaction] += len(interactions)
        counted[Usage] += len(usages)
        counted[Authorization] += len(authorizations)

    def add_controls(self, controls: Iterable[Control], batch: Batch) -> None:
        """The same for controls: visible and late by the same rule, recorded instead of counted."""
        for control in controls:
            record = record_of(control)
            batch.controls[control.type] += 1
            self.newest_ms = max(self.newest_ms, record.ms)
            tick = visible_from(record.ms, self.newest_ms - self._lateness_ms)
            if tick > record.ms // MINUTE_MS + 1:
                self.tallies.late[control.type] += 1
            batch.place(tick, record.ms // MINUTE_MS).records.append(record)

    def _span(self, place: Place, event: TracedSpan, _: int) -> None:
        """Keep a span for its trace; the tokens of an agent's own span are priced here, where the price book is."""
        if not event.trace_id:
            return
        where = (event.environment, event.system, event.trace_id)
        trace = place.traces.get(where)
        if trace is None:
            covering = tuple(budget.key() for budget, _ in self._budgets if budget.covers(*where[:2], event.tags))
            trace = place.traces[where] = Trace(event.version, covering)
        fact = event.fact
        if fact.model and any(fact.tokens):
            read, cached, written, _ = fact.tokens
            called, day = Called(fact.model, fact.provider or None), place.minute // DAY_MINUTES
            price = self._prices.micro(called, read, cached, written, day)
            fact = structs.replace(fact, tokens=(read, cached, written, price or 0))
        trace.spans.append(fact)

    def _usage(self, place: Place, gains: Gains, events: Sequence[Usage]) -> None:
        known, spend = gains.usage, self.tallies.spend
        for event in events:
            told = event.cost_usd
            if told is None or event.pricing == "ptu":
                cost = self._cost(event, place.minute // DAY_MINUTES)
            else:
                cost = usd_to_micro(told)
            key = (event.system, event.agent, event.model, event.pricing)
            cell = known.get(key)
            if cell is None:
                cell = known[key] = UsageCell()
            cell.requests += 1
            cell.input_tokens += event.input_tokens
            if event.cached_input_tokens:
                cell.cached_input_tokens += event.cached_input_tokens
            cell.output_tokens += event.output_tokens
            cell.cost += cost
            if cost and spend is not None:
                spend.note(event.environment, event.system, event.tags, cost, place.minute // DAY_MINUTES)
            for budget, series in self._budgets:
                if budget.covers(event.environment, event.system, event.tags):
                    add_to(place.series, series, (1, cost))

    def _cost(self, event: Usage, day: int) -> int:
        """Micro-dollars of a call that does not say them; 0 for an unknown model, which is counted."""
        if event.pricing == "ptu":
            return 0  # provisioned units are a flat cost, accrued by the hour whether used or not
        called = Called(event.model, event.provider, event.deployment, event.service_tier)
        tokens = (event.input_tokens, event.cached_input_tokens or 0, event.output_tokens)
        price = self._prices.micro(called, *tokens, day)
        if price is None:
            self.tallies.unpriced[event.model] += 1
        return price or 0


def _edges(ticks: NDArray[np.int64], minutes: NDArray[np.int64]) -> list[int]:
    """Where a stretch of events of one place begins, and the end of all."""
    changes = np.flatnonzero((ticks[1:] != ticks[:-1]) | (minutes[1:] != minutes[:-1])) + 1
    return [0, *changes.tolist(), len(ticks)]


def _odd(place: Place, gains: Gains, events: Sequence[Interaction]) -> None:
    """Note interactions that were not plainly resolved."""
    escalated = [event for event in events if event.outcome == "escalated"]
    explained = [event for event in escalated if event.escalation is not None]
    gains.escalated.update(map(_ESCALATED_KEY, explained))
    if len(explained) < len(escalated):
        gains.unexplained.update(_FLOW_KEY(event) for event in escalated if event.escalation is None)
    if len(escalated) < len(events):
        gains.failed.update(_FLOW_KEY(event) for event in events if event.outcome == "failed")
    for event in escalated:
        series = (_FLOW, event.environment, event.system, (event.flow,))
        show(place.exemplars, series, event.id, event.trace_id)


def _denied(place: Place, gains: Gains, events: Sequence[Authorization]) -> None:
    gains.denied.update(map(_DENIED_KEY, events))
    for event in events:
        series = (_AGENT, event.environment, event.system, (event.agent,))
        show(place.exemplars, series, event.interaction_id or event.id, event.trace_id)


def _steps(place: Place, event: Interaction) -> None:
    for step in event.steps or ():
        if step.dependency is not None:
            series = (_DEPENDENCY, event.environment, event.system, (step.dependency,))
            error, timeout = step.status == "error", step.status == "timeout"
            add_to(place.series, series, (1, int(error), int(timeout)))
            if error or timeout:
                show(place.exemplars, series, event.id, event.trace_id)


def _evaluation(place: Place, event: Evaluation, ms: int) -> None:
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


def _circuit_breaker(place: Place, event: CircuitBreaker, ms: int) -> None:
    breaker = event.breaker or event.dependency
    who = (event.environment, event.system, event.dependency, breaker, event.instance or "")
    place.records.append(BreakerRecord(event.id, ms, *who, event.state, event.failure_rate))


def _deployment(place: Place, event: Deployment, ms: int) -> None:
    body = canonical_json({**to_builtins(event, order="sorted"), "time": rfc3339(ms)}).decode()
    place.records.append(DeploymentRecord(event.id, ms, event.environment, event.system, body))


def type_of(event: NativeEvent | TracedSpan) -> EventType | Literal["span"]:
    """The event's type, as on the wire; a span, which is none yet, is a `span`."""
    return WORDS[type(event)]
