"""An hour of traffic as Midwatch events: interactions, their authorizations, usage and scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scenarios.fleet_effects import VersionTimeline
from scenarios.fleet_model import (
    ENVIRONMENT,
    HOUR_MS,
    DenialSpike,
    Effect,
    Flow,
    System,
    Times,
    of_kind,
)
from scenarios.fleet_texts import Said, texts
from scenarios.fleet_traffic import CRITERIA, ESCALATED, OUTCOMES, Traffic
from schemas.base import JsonObject

JUDGE = {"model": "simulated", "prompt_version": "1", "method": "simulated"}
"""The scores are drawn, not judged, and say so."""

_CRITERIA = tuple(name for name, _, _ in CRITERIA)


class Emitted(NamedTuple):
    """An event and its time in milliseconds since 1970-01-01 UTC."""

    time_ms: int
    event: JsonObject


def format_times(times: Times) -> list[str]:
    """RFC 3339 in UTC with milliseconds for each time."""
    return [f"{text}Z" for text in np.datetime_as_string(times.astype("datetime64[ms]"), unit="ms").tolist()]


def common(kind: str, event_id: str, time: str, system: System) -> JsonObject:
    """The fields that every event has."""
    event: JsonObject = {
        "type": kind,
        "id": event_id,
        "time": time,
        "environment": ENVIRONMENT,
        "system": system.name,
    }
    if "tags" not in system.omits:
        event["tags"] = dict(system.tags)
    return event


def hour_events(
    system: System, flow: Flow, effects: tuple[Effect, ...], hour: int, traffic: Traffic, *, with_scores: bool = True
) -> Iterator[Emitted]:
    """Every event of `traffic`, interaction by interaction; what follows an interaction stays inside its hour.

    With `with_scores` the interactions that are judged carry texts and have their scores; else all carry texts, for
    somebody to judge.
    """
    versions = VersionTimeline.of(flow, effects).names
    spikes = [spike for spike in of_kind(effects, DenialSpike) if spike.agent == flow.permission.agent]
    scribe = _Scribe(system, flow, tuple(spikes), versions, traffic, (hour + 1) * HOUR_MS - 1, with_scores)
    for row in range(len(traffic.times)):
        yield from scribe.row(row)


def score_times(traffic: Traffic, hour: int) -> Times:
    """When each interaction of `hour` is scored, if it is: up to eight seconds later, inside its hour."""
    at: Times = np.minimum(traffic.times + 1_000 + traffic.picks % 7_000, (hour + 1) * HOUR_MS - 1)
    return at


class _Scribe:
    """Writes the events of one hour of traffic; arrays become lists once, since reading those is far faster."""

    def __init__(
        self,
        system: System,
        flow: Flow,
        spikes: tuple[DenialSpike, ...],
        versions: tuple[str, ...],
        traffic: Traffic,
        last_ms: int,
        with_scores: bool,
    ) -> None:
        self.system, self.flow, self.spikes, self.with_scores = system, flow, spikes, with_scores
        self.omits = system.omits
        self.times: list[int] = traffic.times.tolist()
        self.stamps = format_times(traffic.times)
        self.versions = [versions[index] for index in traffic.version.tolist()]
        self.outcome: list[int] = traffic.outcome.tolist()
        self.reason: list[str | None] = traffic.reason.tolist()
        self.skipped: list[list[bool]] = traffic.skipped.tolist()
        self.timed_out: list[list[bool]] = traffic.timed_out.tolist()
        self.errored: list[list[bool]] = traffic.errored.tolist()
        self.spilled: list[bool] = traffic.spilled.tolist()
        self.durations: list[list[float]] = traffic.durations.tolist()
        self.input_tokens: list[list[int]] = traffic.input_tokens.tolist()
        self.output_tokens: list[list[int]] = traffic.output_tokens.tolist()
        self.judged: list[bool] = traffic.judged.tolist()
        scored = score_times(traffic, last_ms // HOUR_MS)
        self.scored: list[int] = scored.tolist()
        self.scored_stamps = format_times(scored)
        self.scores: list[list[float]] = traffic.scores.tolist()
        self.asked: list[bool] = traffic.asked.tolist()
        self.denied: list[bool] = traffic.denied.tolist()
        self.foreign: list[int] = traffic.foreign_requests.tolist()
        self.picks: list[int] = traffic.picks.tolist()

    def row(self, row: int) -> Iterator[Emitted]:
        """The events of one interaction."""
        at = self.times[row]
        # Time, flow and the number drawn for the phrases tell apart even interactions of the same millisecond.
        name = f"{self.flow.name}-{at:x}-{self.picks[row]:06d}"
        trace = f"{at:016x}{self.picks[row]:08x}{row:08x}"
        yield Emitted(at, self._interaction(row, f"int-{name}", trace))
        yield Emitted(at, self._usage(row, name, trace))
        if self.asked[row]:
            yield Emitted(at, self._permission(row, name, trace))
        for number in range(self.foreign[row]):
            yield Emitted(at, self._foreign(row, f"{name}-{number}", f"int-{name}", trace))
        if self.judged[row] and self.with_scores:
            yield from self._scores(row, name, trace)

    def _interaction(self, row: int, event_id: str, trace: str) -> JsonObject:
        flow = self.flow
        steps = self._steps(row)
        event = common("interaction", event_id, self.stamps[row], self.system)
        event["trace_id"] = trace
        event["flow"] = flow.name
        if "version" not in self.omits:
            event["version"] = self.versions[row]
        event["model"] = flow.model
        event["outcome"] = OUTCOMES[self.outcome[row]]
        event["duration_ms"] = round(steps[-1]["start_ms"] + steps[-1]["duration_ms"], 1)
        if "steps" not in self.omits:
            event["steps"] = steps
        if self.outcome[row] == ESCALATED and "reason" not in self.omits:
            event["escalation"] = {"reason": self.reason[row], "agent": flow.permission.agent}
        if self.judged[row] or not self.with_scores:
            event.update(self._texts(row))
        return event

    def _steps(self, row: int) -> list[JsonObject]:
        steps: list[JsonObject] = []
        start = 0.0
        for index, plan in enumerate(self.flow.steps):
            if self.skipped[row][index]:
                continue
            duration = self.durations[row][index]
            status = "timeout" if self.timed_out[row][index] else "error" if self.errored[row][index] else "ok"
            step: JsonObject = {
                "agent": plan.agent,
                "operation": plan.operation,
                "name": plan.name,
                "start_ms": round(start, 1),
                "duration_ms": duration,
                "status": status,
            }
            if plan.dependency is not None:
                step["dependency"] = plan.dependency
            if plan.input_tokens:
                step["input_tokens"] = self.input_tokens[row][index]
                step["output_tokens"] = self.output_tokens[row][index]
            steps.append(step)
            start += duration
        return steps

    def _texts(self, row: int) -> JsonObject:
        """What was asked and answered, and the tool's result, for the judge."""
        said = Said(
            self.picks[row],
            self.outcome[row] == ESCALATED,
            dict(zip(_CRITERIA, self.scores[row], strict=True)),
            self.spikes[0].request_text if self.foreign[row] else None,
        )
        return texts(self.flow, said)

    def _usage(self, row: int, name: str, trace: str) -> JsonObject:
        event = common("usage", f"use-{name}", self.stamps[row], self.system)
        event["trace_id"] = trace
        event["agent"] = self.flow.permission.agent
        event["flow"] = self.flow.name
        event["model"] = self.flow.model
        event["provider"] = "azure"
        event["pricing"] = "spillover" if self.spilled[row] else self.flow.pricing
        event["input_tokens"] = sum(self.input_tokens[row])
        event["output_tokens"] = sum(self.output_tokens[row])
        return event

    def _permission(self, row: int, name: str, trace: str) -> JsonObject:
        wanted = self.flow.permission
        event = common("authorization", f"auth-{name}", self.stamps[row], self.system)
        event["trace_id"] = trace
        event["agent"] = wanted.agent
        event["action"] = wanted.action
        event["resource"] = wanted.resource
        event["principal"] = wanted.principal
        event["version"] = self.versions[row]
        event["interaction_id"] = f"int-{name}"
        event["decision"] = "deny" if self.denied[row] else "allow"
        if self.denied[row]:
            event["reason"] = "limit_exceeded"
        return event

    def _foreign(self, row: int, name: str, interaction_id: str, trace: str) -> JsonObject:
        spike = self.spikes[0]
        event = common("authorization", f"auth-{name}", self.stamps[row], self.system)
        event["trace_id"] = trace
        event["agent"] = spike.agent
        event["action"] = spike.actions[self.picks[row] % len(spike.actions)]
        event["resource"] = spike.resource
        event["principal"] = spike.principals[self.picks[row] % len(spike.principals)]
        event["version"] = self.versions[row]
        event["interaction_id"] = interaction_id
        event["decision"] = "deny"
        event["reason"] = "outside_scope"
        return event

    def _scores(self, row: int, name: str, trace: str) -> Iterator[Emitted]:
        """One score for each criterion."""
        at, stamp = self.scored[row], self.scored_stamps[row]
        for (criterion, _, _), score in zip(CRITERIA, self.scores[row], strict=True):
            event = common("evaluation", f"eval-{name}-{criterion}", stamp, self.system)
            event["trace_id"] = trace
            event["flow"] = self.flow.name
            event["version"] = self.versions[row]
            event["criterion"] = criterion
            event["score"] = score
            event["interaction_id"] = f"int-{name}"
            event["judge"] = JUDGE
            yield Emitted(at, event)
