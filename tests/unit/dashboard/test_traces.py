"""The sample of requests: bounded, waterfalls in order, latencies by step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dashboard.tail import Tail
from dashboard.traces import LATENCIES, SHOWN, WENT_WELL, Sample, quantile
from dashboard.views import Filter
from schemas.canonical import canonical_json
from schemas.outputs import Scope
from stream.core.ticks import ms_of, rfc3339
from stream.settings_sections import KafkaSettings
from tests.support.dashboard_verdicts import AT, ONSET


def request(number: int, outcome: str = "resolved", **changes: Any) -> dict[str, Any]:
    step = {"agent": "executor", "operation": "execute_tool", "status": "ok"}
    steps = [
        {**step, "start_ms": 50.0, "duration_ms": float(number), "status": "timeout" if outcome == "failed" else "ok"},
        {**step, "agent": "planner", "start_ms": 0.0, "duration_ms": 50.0, "input_tokens": 10, "output_tokens": 5},
    ]
    return {
        "type": "interaction",
        "id": f"i{number}",
        "time": rfc3339(ms_of(AT) + number),
        "environment": "production",
        "system": "refunds",
        "flow": "refund",
        "outcome": outcome,
        "steps": steps,
        **changes,
    }


def sample(*requests: dict[str, Any]) -> Sample:
    made = Sample()
    Tail(KafkaSettings(), "interaction", made.take).decode([canonical_json(one) for one in requests] + [b"junk", b"{}"])
    return made


def test_a_waterfall_has_its_steps_in_order_and_says_where_it_failed() -> None:
    """Steps by their start, tokens summed, the first that did not end well marked."""
    [trace] = sample(request(1, "failed")).newest(Filter(), ONSET)
    assert [step.agent for step in trace.steps] == ["planner", "executor"]
    assert (trace.failed_at, trace.steps[0].tokens, trace.steps[1].tokens) == (1, 15, None)


def test_an_incident_shows_what_its_findings_name_and_then_what_went_ill() -> None:
    """Requests of its flow since the onset; never those of another flow or time."""
    shown = sample(
        request(1), request(2, "escalated", escalation={"reason": "ambiguous"}), request(3, flow="other"), request(4)
    ).of_incident(Scope(environment="production", system="refunds", flow="refund"), ONSET, AT + timedelta(hours=1),
                  frozenset({"i1"}))  # fmt: skip
    assert [trace.interaction_id for trace in shown] == ["i1", "i2", "i4"]
    none = sample(request(1)).of_incident(
        Scope(environment="production", system="refunds"), ONSET - timedelta(hours=2), ONSET, frozenset()
    )
    assert none == ()


def test_latencies_are_by_agent_and_step_and_everything_is_bounded() -> None:
    """p50 and p95 by nearest rank; the sample ends at its caps, the newest stay."""
    made = sample(*[request(number) for number in range(1, WENT_WELL + 500)])
    rows = {row.agent: row for row in made.latency(Filter(flow="refund"), ONSET)}
    assert (rows["planner"].p50_ms, rows["planner"].requests) == (50.0, LATENCIES)
    assert rows["executor"].p95_ms > rows["executor"].p50_ms > 1000
    assert made.latency(Filter(flow="none"), ONSET) == ()
    assert len(made.newest(Filter(), ONSET)) == SHOWN
    assert len(made._well) == WENT_WELL
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
