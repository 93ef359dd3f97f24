"""`midwatch triage`: the runbook's chain on demand, for one system, whether or not anything has fired.

The shard is read as Redis holds it, and nothing is changed: no lease is taken, nothing is sealed, so it can be asked
beside a running engine. What is asked about is the half hour before a minute: the latest that the telemetry is complete
for, or an earlier one that the minute windows still reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, cast

import numpy as np

from detectors.base import MINUTES
from detectors.onset import rise
from schemas.base import JsonObject
from schemas.canonical import jsonable
from schemas.outputs import Firing, Scope, Verdict
from stream.assembly import engine_of
from stream.core.gather import Gatherer
from stream.core.machine import Limits, ShardMachine
from stream.core.shards import shard_of
from stream.core.ticks import MINUTE_MS, ms_of, rfc3339, time_of
from stream.core.windows import KindWindows
from stream.guard import TimedGuard
from stream.ondemand_read import AsOf, OnDemandError, latest_machine
from stream.settings import Settings
from stream.settings_clients import redis_client
from stream.store import Store
from triage.case import Case, Rate
from triage.registry import build as build_checks
from triage.verdict import Occasion, assess, build_verdict
from triage.words import fraction, percent

WINDOW_MINUTES: Final = 30
"""The runbook's question: the last half hour."""

CLEAR_COUNT: Final = 5
CLEAR_RATIO: Final = 2.0
"""Escalations, and how far above the usual, from which the estimated onset stands in for the start of the window."""

LISTED: Final = 30
"""Most systems or flows that an error names."""

_UNSAID: Final = ("verdict_id", "incident_id", "revision", "status", "severity", "trigger", "decided_at", "scope")
"""Parts of a verdict that only a firing has."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which system, which of its flows (None for all), and as of when (None for the latest)."""

    environment: str
    system: str
    flow: str | None = None
    at: datetime | None = None

    @property
    def place(self) -> str:
        """The system in words."""
        return f"{self.environment}/{self.system}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the chain says. `verdict` was built as for a firing, and is published nowhere."""

    question: Question
    tick: int
    recent: Rate
    before: Rate
    verdict: Verdict

    @property
    def ratio(self) -> float | None:
        """How many times the usual rate of escalations; None without a usual rate."""
        usual = fraction(self.before)
        return fraction(self.recent) / usual if usual > 0 else None

    def summary(self) -> str:
        """The half hour in one sentence."""
        now = f"{self.recent.hits} of {self.recent.total} interactions escalated ({percent(fraction(self.recent))})"
        if self.before.total == 0:
            return f"{now} in {WINDOW_MINUTES} min; the day before had none to compare with."
        times = "" if self.ratio is None else f", {self.ratio:.1f} times as much"
        return f"{now} in {WINDOW_MINUTES} min, against {percent(fraction(self.before))} over the day before{times}."

    def to_json(self) -> JsonObject:
        """The answer as plain JSON: the parts of a verdict that do not need a firing, and the half hour's numbers."""
        said = {name: value for name, value in jsonable(self.verdict).items() if name not in _UNSAID}
        # An answer to a question is no order: without a key nobody can act on it once and for all.
        del said["recommendation"]["idempotency_key"]
        scope = {"environment": self.question.environment, "system": self.question.system, "flow": self.question.flow}
        window = {
            "start": rfc3339((self.tick - WINDOW_MINUTES) * MINUTE_MS),
            "end": rfc3339(self.tick * MINUTE_MS),
            "interactions": self.recent.total,
            "escalations": self.recent.hits,
            "interactions_before": self.before.total,
            "escalations_before": self.before.hits,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
        }
        return {"as_of": window["end"], "scope": scope, "window": window, "summary": self.summary(), **said}


async def ask(settings: Settings, question: Question) -> Answer:
    """Triage one system on demand.

    Raises OnDemandError that says what is known instead, for an unknown system or flow, or a time out of reach;
    RedisError where Redis does not answer, LayoutMismatch or LayoutError where it holds what this version cannot read.
    """
    client = redis_client(settings.redis)
    try:
        store = Store(client, settings.redis.namespace, settings.engine.shards)
        shard = shard_of(question.environment, question.system, store.shards)
        machine = await latest_machine(store, shard, settings, _bare_machine(settings))
        if machine is None or not _is_known(machine, question):
            raise OnDemandError(_unknown_system(question, await _all_systems(store, settings)))
    finally:
        await client.aclose()
    return answer(settings, machine, question)


def answer(settings: Settings, machine: ShardMachine, question: Question) -> Answer:
    """The answer from a shard's machine. Raises OnDemandError as `ask` does."""
    tick = _tick_of(machine, question)
    _check_flow(machine, question)
    windows = {kind: cast("KindWindows", AsOf(windows, tick)) for kind, windows in machine.windows.items()}
    gatherer = Gatherer(windows, machine.evidence)
    whole = gatherer.gather(_firing(question, tick, tick - WINDOW_MINUTES))
    recent, before = _rates(whole)
    case = gatherer.gather(_firing(question, tick, _onset(machine.windows["flow"], question, tick, fraction(before))))
    guard = TimedGuard()
    try:
        assessment = assess(machine.checks, replace(case, firing=_with_numbers(case.firing, recent, before)), guard)
    finally:
        guard.close()
    occasion = Occasion("on-demand", 0, "firing", tick * MINUTE_MS, case.onset_ms)
    verdict = build_verdict(occasion, assessment, settings.triage, machine.engine)
    # Whoever asks decides: nothing fired, so nothing is recommended to a machine.
    advice = verdict.recommendation.model_copy(update={"requires_approval": True})
    return Answer(question, tick, recent, before, verdict.model_copy(update={"recommendation": advice}))


def _bare_machine(settings: Settings) -> ShardMachine:
    """A machine without detectors: it keeps windows and evidence, and claims nothing."""
    limits = Limits(series_per_kind=settings.engine.max_series_per_kind)
    checks = build_checks(settings.triage)
    return ShardMachine((), settings.triage, engine_of(settings), limits, checks=checks)


def _tick_of(machine: ShardMachine, question: Question) -> int:
    latest = machine.tick
    if question.at is None:
        return latest
    tick = ms_of(question.at) // MINUTE_MS
    earliest = latest - (MINUTES - WINDOW_MINUTES)
    if earliest <= tick <= latest:
        return tick
    asked, first, last = (rfc3339(minute * MINUTE_MS) for minute in (tick, earliest, latest))
    why = (
        "the telemetry is complete only up to then"
        if tick > latest
        else f"counts by minute reach back {MINUTES} minutes, and {WINDOW_MINUTES} of them are looked at"
    )
    raise OnDemandError(f"{asked} is out of reach: ask for a time from {first} to {last} ({why})")


def _check_flow(machine: ShardMachine, question: Question) -> None:
    keys = machine.windows["flow"].rows_of(question.environment, question.system)
    flows = sorted(key.dims[0] for key, _ in keys)
    if question.flow is not None and question.flow not in flows:
        known = _listed(flows) or "none"
        raise OnDemandError(f"{question.place} has no flow {question.flow!r}; known flows: {known}")


def _firing(question: Question, tick: int, onset: int) -> Firing:
    """A stand-in for a detector's firing; it opens no incident and is published nowhere."""
    return Firing(
        firing_id="on-demand",
        detector="escalation_rate",
        status="firing",
        tier="warning",
        scope=Scope(environment=question.environment, system=question.system, flow=question.flow),
        at=time_of(tick),
        fired_at=time_of(tick),
        onset_at=time_of(onset),
        observed=0.0,
        baseline=0.0,
        threshold=0.0,
        unit="escalations per interaction",
        sample_count=0,
        baseline_count=0.0,
        confidence=0.0,
        window_start=time_of(tick - WINDOW_MINUTES),
        window_end=time_of(tick),
        summary="Asked for.",
    )


def _with_numbers(firing: Firing, recent: Rate, before: Rate) -> Firing:
    rates = {"observed": fraction(recent), "baseline": fraction(before)}
    return firing.model_copy(update={**rates, "sample_count": recent.total, "baseline_count": float(before.total)})


def _rates(case: Case) -> tuple[Rate, Rate]:
    nothing = Rate(0, 0, 0)
    return case.interactions or nothing, case.interactions_before or nothing


def _onset(flows: KindWindows, question: Question, tick: int, usual: float) -> int:
    """The minute in which escalations began to rise, if they clearly did within the window; else its first."""
    start = tick - WINDOW_MINUTES
    rows = [
        row
        for key, row in flows.rows_of(question.environment, question.system)
        if question.flow in (None, key.dims[0])
    ]
    first = start - (flows.tick - MINUTES)
    counts = flows.minutes(MINUTES)[rows, first : first + WINDOW_MINUTES].sum(axis=0, dtype=np.int64)
    expected = counts[:, 0] * np.float64(usual)
    onset = rise(counts[:, 1], expected, tick).minute
    risen, wanted = int(counts[onset - start :, 1].sum()), float(expected[onset - start :].sum())
    return onset if risen >= CLEAR_COUNT and risen >= CLEAR_RATIO * wanted else start


def _systems_of(machine: ShardMachine) -> set[tuple[str, str]]:
    """Every system that the shard knows of; budgets over several systems are none."""
    found = {(key.environment, key.system) for windows in machine.windows.values() for key in windows.keys}
    found |= {*machine.evidence.deployments, *machine.evidence.breakers}
    return {system for system in found if "*" not in system}


def _is_known(machine: ShardMachine, question: Question) -> bool:
    return (question.environment, question.system) in _systems_of(machine)


async def _all_systems(store: Store, settings: Settings) -> list[str]:
    made = await asyncio.gather(
        *(latest_machine(store, shard, settings, _bare_machine(settings)) for shard in range(store.shards))
    )
    return sorted(f"{e}/{s}" for machine in made if machine is not None for e, s in _systems_of(machine))


def _unknown_system(question: Question, known: list[str]) -> str:
    if not known:
        return (
            f"no telemetry of {question.place} has been seen, nor of any other system: "
            "is `midwatch run` reading the topics, and is this its configuration (redis.url, redis.namespace)?"
        )
    return f"no telemetry of {question.place} has been seen; known systems (environment/system): {_listed(known)}"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - LISTED} more" if len(every) > LISTED else ""
    return ", ".join(every[:LISTED]) + more
