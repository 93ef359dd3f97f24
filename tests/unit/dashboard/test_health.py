"""The engine's health: nothing stale, silent or unreachable looks like a quiet night."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dashboard.health import Signs, health_of
from tests.support.dashboard_verdicts import AT, heartbeat

BEATS = {0: heartbeat(0), 1: heartbeat(1)}


def signs(**changes: Any) -> Signs:
    return Signs(**{"clock": "wall", "shards": 2, "heartbeats": BEATS, "heard": {0: 5.0, 1: 5.0}, **changes})


def test_a_healthy_engine_has_no_problem() -> None:
    """All shards alive, no lag: nothing is said, and the time of the last sign is there."""
    health = health_of(signs(), AT + timedelta(minutes=1))
    assert (health.problems, health.shards_alive, health.series) == ((), 2, 20)
    assert health.last_event_at == AT


@pytest.mark.parametrize(
    ("changes", "minutes", "severity", "wanted"),
    [
        ({"heartbeats": {}, "heard": {}}, 1, "critical", "no sign of life"),
        ({"heartbeats": {}, "heard": {}, "waited": 59.0}, 1, "warning", "Starting: nothing has been heard"),
        ({"heartbeats": {}, "heard": {}, "waited": 61.0}, 1, "critical", "no sign of life"),
        ({"heard": {0: 5.0, 1: 500.0}}, 1, "critical", "Only 1 of 2 shards"),
        ({"heard": {0: 500.0, 1: 500.0}}, 1, "critical", "None of 2 shards"),
        ({"heartbeats": {0: BEATS[0]}, "heard": {0: 5.0}}, 1, "critical", "Only 1 of 2 shards"),
        ({"kafka_silent": 30.0}, 1, "critical", "Kafka has not answered for 30 s"),
        ({"redis_silent": 300.0}, 1, "critical", "Redis has not answered for 5 min"),
        ({}, 10, "warning", "10 min behind"),
        ({}, 180, "critical", "3.0 h behind"),
        ({"caught_up": False}, 1, "warning", "still reading"),
        ({"clock": "stream", "heard": {0: 900.0, 1: 900.0}}, 1, "warning", "No telemetry has moved the clock"),
    ],
)
def test_each_trouble_is_said_with_a_remedy(changes: dict[str, Any], minutes: int, severity: str, wanted: str) -> None:
    """Every way to be blind is a problem of its own, gravest first, with what to do."""
    problems = health_of(signs(**changes), AT + timedelta(minutes=minutes)).problems
    assert (problems[0].severity, wanted in problems[0].text) == (severity, True), problems
    assert all(problem.remedy for problem in problems)


def test_where_telemetry_moves_time_now_is_the_newest_tick() -> None:
    """In the demonstration the wall clock says nothing: no lag, and ages count from the newest tick."""
    health = health_of(signs(clock="stream"), AT + timedelta(days=200))
    assert (health.problems, health.now_at) == ((), AT)
