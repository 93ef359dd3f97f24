"""Gather the case for a firing from one shard's windows and evidence, as of the tick.

Everything comes from the same shard at the same tick, so the same telemetry always gives the same case. `recent` is
from the onset to the tick; `before` is the day that ends at the onset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np

from detectors.base import MINUTES
from schemas.events import Deployment
from schemas.outputs import Exemplar, Firing
from schemas.series import SCORE_UNIT, SeriesKey, SeriesKind, rate_of
from stream.core.deltas import BreakerRecord, DeploymentRecord, ScoreRecord
from stream.core.evidence import Evidence
from stream.core.exemplars import SHOWN
from stream.core.ticks import MINUTE_MS, ms_of
from stream.core.windows import KindWindows
from triage.case import (
    AgentDenials,
    BreakerReading,
    BurstScores,
    Case,
    DenialCount,
    DependencyHealth,
    DeploymentHistory,
    Rate,
    ScoreSummary,
    ScoreTrend,
    VersionOutcome,
)
from triage.estimates import Stratum, estimate, plain

REFERENCE_MINUTES: Final = 24 * 60
DEPLOYMENT_LOOK_BACK_MINUTES: Final = 48 * 60
AGENTS: Final = 20
TOP: Final = 5

LOW_SCORE: Final = 3 * SCORE_UNIT
"""A score below it says that the interaction should not have gone that way."""


class Gatherer:
    """Builds cases from the windows and the evidence of one shard."""

    def __init__(self, windows: Mapping[SeriesKind, KindWindows], evidence: Evidence) -> None:
        self._windows = windows
        self._evidence = evidence

    def gather(self, firing: Firing) -> Case:
        """The case for `firing` at the windows' tick. Burn rates look at the whole system of their budget."""
        tick = self._windows["flow"].tick
        onset = min(ms_of(firing.onset_at) // MINUTE_MS, tick - 1)
        one = _OneCase(self._windows, self._evidence, firing, onset, tick)
        recent, before = one.interactions()
        return Case(
            firing=firing,
            tick_ms=tick * MINUTE_MS,
            onset_ms=onset * MINUTE_MS,
            reference_minutes=REFERENCE_MINUTES,
            interactions=recent,
            interactions_before=before,
            reasons=one.reasons(),
            denials=one.denials(),
            dependencies=one.dependencies(),
            scores=one.scores(),
            bursts=one.bursts(),
            versions=one.versions(),
            deployments=one.deployments(),
            tags=one.tags(),
            exemplars=one.exemplars("flow"),
            volume_before=one.volume_before(),
            onset_latest_ms=_latest_onset(firing, tick),
        )


@dataclass(frozen=True, slots=True)
class _StratumSums:
    """Count, sum and sum of squares of one version's scores at one sampling rate, in two periods."""

    version: str
    rate: float
    recent: list[int]
    before: list[int]


class _OneCase:
    def __init__(
        self,
        windows: Mapping[SeriesKind, KindWindows],
        evidence: Evidence,
        firing: Firing,
        onset: int,
        tick: int,
    ) -> None:
        self.windows = windows
        self.evidence = evidence
        self.environment = firing.scope.environment
        self.system = firing.scope.system
        self.flow = firing.scope.flow
        self.onset = onset
        self.tick = tick
        self._deployments: tuple[DeploymentHistory, ...] | None = None

    def _rows(self, kind: SeriesKind, *, by_flow: bool = False) -> list[tuple[SeriesKey, int]]:
        """Series of the firing's system, in order of keys; with `by_flow` only those of its flow, if it has one."""
        flow = self.flow if by_flow else None
        return sorted(
            (key, row)
            for key, row in self.windows[kind].rows_of(self.environment, self.system)
            if flow is None or key.dims[0] == flow
        )

    def _spans(self, kind: SeriesKind, row: int) -> tuple[tuple[list[int], int], tuple[list[int], int]]:
        """Counters and minutes of one series: recent, before."""
        windows = self.windows[kind]
        recent, recent_minutes = windows.span(row, self.onset, self.tick)
        before, before_minutes = windows.span(row, self.onset - REFERENCE_MINUTES, self.onset)
        return (recent.tolist(), recent_minutes), (before.tolist(), before_minutes)

    def _rates(self, kind: SeriesKind, row: int) -> tuple[Rate, Rate]:
        """The second counter out of the first: escalations of interactions, denials of requests."""
        (recent, recent_minutes), (before, before_minutes) = self._spans(kind, row)
        return Rate(recent[1], recent[0], recent_minutes), Rate(before[1], before[0], before_minutes)

    def interactions(self) -> tuple[Rate | None, Rate | None]:
        pairs = [self._rates("flow", row) for _, row in self._rows("flow", by_flow=True)]
        if not pairs:
            return None, None
        return _total(recent for recent, _ in pairs), _total(before for _, before in pairs)

    def volume_before(self) -> Rate | None:
        """Interactions a day earlier, in the hours of the clock that the recent period touches."""
        start = self.onset // 60 * 60 - REFERENCE_MINUTES
        end = -(-self.tick // 60) * 60 - REFERENCE_MINUTES
        rows = [row for _, row in self._rows("flow", by_flow=True)]
        spans = [self.windows["flow"].span(row, start, end) for row in rows]
        covered = max((minutes for _, minutes in spans), default=0)
        return Rate(0, sum(int(counts[0]) for counts, _ in spans), covered) if covered else None

    def reasons(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for key, row in self._rows("flow_reason", by_flow=True):
            (recent, _), (before, _) = self._spans("flow_reason", row)
            known = found.get(key.dims[1], (0, 0))
            found[key.dims[1]] = (known[0] + recent[0], known[1] + before[0])
        return dict(sorted(found.items()))

    def denials(self) -> tuple[AgentDenials, ...] | None:
        agents = self._rows("agent")
        if not agents:
            return None
        counts: dict[str, list[DenialCount]] = {}
        for key, row in self._rows("denial"):
            (recent, _), (before, _) = self._spans("denial", row)
            if recent[0]:
                agent, action, principal = key.dims
                counts.setdefault(agent, []).append(DenialCount(agent, action, principal, recent[0], before[0]))
        found = []
        for key, row in agents:
            agent = key.dims[0]
            recent_rate, before_rate = self._rates("agent", row)
            top = sorted(counts.get(agent, []), key=lambda d: (-d.recent, d.action, d.principal))[:TOP]
            found.append(AgentDenials(agent, recent_rate, before_rate, tuple(top), self.exemplars("agent", (agent,))))
        most = sorted(found, key=lambda a: (-a.recent.hits, a.agent))[:AGENTS]
        return tuple(sorted(most, key=lambda a: a.agent))

    def dependencies(self) -> tuple[DependencyHealth, ...] | None:
        rows = {key.dims[0]: row for key, row in self._rows("dependency")}
        breakers: dict[str, list[BreakerReading]] = {}
        for (dependency, breaker, instance), readings in sorted(
            self.evidence.breakers.get((self.environment, self.system), {}).items()
        ):
            reading = self._reading(breaker, instance, [readings[at] for at in sorted(readings)])
            if reading is not None:
                breakers.setdefault(dependency, []).append(reading)
        if not rows and not breakers:
            return None
        return tuple(
            self._dependency(name, rows.get(name), breakers.get(name, [])) for name in sorted({*rows, *breakers})
        )

    def _dependency(self, name: str, row: int | None, breakers: list[BreakerReading]) -> DependencyHealth:
        recent, before, timeouts = Rate(0, 0, 0), Rate(0, 0, 0), 0
        if row is not None:
            (r, r_minutes), (b, b_minutes) = self._spans("dependency", row)
            recent, before, timeouts = Rate(r[1] + r[2], r[0], r_minutes), Rate(b[1] + b[2], b[0], b_minutes), r[2]
        return DependencyHealth(name, recent, before, timeouts, tuple(breakers), self.exemplars("dependency", (name,)))

    def _reading(self, breaker: str, instance: str, readings: list[BreakerRecord]) -> BreakerReading | None:
        seen = [r for r in readings if r.ms < self.tick * MINUTE_MS]
        if not seen:
            return None
        pairs = zip([None, *seen[:-1]], seen, strict=True)
        changes = [r for previous, r in pairs if previous is None or previous.state != r.state]
        since = (self.onset - REFERENCE_MINUTES) * MINUTE_MS
        recent = [r for r in changes[1:] if r.ms >= since]
        opened = _openings(changes, since)
        last = seen[-1]
        return BreakerReading(
            breaker=breaker,
            instance=instance,
            state=last.state,  # type: ignore[arg-type]  # the decoder admitted only states of the vocabulary
            changed_ms=changes[-1].ms,
            reported_ms=last.ms,
            failure_rate=last.failure_rate,
            recent_changes=len(recent),
            recent_openings=opened,
        )

    def scores(self) -> tuple[ScoreTrend, ...] | None:
        rows = self._rows("score", by_flow=True)
        if not rows:
            return None
        strata = self._strata()
        versions: dict[tuple[str, str], list[tuple[str, ScoreSummary]]] = {}
        for key, row in self._rows("score_version", by_flow=True):
            flow, criterion, version = key.dims
            (recent, _), (before, _) = self._spans("score_version", row)
            if recent[0]:
                own = [s for s in strata.get((flow, criterion), []) if s.version == version]
                weighted = _weighted(own, recent[0], before[0])
                summary = weighted[0] if weighted else plain(*recent)
                versions.setdefault((flow, criterion), []).append((version, summary))
        found = []
        for key, row in rows:
            flow, criterion = key.dims
            (recent, _), (before, _) = self._spans("score", row)
            by_version = tuple(versions.get((flow, criterion), []))
            now, then = _weighted(strata.get((flow, criterion), []), recent[0], before[0]) or (
                plain(*recent),
                plain(*before),
            )
            found.append(ScoreTrend(flow, criterion, now, then, by_version))
        return tuple(found)

    def _strata(self) -> dict[tuple[str, str], list[_StratumSums]]:
        """Recent and former sums by sampling rate of each flow and criterion, versions together."""
        found: dict[tuple[str, str], list[_StratumSums]] = {}
        for key, row in self._rows("score_stratum", by_flow=True):
            flow, criterion, version, stratum = key.dims
            (recent, _), (before, _) = self._spans("score_stratum", row)
            if recent[0] or before[0]:
                sums = _StratumSums(version, rate_of(int(stratum)), recent, before)
                found.setdefault((flow, criterion), []).append(sums)
        return found

    def bursts(self) -> tuple[BurstScores, ...]:
        """Scores of interactions that the firing's incident is made of."""
        found: dict[tuple[str, str], list[ScoreRecord]] = {}
        for record in self.evidence.bursts.get((self.environment, self.system), {}).values():
            if self.onset <= record.ms // MINUTE_MS < self.tick and self.flow in (None, record.flow):
                found.setdefault((record.flow, record.criterion), []).append(record)
        return tuple(
            BurstScores(
                *place,
                plain(len(records), sum(r.score for r in records), sum(r.score**2 for r in records)),
                sum(r.score < LOW_SCORE for r in records),
            )
            for place, records in sorted(found.items())
        )

    def versions(self) -> tuple[VersionOutcome, ...]:
        """Of the firing's flows, and of those that a deployment changed: whether that is another flow shows there."""
        changed = {history.component for history in self.deployments() or ()}
        flows: dict[str, list[tuple[str, int]]] = {}
        for key, row in self._rows("flow_version"):
            flow, version = key.dims
            if self.flow is None or flow == self.flow or flow in changed:
                flows.setdefault(flow, []).append((version, row))
        return tuple(outcome for flow in flows for outcome in self._outcomes(flow, flows[flow]))

    def _outcomes(self, flow: str, versions: list[tuple[str, int]]) -> Iterator[VersionOutcome]:
        """The versions of one flow. What they share is known for the last two hours only."""
        rates = [(version, *self._rates("flow_version", row)) for version, row in versions]
        since = max(self.onset, self.tick - MINUTES)
        if sum(recent.total > 0 for _, recent, _ in rates) < 2 or since >= self.tick:
            yield from (VersionOutcome(flow, *one) for one in rates)
            return
        counts = self.windows["flow_version"].minutes_of([row for _, row in versions], since, self.tick)
        served = counts[:, :, 0] > 0
        for index, (version, recent, before) in enumerate(rates):
            together = served[index] & np.delete(served, index, axis=0).any(axis=0)
            total, hits = (int(value) for value in counts[index, together].sum(axis=0))
            yield VersionOutcome(flow, version, recent, before, Rate(hits, total, int(together.sum())))

    def deployments(self) -> tuple[DeploymentHistory, ...] | None:
        known = self.evidence.deployments.get((self.environment, self.system))
        if not known:
            return None
        if self._deployments is None:
            self._deployments = self._histories(known.values())
        return self._deployments

    def _histories(self, records: Iterable[DeploymentRecord]) -> tuple[DeploymentHistory, ...]:
        rollouts: dict[tuple[str, str], list[Deployment]] = {}
        newest: dict[tuple[str, str], int] = {}
        for record in sorted(records, key=lambda r: (r.ms, r.id)):
            if record.ms < self.tick * MINUTE_MS:
                event = self.evidence.parse(record)
                rollouts.setdefault((event.component, event.version), []).append(event)
                newest[event.component, event.version] = record.ms
        since = (self.onset - DEPLOYMENT_LOOK_BACK_MINUTES) * MINUTE_MS
        found = (DeploymentHistory.of(events) for place, events in rollouts.items() if newest[place] >= since)
        recent = [history for history in found if history is not None]
        return tuple(sorted(recent, key=lambda h: (h.first_ms, h.component, h.version)))

    def tags(self) -> dict[str, str]:
        record = self.evidence.tags.get((self.environment, self.system))
        return dict(record.tags) if record else {}

    def exemplars(self, kind: SeriesKind, dims: tuple[str, ...] | None = None) -> tuple[Exemplar, ...]:
        """Up to `SHOWN` of the recent period, of the given series or of the firing's flows."""
        windows = self.windows[kind]
        if dims is None:
            rows = [row for _, row in self._rows(kind, by_flow=True)]
        else:
            found_row = windows.row(SeriesKey(kind, self.environment, self.system, dims))
            rows = [] if found_row is None else [found_row]
        shown = [one for row in rows for one in windows.exemplars.of(row)]
        found = [one for one in shown if self.onset <= one.minute < self.tick]
        found.sort(key=lambda one: (one.rank, one.interaction_id))
        return tuple(Exemplar(trace_id=one.trace_id, interaction_id=one.interaction_id) for one in found[:SHOWN])


def _latest_onset(firing: Firing, tick: int) -> int | None:
    """The end of the detector's interval for the onset, in milliseconds; None where it gives none."""
    latest = firing.evidence.get("onset_latest")
    if not isinstance(latest, str):
        return None
    return min(ms_of(datetime.fromisoformat(latest)), (tick - 1) * MINUTE_MS)


def _openings(changes: Sequence[BreakerRecord], since_ms: int) -> int:
    """How often a breaker went from closed to open since `since_ms`; probing by half-open is no closing."""
    closed, found = True, 0
    for record in changes:
        if record.state in ("open", "forced_open"):
            found += int(closed and record.ms >= since_ms)
            closed = False
        elif record.state == "closed":
            closed = True
    return found


def _total(rates: Iterable[Rate]) -> Rate:
    every = list(rates)
    return Rate(sum(r.hits for r in every), sum(r.total for r in every), max(r.minutes for r in every))


def _weighted(strata: Sequence[_StratumSums], recent: int, before: int) -> tuple[ScoreSummary, ScoreSummary] | None:
    """The weighted summaries; None while the strata are younger than the windows beside them."""
    if sum(s.recent[0] for s in strata) < recent or sum(s.before[0] for s in strata) < before:
        return None
    return estimate(_by_rate(strata, "recent")), estimate(_by_rate(strata, "before"))


def _by_rate(strata: Sequence[_StratumSums], period: Literal["recent", "before"]) -> list[Stratum]:
    sums: dict[float, list[int]] = {}
    for one in strata:
        known = sums.setdefault(one.rate, [0, 0, 0])
        for index, amount in enumerate(one.recent if period == "recent" else one.before):
            known[index] += amount
    return [Stratum(rate, *sums[rate]) for rate in sorted(sums)]
