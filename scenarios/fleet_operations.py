"""What operations report: the phases of rollouts, and the states of circuit breakers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scenarios.fleet_effects import VersionTimeline, failed_share
from scenarios.fleet_events import Emitted, common, format_times
from scenarios.fleet_model import (
    ENVIRONMENT,
    HOUR_MS,
    LAG_MS,
    MINUTE_MS,
    SHIFT_MS,
    Effect,
    Flow,
    Outage,
    Rollout,
    System,
    of_kind,
)
from schemas.base import JsonObject

REPORT_MS = 5 * MINUTE_MS
"""How often a breaker reports its state."""

REPORT_CALLS = 100
"""Calls in a breaker's sliding window."""

PROBE_MS = 30_000
"""How long a breaker stays half open before it closes."""


def rollout_events(system: System, flow: Flow, effects: tuple[Effect, ...]) -> Iterator[Emitted]:
    """The deployment events of every rollout of `flow`."""
    timeline = VersionTimeline.of(flow, effects)
    for rollout in timeline.rollouts:
        previous = timeline.previous(rollout)
        for at, phase, percent in _phases(rollout):
            yield Emitted(at, _deployment(system, rollout, previous, at, phase, percent))


def _phases(rollout: Rollout) -> Iterator[tuple[int, str, float]]:
    """(time, phase, percent): started at the first step, progressed on the way, completed at 100 %, rolled back."""
    for index, (minutes, percent) in enumerate(rollout.ramp):
        at = rollout.start_ms + minutes * MINUTE_MS
        if index == 0:
            yield at, "started", percent
        elif percent < 100:
            yield at, "progressed", percent
        if percent == 100:
            yield at + LAG_MS + SHIFT_MS, "completed", percent
    if rollout.rolled_back_ms is not None:
        yield rollout.rolled_back_ms, "rolled_back", 0.0


def _deployment(system: System, rollout: Rollout, previous: str, at: int, phase: str, percent: float) -> JsonObject:
    component = rollout.component or rollout.flow
    event_id = f"dep-{component}-{rollout.version}-{phase}-{percent:g}-{at // MINUTE_MS:x}"
    event = common("deployment", event_id, _stamp(at), system)
    event["change"] = rollout.change
    event["component"] = component
    event["version"] = rollout.version
    event["previous_version"] = previous
    event["phase"] = phase
    event["canary_percent"] = percent
    if rollout.named_target:
        event["target"] = {
            "kind": "argo_rollout",
            "ref": {"cluster": f"{ENVIRONMENT}-eu", "namespace": system.name, "name": component},
        }
    event["artifact"] = f"registry.example/{system.name}/{component}:{rollout.version}"
    return event


def breaker_events(system: System, effects: tuple[Effect, ...], hour: int) -> Iterator[Emitted]:
    """The reports of every breaker of the system in `hour`: one each five minutes, and one at each change."""
    start, end = hour * HOUR_MS, (hour + 1) * HOUR_MS
    for index, dependency in enumerate(system.dependencies):
        for instance in range(system.breaker_instances):
            place = _Place(system, dependency, instance)
            changes = _changes_at(effects, dependency, instance)
            for at, previous, state, reason in changes:
                if start <= at < end:
                    yield Emitted(at, _report(place, effects, at, state, previous, reason))
            first = start + (index + 1) * 1_000 + instance * 50
            for at in range(first, end, REPORT_MS):
                state = next((new for when, _, new, _ in reversed(changes) if when <= at), "closed")
                yield Emitted(at, _report(place, effects, at, state))


class _Place(NamedTuple):
    system: System
    dependency: str
    instance: int


def _changes_at(effects: tuple[Effect, ...], dependency: str, instance: int) -> list[tuple[int, str, str, str]]:
    """(time, previous state, state, reason) of the breaker of one instance, in order of time."""
    outages = (outage for outage in of_kind(effects, Outage) if outage.dependency == dependency)
    mine = (outage for outage in outages if outage.open_instances is None or instance < outage.open_instances)
    return sorted(change for outage in mine for change in _changes(outage))


def _changes(outage: Outage) -> Iterator[tuple[int, str, str, str]]:
    """(time, previous state, state, reason) of a breaker that does its duty, or flaps."""
    if outage.open_ms is None:
        return
    end = outage.period.end_ms
    turn = 2 * outage.flap_ms if outage.flap_ms is not None else end
    for opened in range(outage.open_ms, end, turn):
        closing = end if outage.flap_ms is None else min(opened + outage.flap_ms, end)
        yield opened, "closed", "open", "failure rate above threshold"
        yield closing, "open", "half_open", "probing"
        yield closing + PROBE_MS, "half_open", "closed", "probes succeeded"


def _report(
    place: _Place,
    effects: tuple[Effect, ...],
    at: int,
    state: str,
    previous: str | None = None,
    reason: str | None = None,
) -> JsonObject:
    system, dependency, instance = place
    event = common("circuit_breaker", f"brk-{dependency}-{instance}-{at:x}-{state}", _stamp(at), system)
    event["dependency"] = dependency
    event["breaker"] = dependency
    event["instance"] = f"{system.name}-{instance}"
    event["state"] = state
    event["calls"] = REPORT_CALLS if state == "closed" else 0
    if state == "closed":
        event["failure_rate"] = round(float(failed_share(effects, dependency, np.array([at]))[0]), 3)
    if previous is not None:
        event["previous_state"] = previous
        event["reason"] = reason
    return event


def _stamp(at: int) -> str:
    return format_times(np.array([at], dtype=np.int64))[0]
