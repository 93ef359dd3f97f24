"""Fold events into deltas: what each shard gains, at which tick it becomes visible.

One `PartitionFold` follows one source partition, in the order of its offsets, and knows the partition's own watermark.
Batches may be cut anywhere: the sums are the same. The loop over events is the hot path of the engine, so it counts
into plain lists by small keys and spreads them over series only once a batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from zlib import crc32

from msgspec import to_builtins

from costs.budgets import BudgetRule
from costs.prices import price_micro, usd_to_micro
from schemas.canonical import canonical_json
from schemas.series import SCORE_UNIT, SeriesKey
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
from stream.core.deltas import (
    EXEMPLARS_PER_MINUTE,
    KIND_CODE,
    BreakerRecord,
    Count,
    Delta,
    DeploymentRecord,
    ExemplarRecord,
    Record,
    ScoreRecord,
    TagsRecord,
)
from stream.core.shards import shard_of
from stream.core.ticks import MINUTE_MS, NEVER, rfc3339

UNNAMED: Final = "(unnamed)"
"""Stands for an agent or a principal that the producer left out."""

DAY_MS: Final = 86_400_000
SHARD_MEMO: Final = 65_536

Place: TypeAlias = tuple[int, int]
"""A tick from which something is visible, and the minute that it counts in."""

FlowKey: TypeAlias = tuple[str, str, str, str | None]
_Flows: TypeAlias = dict[FlowKey, list[int]]

_TYPES: Final[dict[type, EventType]] = {
    Interaction: "interaction",
    Authorization: "authorization",
    CircuitBreaker: "circuit_breaker",
    Evaluation: "evaluation",
    Deployment: "deployment",
    Usage: "usage",
}


@dataclass(slots=True)
class FoldTallies:
    """Counts for metrics."""

    events: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    unpriced: Counter[str] = field(default_factory=Counter)


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
    ) -> None:
        self.newest_ms = newest_ms
        self.tallies = tallies or FoldTallies()
        self._lateness_ms = lateness_ms
        self._budgets = tuple(budgets)

    def add(self, events: Iterable[NativeEvent], batch: Batch) -> None:
        """Take events in, in the order of their offsets, and add what they bring to `batch`."""
        newest, lateness = self.newest_ms, self._lateness_ms
        passed = (newest - lateness) // MINUTE_MS
        at: Place = (NEVER, NEVER)
        flows: _Flows = {}
        for event in events:
            ms = event.time
            minute = ms // MINUTE_MS
            if ms > newest:
                newest = ms
                passed = (ms - lateness) // MINUTE_MS
                tick = minute + 1
            elif minute >= passed:
                tick = minute + 1
            else:
                tick = passed + 1
                self.tallies.late[type_of(event)] += 1
            if minute != at[1] or tick != at[0]:
                at = (tick, minute)
                flows = batch.flows_at(at)
            if type(event) is Interaction:
                key = (event.environment, event.system, event.flow, event.version)
                cell = flows.get(key)
                if cell is None:
                    cell = flows[key] = [0, 0, 0]
                cell[0] += 1
                outcome = event.outcome
                if outcome == "escalated":
                    cell[1] += 1
                    batch.escalation(at, event)
                elif outcome == "failed":
                    cell[2] += 1
                if event.steps:
                    batch.steps(at, event)
                if event.tags:
                    batch.tags(at, event, ms)
            else:
                self._add_other(at, event, ms, batch)
        self.newest_ms = newest

    def _add_other(self, at: Place, event: NativeEvent, ms: int, batch: Batch) -> None:
        batch.events[type_of(event)] += 1
        if event.tags:
            batch.tags(at, event, ms)
        match event:
            case Authorization():
                batch.authorization(at, event)
            case Usage():
                self._usage(at, event, ms, batch)
            case Evaluation():
                score = round(event.score * SCORE_UNIT)
                where = (event.environment, event.system, event.flow, event.version or "", event.criterion)
                batch.record(at, ScoreRecord(event.id, ms, *where, score))
            case CircuitBreaker():
                breaker = event.breaker or event.dependency
                who = (event.environment, event.system, event.dependency, breaker, event.instance or "")
                batch.record(at, BreakerRecord(event.id, ms, *who, event.state, event.failure_rate))
            case Deployment():
                body = canonical_json({**to_builtins(event, order="sorted"), "time": rfc3339(ms)}).decode()
                batch.record(at, DeploymentRecord(event.id, ms, event.environment, event.system, body))

    def _usage(self, at: Place, event: Usage, ms: int, batch: Batch) -> None:
        tokens = (event.input_tokens, event.cached_input_tokens or 0, event.output_tokens)
        cost = self._cost(event, tokens, ms)
        dims = (event.agent or UNNAMED, event.model, event.pricing or "payg")
        batch.count(at, SeriesKey("usage", event.environment, event.system, dims), (1, *tokens, cost))
        for budget in self._budgets:
            if budget.covers(event.environment, event.system, event.tags):
                batch.count(at, budget.key(), (1, cost))

    def _cost(self, event: Usage, tokens: tuple[int, int, int], ms: int) -> int:
        """Micro-dollars of one call; 0 for an unknown model, which is counted."""
        if event.pricing == "ptu":
            return 0  # provisioned units are a flat cost, accrued by the hour whether used or not
        if event.cost_usd is not None:
            return usd_to_micro(event.cost_usd)
        price = price_micro(event.model, event.provider, *tokens, ms // DAY_MS)
        if price is None:
            self.tallies.unpriced[event.model] += 1
        return price or 0


class Batch:
    """What one batch gained so far; `spread` gives it out by shard and tick."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self._flows: dict[Place, _Flows] = {}
        self._counts: dict[Place, dict[SeriesKey, list[int]]] = {}
        self._records: dict[int, list[Record]] = {}
        self._tags: dict[tuple[int, str, str], TagsRecord] = {}
        self._exemplars: dict[tuple[Place, SeriesKey], list[ExemplarRecord]] = {}

    def flows_at(self, at: Place) -> _Flows:
        flows = self._flows.get(at)
        if flows is None:
            flows = self._flows[at] = {}
        return flows

    def count(self, at: Place, key: SeriesKey, amounts: Sequence[int]) -> None:
        counts = self._counts.get(at)
        if counts is None:
            counts = self._counts[at] = {}
        known = counts.get(key)
        if known is None:
            counts[key] = list(amounts)
        else:
            for index, amount in enumerate(amounts):
                known[index] += amount

    def record(self, at: Place, record: Record) -> None:
        self._records.setdefault(at[0], []).append(record)

    def tags(self, at: Place, event: NativeEvent, ms: int) -> None:
        key = (at[0], event.environment, event.system)
        known = self._tags.get(key)
        if event.tags and (known is None or ms >= known.ms):
            record = TagsRecord(event.id, ms, event.environment, event.system, tuple(sorted(event.tags.items())))
            if known is None or (record.ms, record.id, record.tags) > (known.ms, known.id, known.tags):
                self._tags[key] = record

    def escalation(self, at: Place, event: Interaction) -> None:
        where = (event.environment, event.system)
        if event.escalation is not None:
            self.count(at, SeriesKey("flow_reason", *where, (event.flow, event.escalation.reason)), (1,))
        self._exemplar(at, SeriesKey("flow", *where, (event.flow,)), event)

    def steps(self, at: Place, event: Interaction) -> None:
        for step in event.steps or ():
            if step.dependency is not None:
                key = SeriesKey("dependency", event.environment, event.system, (step.dependency,))
                error, timeout = step.status == "error", step.status == "timeout"
                self.count(at, key, (1, int(error), int(timeout)))
                if error or timeout:
                    self._exemplar(at, key, event)

    def authorization(self, at: Place, event: Authorization) -> None:
        where = (event.environment, event.system)
        denied = event.decision == "deny"
        agent = SeriesKey("agent", *where, (event.agent,))
        self.count(at, agent, (1, int(denied)))
        if denied:
            principal = event.principal or UNNAMED
            self.count(at, SeriesKey("denial", *where, (event.agent, event.action, principal)), (1,))
            self._exemplar(at, agent, event, event.interaction_id or event.id)

    def _exemplar(self, at: Place, key: SeriesKey, event: NativeEvent, identity: str | None = None) -> None:
        shown = identity or event.id
        record = ExemplarRecord(
            KIND_CODE[key.kind], *key[1:], at[1], crc32(shown.encode()), event.trace_id, shown
        )
        known = self._exemplars.setdefault((at, key), [])
        known.append(record)
        if len(known) > EXEMPLARS_PER_MINUTE * 8:
            _keep_smallest(known)

    def spread(self, shard: Callable[[str, str], int]) -> dict[int, dict[int, Delta]]:
        """Everything by shard and tick. `shard` gives the shard of an environment and a system."""
        for at, flows in self._flows.items():
            self._spread_flows(at, flows)
        gathered: dict[int, dict[int, tuple[list[Count], list[Record]]]] = {}

        def bin_of(tick: int, environment: str, system: str) -> tuple[list[Count], list[Record]]:
            return gathered.setdefault(shard(environment, system), {}).setdefault(tick, ([], []))

        for (tick, minute), counts in self._counts.items():
            for key, amounts in counts.items():
                count = Count(KIND_CODE[key.kind], *key[1:], minute, tuple(amounts))
                bin_of(tick, key.environment, key.system)[0].append(count)
        for tick, record in self._every_record():
            bin_of(tick, record.environment, record.system)[1].append(record)
        return {
            number: {tick: Delta(tuple(counts), tuple(records)) for tick, (counts, records) in sorted(ticks.items())}
            for number, ticks in sorted(gathered.items())
        }

    def _spread_flows(self, at: Place, flows: _Flows) -> None:
        for (environment, system, flow, version), cell in flows.items():
            self.events["interaction"] += cell[0]
            self.count(at, SeriesKey("flow", environment, system, (flow,)), cell)
            if version is not None:
                self.count(at, SeriesKey("flow_version", environment, system, (flow, version)), cell[:2])

    def _every_record(self) -> Iterable[tuple[int, Record]]:
        for tick, records in self._records.items():
            for record in records:
                yield tick, record
        for (tick, _, _), tags in self._tags.items():
            yield tick, tags
        for ((tick, _), _), exemplars in self._exemplars.items():
            _keep_smallest(exemplars)
            for exemplar in exemplars:
                yield tick, exemplar


class ShardMap:
    """`shard_of` with a bounded memo."""

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self._memo: dict[tuple[str, str], int] = {}

    def __call__(self, environment: str, system: str) -> int:
        key = (environment, system)
        shard = self._memo.get(key)
        if shard is None:
            if len(self._memo) >= SHARD_MEMO:
                self._memo.clear()
            shard = self._memo[key] = shard_of(environment, system, self.shards)
        return shard


def type_of(event: NativeEvent) -> EventType:
    """The event's type, as on the wire."""
    return _TYPES[type(event)]


def _keep_smallest(exemplars: list[ExemplarRecord]) -> None:
    exemplars.sort(key=lambda r: (r.rank, r.interaction_id))
    del exemplars[EXEMPLARS_PER_MINUTE:]

