"""A detector small enough to reason about, and the events of the simulated logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detectors.base import Claim, State, WindowView
from schemas.canonical import canonical_json, content_id
from schemas.outputs import Firing, Scope
from schemas.series import SeriesKind
from schemas.words import DetectorName
from stream.core.ticks import MINUTE_MS, rfc3339

START_MINUTE = 29_000_000
SYSTEMS = ("refunds", "claims")
"""They lie in different shards of two; a test of the world says so."""


class TinyDetector:
    """Fires when a flow had two escalations or more within three minutes, pages at four, recovers at none."""

    name: ClassVar[DetectorName] = "escalation_rate"
    kind: ClassVar[SeriesKind] = "flow"

    def fresh(self, size: int) -> State:
        return {"fired": np.zeros(size, np.int64), "paged": np.zeros(size, np.int64)}

    def step(self, view: WindowView, state: State) -> tuple[State, list[Claim]]:
        sums = view.minutes(3).sum(axis=1)
        claims = []
        for row in range(len(view.keys)):
            total, escalated = int(sums[row, 0]), int(sums[row, 1])
            tier = "page" if escalated >= 4 else "warning"
            change = None
            if state["fired"][row] == 0 and escalated >= 2:
                change, state["fired"][row] = "opened", view.tick
                state["paged"][row] = int(tier == "page")
            elif state["fired"][row] and not state["paged"][row] and tier == "page":
                change, state["paged"][row] = "raised", 1
            elif state["fired"][row] and escalated == 0:
                change, tier = "recovered", "page" if state["paged"][row] else "warning"
            if change is None:
                continue
            fired = int(state["fired"][row])
            if change == "recovered":
                state["fired"][row] = state["paged"][row] = 0
            claims.append(
                Claim(
                    series=row,
                    change=change,
                    tier=tier,  # type: ignore[arg-type]
                    observed=float(escalated),
                    baseline=1.0,
                    threshold=2.0,
                    unit="escalations",
                    sample_count=total,
                    baseline_count=1.0,
                    confidence=0.5,
                    fired_minute=fired,
                    onset_minute=fired - 3,
                    window_start_minute=view.tick - 3,
                    window_end_minute=view.tick,
                    summary=f"{escalated} of {total} escalated",
                )
            )
        return state, claims


@dataclass(frozen=True)
class LogRecord:
    """A record of the in-memory log."""

    offset: int
    timestamp: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def event_value(number: int, second: int, system: int, kind: str) -> bytes:
    """An event `second` seconds after the start. `kind` says which; `poison` is no event at all."""
    if kind == "poison":
        return b'{"type":"interaction","id":"p%d"}' % number
    ms = START_MINUTE * MINUTE_MS + second * 1000
    base = {
        "id": f"e{number}",
        "time": rfc3339(ms),
        "environment": "prod",
        "system": SYSTEMS[system],
        "trace_id": f"t{number}",
        # By turns, so that it shows in a verdict which event's tags count.
        "tags": {"team": "abc"[number % 3]},
    }
    if kind.startswith("span_"):
        return span_value(number, ms, SYSTEMS[system], kind)
    if kind == "ack":
        # Of the incident that the system opened a little earlier, if it did; few histories guess it, all are played.
        fired_at = rfc3339((ms // MINUTE_MS - number % 3) * MINUTE_MS)
        scope = Scope(environment="prod", system=SYSTEMS[system], flow="f")
        firing_id = Firing.make_id("escalation_rate", scope, fired_at)
        incident_id = content_id("inc", {"firing_id": firing_id})
        more = {"incident_id": incident_id, "by": "ada", "withdrawn": number % 4 == 0}
        return canonical_json({**base, "type": "acknowledgement", **more})
    if kind in ("silence", "silence_all", "expire"):
        # Few ids, so that silences follow and end each other; some cover every system, that is every shard.
        minutes = 0 if kind == "expire" else 1 + number % 5
        return canonical_json(
            {
                **base,
                "type": "silence",
                "id": f"q{number % 3}",
                "system": "*" if kind == "silence_all" else base["system"],
                "starts_at": rfc3339(ms),
                "ends_at": rfc3339(ms + minutes * MINUTE_MS),
                "reason": "drill",
                "created_by": "ada",
            }
        )
    if kind == "deny":
        return canonical_json(
            {**base, "type": "authorization", "agent": "a", "action": "pay", "decision": "deny", "principal": "p"}
        )
    if kind == "score":
        # One id in three is repeated: evaluations count once by id, wherever they turn up.
        base["id"] = f"s{number % 7}"
        return canonical_json(
            {**base, "type": "evaluation", "flow": "f", "criterion": "tone", "score": 1 + number % 7 % 5}
        )
    if kind == "deploy":
        return canonical_json(
            {
                **base,
                "type": "deployment",
                "change": "flow",
                "component": "f",
                "version": f"v{number}",
                "phase": "completed",
                "canary_percent": 100.0,
            }
        )
    outcome = "escalated" if kind == "escalate" else "resolved"
    more = {"escalation": {"reason": "high_risk"}} if kind == "escalate" else {}
    return canonical_json({**base, "type": "interaction", "flow": "f", "version": "v1", "outcome": outcome, **more})


def span_value(number: int, ms: int, system: str, kind: str) -> bytes:
    """A span as OTLP JSON. Spans of about the same time share a few traces, whatever partition they come by."""
    said: dict[str, dict[str, str | int]] = {
        "span_root": {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "f", "llm.token_count.prompt": 7},
        "span_local": {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "f"},
        "span_human": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "escalate_to_human"},
        "span_denied": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "pay", "error.type": "403"},
        "span_plain": {},
    }
    attributes = said[kind]
    end = ms * 1_000_000
    span = {
        "traceId": f"{ms // (4 * MINUTE_MS) * 10 + number % 3:032x}",
        "spanId": f"{number + 1:016x}",
        "parentSpanId": "" if kind in ("span_root", "span_plain") else "f" * 16,
        "name": kind,
        "kind": 2 if kind == "span_local" else 1,
        "startTimeUnixNano": str(end - 1_000_000_000),
        "endTimeUnixNano": str(end),
        "attributes": [_attribute(name, value) for name, value in attributes.items()],
    }
    whose = {"deployment.environment.name": "prod", "service.name": system, "service.version": "v1"}
    resource = {"attributes": [_attribute(name, value) for name, value in whose.items()]}
    return canonical_json({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})


def _attribute(name: str, value: str | int) -> dict[str, object]:
    return {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
