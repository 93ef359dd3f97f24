"""An hour of traffic as counts, without an event for every interaction: how a fleet gets its history cheaply.

The counts are those that the fold would make of the very events of that hour (a test holds them equal). Only flows and
agents, which detectors follow minute by minute, keep their minutes; where `by_hour` is set the other kinds are counted
in the hour's first minute, since windows that old hold hours anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from costs.budgets import BudgetRule
from costs.prices import price_micro
from scenarios.fleet_effects import VersionTimeline
from scenarios.fleet_events import score_times
from scenarios.fleet_model import ENVIRONMENT, DenialSpike, Effect, Flow, System, Times, Unheard, of_kind
from scenarios.fleet_traffic import CRITERIA, ESCALATED, FAILED, Traffic
from schemas.series import SCORE_UNIT, SeriesKind
from schemas.words import EventType
from stream.core.deltas import KIND_CODE, Count
from stream.core.ticks import MINUTE_MS

Ints = NDArray[np.int64]
DAY_MS: Final = 86_400_000


class HourCounts:
    """Counts of one hour of one flow."""

    def __init__(
        self,
        system: System,
        flow: Flow,
        effects: tuple[Effect, ...],
        traffic: Traffic,
        budgets: Sequence[BudgetRule] = (),
        *,
        by_hour: bool = False,
    ) -> None:
        self._system, self._flow, self._effects, self._traffic = system, flow, effects, traffic
        self._budgets, self._by_hour = tuple(budgets), by_hour
        self._minutes = traffic.times // MINUTE_MS
        self._names = VersionTimeline.of(flow, effects).names

    def counts(self) -> Iterator[Count]:
        """All counts of the hour, as far as their events come."""
        if not len(self._traffic.times):
            return
        yield from self._flows()
        yield from self._agents()
        yield from self._scores()
        yield from self._usage()

    def _heard(self, kind: EventType, times: Times) -> Ints:
        """[N] 1 where an event of this type at this time comes."""
        heard = np.ones(len(times), dtype=np.int64)
        for deaf in of_kind(self._effects, Unheard):
            if kind in deaf.types:
                heard[(times >= deaf.period.start_ms) & (times < deaf.period.end_ms)] = 0
        return heard

    def _sum(self, kind: SeriesKind, dims: tuple[str, ...], minutes: Ints, amounts: Iterable[Ints]) -> Iterator[Count]:
        """Counts of one series: `amounts` has an array [N] for each counter. Minutes without any are left out."""
        if self._by_hour and kind not in ("flow", "agent"):
            minutes = minutes // 60 * 60
        unique, index = np.unique(minutes, return_inverse=True)
        columns = np.stack([np.bincount(index, weights=one, minlength=len(unique)) for one in amounts], axis=1)
        found = zip(unique.tolist(), np.rint(columns).astype(np.int64).tolist(), strict=True)
        for minute, row in found:
            if any(row):
                yield Count(KIND_CODE[kind], ENVIRONMENT, self._system.name, dims, minute, tuple(row))

    def _flows(self) -> Iterator[Count]:
        traffic, flow, omits = self._traffic, self._flow, self._system.omits
        ones = self._heard("interaction", traffic.times)
        escalated, failed = ones * (traffic.outcome == ESCALATED), ones * (traffic.outcome == FAILED)
        yield from self._sum("flow", (flow.name,), self._minutes, (ones, escalated, failed))
        if "version" not in omits:
            for version, mine in self._by_version():
                amounts = (ones * mine, escalated * mine)
                yield from self._sum("flow_version", (flow.name, version), self._minutes, amounts)
        if "reason" not in omits:
            for reason in sorted({word for word in traffic.reason[escalated > 0].tolist() if word is not None}):
                given = (escalated * (traffic.reason == reason),)
                yield from self._sum("flow_reason", (flow.name, reason), self._minutes, given)
        if "steps" not in omits:
            yield from self._dependencies(ones)

    def _by_version(self) -> Iterator[tuple[str, Ints]]:
        """Each version that served, and [N] 1 where it did. Several rollouts may bring the same one."""
        for version in sorted(set(self._names)):
            indices = [index for index, name in enumerate(self._names) if name == version]
            mine = np.isin(self._traffic.version, indices).astype(np.int64)
            if mine.any():
                yield version, mine

    def _dependencies(self, ones: Ints) -> Iterator[Count]:
        for dependency in sorted({step.dependency for step in self._flow.steps if step.dependency is not None}):
            steps = [index for index, step in enumerate(self._flow.steps) if step.dependency == dependency]
            called = (~self._traffic.skipped[:, steps]).sum(axis=1)
            errors = self._traffic.errored[:, steps].sum(axis=1)
            timeouts = self._traffic.timed_out[:, steps].sum(axis=1)
            amounts = (ones * called, ones * errors, ones * timeouts)
            yield from self._sum("dependency", (dependency,), self._minutes, amounts)

    def _agents(self) -> Iterator[Count]:
        traffic, wanted = self._traffic, self._flow.permission
        heard = self._heard("authorization", traffic.times)
        asked, denied, foreign = heard * traffic.asked, heard * traffic.denied, heard * traffic.foreign_requests
        yield from self._sum("agent", (wanted.agent,), self._minutes, (asked + foreign, denied + foreign))
        yield from self._sum("denial", (wanted.agent, wanted.action, wanted.principal), self._minutes, (denied,))
        spike = next((one for one in of_kind(self._effects, DenialSpike) if one.agent == wanted.agent), None)
        if spike is None or not foreign.any():
            return
        for action_at, action in enumerate(spike.actions):
            for principal_at, principal in enumerate(spike.principals):
                mine = traffic.picks % len(spike.actions) == action_at
                mine &= traffic.picks % len(spike.principals) == principal_at
                yield from self._sum("denial", (wanted.agent, action, principal), self._minutes, (foreign * mine,))

    def _scores(self) -> Iterator[Count]:
        times = score_times(self._traffic, self._minutes[0] // 60)
        judged = self._heard("evaluation", times) * self._traffic.judged
        if not judged.any():
            return
        minutes = times // MINUTE_MS
        for column, (criterion, _, _) in enumerate(CRITERIA):
            score = np.rint(self._traffic.scores[:, column] * SCORE_UNIT).astype(np.int64) * judged
            amounts = (judged, score, score * score)
            yield from self._sum("score", (self._flow.name, criterion), minutes, amounts)
            versions = list(self._by_version())
            for version, mine in versions:
                dims = (self._flow.name, criterion, version)
                yield from self._sum("score_version", dims, minutes, [one * mine for one in amounts])
                yield from self._sum("score_stratum", (*dims, "0"), minutes, [one * mine for one in amounts])
            if not versions:
                yield from self._sum("score_stratum", (self._flow.name, criterion, "", "0"), minutes, amounts)

    def _usage(self) -> Iterator[Count]:
        traffic, flow = self._traffic, self._flow
        heard = self._heard("usage", traffic.times)
        if not heard.any():
            return
        tokens = traffic.input_tokens.sum(axis=1), traffic.output_tokens.sum(axis=1)
        cost = np.array([self._price(*pair) for pair in zip(*(one.tolist() for one in tokens), strict=True)])
        cost *= heard * (traffic.spilled | (flow.pricing != "ptu"))
        none = np.zeros(len(heard), dtype=np.int64)
        amounts = (heard, heard * tokens[0], none, heard * tokens[1], cost)
        for spilled, pricing in ((False, flow.pricing), (True, "spillover")):
            mine = traffic.spilled == spilled
            if mine.any():
                dims = (flow.permission.agent, flow.model, pricing)
                yield from self._sum("usage", dims, self._minutes, [one * mine for one in amounts])
        tags = {} if "tags" in self._system.omits else dict(self._system.tags)
        for budget in self._budgets:
            if budget.covers(ENVIRONMENT, self._system.name, tags):
                key = budget.key()
                for count in self._sum("budget", key.dims, self._minutes, (heard, cost)):
                    yield Count(count.kind, key.environment, key.system, key.dims, count.minute, count.amounts)

    def _price(self, input_tokens: int, output_tokens: int) -> int:
        day = int(self._traffic.times[0]) // DAY_MS
        return price_micro(self._flow.model, "azure", input_tokens, 0, output_tokens, day) or 0
