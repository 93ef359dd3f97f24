"""The signals of a shard: the right numbers, of the series that matter, and never more than the cap."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.authorization_denials import AuthorizationDenials
from detectors.base import Expecting
from detectors.burn_rate import BurnRate, BurnRateSettings
from detectors.escalation_rate import EscalationRate, EscalationRateSettings
from detectors.evaluation_drop import EvaluationDrop
from schemas.series import MICRO_USD, SCORE_UNIT
from stream.core.deltas import Delta
from stream.core.machine import ShardMachine
from stream.core.signals import Signal, signals_of
from tests.unit.core.builders import CHECKS, ENGINE, START, TRIAGE, count, machine, traffic


def value(signal: Signal, name: str) -> float | None:
    return dict(signal.values).get(name)


def named(signals: tuple[Signal, ...]) -> list[str]:
    return [signal.labels[2][1] for signal in signals]


def test_a_flow_shows_its_last_half_hour() -> None:
    """What is older than 30 minutes is not in it; labels name environment, system and flow."""
    shard = machine()
    shard.step(START, [traffic(START - 40, 100, 50), traffic(START - 30, 7, 2), traffic(START - 1, 3, 1, 1)])
    (flow,) = signals_of(shard, 10).families["flow"]
    assert dict(flow.labels) == {"environment": "prod", "system": "s", "flow": "f"}
    assert [value(flow, name) for name in ("interactions", "escalations", "failures")] == [10, 3, 1]
    assert value(flow, "expected") is None  # the test's detector expects nothing


def test_what_is_expected_is_what_the_detector_says() -> None:
    """The share that a flow's own past lets expect; nothing before anything was learned."""
    shard = ShardMachine([EscalationRate()], TRIAGE, ENGINE, checks=CHECKS)
    shard.step(START, [traffic(START - 1, 50, 5)])
    assert value(signals_of(shard, 10).families["flow"][0], "expected") is None
    for tick in range(START + 1, START + 300):
        shard.step(tick, [traffic(tick - 1, 50, 5)])
    expected = value(signals_of(shard, 10).families["flow"][0], "expected")
    assert expected == pytest.approx(0.1, abs=0.03)


def test_the_literal_rule_expects_the_rate_of_its_day() -> None:
    """With `rule = "ratio"` it is the rate of the last 24 full hours, which that rule compares with."""
    shard = ShardMachine([EscalationRate(EscalationRateSettings(rule="ratio"))], TRIAGE, ENGINE, checks=CHECKS)
    for tick in range(START, START + 121):
        shard.step(tick, [traffic(tick - 1, 20, 5)])
    assert value(signals_of(shard, 10).families["flow"][0], "expected") == 0.25


def test_those_that_fire_are_shown_first_and_listed() -> None:
    """A quiet series with an open firing goes before busy ones without, and the rest is counted as hidden."""
    shard = ShardMachine([EscalationRate()], TRIAGE, ENGINE, checks=CHECKS)
    names = [f"busy-{number}" for number in range(5)]
    for tick in range(START, START + 400):
        calm = [traffic(tick - 1, 60, 2, name=name) for name in names]
        loud = tick > START + 370
        shard.step(tick, [*calm, traffic(tick - 1, 10, 8 if loud else 0, name="small")])
    signals = signals_of(shard, 3)
    assert "small" in named(signals.families["flow"])
    assert len(signals.families["flow"]) == 3
    assert signals.hidden["flow"] == 3
    assert [(f.detector, f.tier, f.system, f.series) for f in signals.firings] == [
        ("escalation_rate", "page", "s", "small")
    ]


def test_an_agent_shows_requests_and_denials() -> None:
    """Authorizations by agent."""
    shard = ShardMachine([AuthorizationDenials()], TRIAGE, ENGINE, checks=CHECKS)
    shard.step(START, [Delta((count(START - 2, 40, 4, name="a", kind="agent"),))])
    (agent,) = signals_of(shard, 10).families["agent"]
    assert (value(agent, "requests"), value(agent, "denials")) == (40, 4)


def test_a_criterion_shows_the_mean_of_its_day() -> None:
    """Points of 1 to 5 over the last 24 full hours; no mean where nothing was scored."""
    shard = ShardMachine([EvaluationDrop()], TRIAGE, ENGINE, checks=CHECKS)
    amounts = (2, 7 * SCORE_UNIT, 25 * SCORE_UNIT * SCORE_UNIT)
    shard.step(START, [Delta((count(START - 30, *amounts, kind="score"), count(START, 1, 1000, kind="score")))])
    (score,) = signals_of(shard, 10).families["score"]
    assert (value(score, "scores"), value(score, "mean")) == (2, 3.5)
    shard.step(START + 60 * 60, [])
    (score,) = signals_of(shard, 10).families["score"]
    assert (value(score, "scores"), value(score, "mean")) == (0, None)


def test_a_budget_shows_day_month_and_forecast() -> None:
    """Dollars of the last 24 full hours and of the month, the amount, and a forecast beyond what is spent."""
    budgets = {"b": {"amount_usd": 1000.0}}
    shard = ShardMachine(
        [BurnRate(BurnRateSettings.model_validate({"budgets": budgets}))], TRIAGE, ENGINE, checks=CHECKS
    )
    for hour in range(72):
        tick = START + hour * 60
        shard.step(tick, [Delta((count(tick - 1, 1, MICRO_USD, name="b", kind="budget"),))])
    (budget,) = signals_of(shard, 10).families["budget"]
    assert value(budget, "day") == pytest.approx(24)
    assert value(budget, "amount") == 1000
    spent, forecast = value(budget, "spent"), value(budget, "forecast")
    assert spent is not None
    assert forecast is not None
    assert spent < forecast < 1000


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(0, 15))
def test_no_more_than_the_cap_and_none_lost(volumes: list[int], cap: int) -> None:
    """What is shown and what is hidden is everything; what is shown is at least as busy as what is not."""
    shard = machine()
    shard.step(START, [traffic(START - 1, volume, name=f"f{number}") for number, volume in enumerate(volumes)])
    signals = signals_of(shard, cap)
    shown = signals.families["flow"]
    assert len(shown) == min(cap, len(volumes))
    assert signals.hidden["flow"] == len(volumes) - len(shown)
    quiet = sorted(volumes, reverse=True)[len(shown) :]
    assert min((signal.events for signal in shown), default=math.inf) >= max(quiet, default=0)


def test_every_rate_detector_says_what_it_expects() -> None:
    """The metrics and the page draw the detectors' own expectation."""
    assert all(isinstance(one, Expecting) for one in (EscalationRate(), AuthorizationDenials(), EvaluationDrop()))


def test_looking_changes_nothing() -> None:
    """The same answers with and without anyone looking."""
    looked, left = (ShardMachine([EscalationRate()], TRIAGE, ENGINE, checks=CHECKS) for _ in range(2))
    for tick in range(START, START + 200):
        deltas = [traffic(tick - 1, 30, 20 if tick > START + 180 else 1)]
        signals_of(looked, 5)
        assert looked.step(tick, deltas) == left.step(tick, deltas)
