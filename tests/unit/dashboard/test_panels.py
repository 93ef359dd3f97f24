"""Panels from a shard's windows: sums that agree with the counts, the detectors' own bands, money to the dollar."""

from __future__ import annotations

import json

import pytest

from dashboard import panels
from dashboard.courses import Buckets
from dashboard.ptus import ptu_rows
from dashboard.shards import ShardView
from dashboard.views import Filter
from detectors.base import Detector
from schemas.events import Deployment
from schemas.outputs import Scope
from schemas.series import SeriesKind
from stream.assembly import machine_factory
from stream.core.deltas import KIND_CODE, BreakerRecord, Count, Delta, DeploymentRecord, Record, TagsRecord
from stream.core.ticks import MINUTE_MS, rfc3339, time_of
from stream.settings import Settings, load_settings
from tests.unit.dashboard.builders import verdict

START = 29_540_160  # a full hour
HOURS = 80
END = START + HOURS * 60 + 37
WHERE = ("production", "refunds")


def settings() -> Settings:
    return load_settings(
        None, {"MIDWATCH_BUDGETS__SUPPORT__AMOUNT_USD": "1000", "MIDWATCH_BUDGETS__SUPPORT__SYSTEM": "refunds"}
    )


def counts(minute: int, spiking: bool) -> tuple[Count, ...]:
    escalated = 5 if spiking else int(minute % 3 == 0)
    denied = 2 if spiking else 0

    def one(kind: str, dims: tuple[str, ...], amounts: tuple[int, ...]) -> Count:
        return Count(KIND_CODE[kind], *WHERE, dims, minute, amounts)  # type: ignore[index]

    return (
        one("flow", ("refund",), (10, escalated, 0)),
        one("agent", ("executor",), (20, denied)),
        one("score", ("refund", "escalation_appropriateness"), (1, 4200, 4200**2)),
        one("score_version", ("refund", "escalation_appropriateness", "7"), (1, 4200, 4200**2)),
        one("usage", ("executor", "gpt-4.1-mini", "payg"), (10, 9000, 0, 1000, 5_200)),
        Count(KIND_CODE["budget"], "*", "refunds", ("support",), minute, (10, 5_200)),
    )


@pytest.fixture(scope="module")
def view() -> ShardView:
    """80 hours and 37 minutes of one system, with 30 minutes of trouble at the end."""
    machine = machine_factory(settings())()
    for tick in range(START + 10, END + 1, 10):
        minutes = range(tick - 10, tick)
        machine.step(tick, [Delta(tuple(c for m in minutes for c in counts(m, m >= END - 30)))])
    event = Deployment.model_validate_json(
        json.dumps({
            "type": "deployment", "id": "d1", "time": rfc3339((END - 33) * MINUTE_MS), "environment": WHERE[0],
            "system": WHERE[1], "change": "flow", "component": "refund", "version": "8", "phase": "started",
            "canary_percent": 100.0,
        })
    )  # fmt: skip
    last = machine.tick
    breakers = [
        BreakerRecord(f"b{state}", (END - ago) * MINUTE_MS, *WHERE, "bank", "bank", "0", state, None)
        for ago, state in ((50, "closed"), (20, "open"))
    ]
    records: tuple[Record, ...] = (
        DeploymentRecord("d1", (END - 33) * MINUTE_MS, *WHERE, event.model_dump_json()),
        TagsRecord("t1", START * MINUTE_MS, *WHERE, (("cost-center", "cc-1"),)),
        *breakers,
    )
    rest = tuple(c for m in range(last, END) for c in counts(m, True))
    machine.step(END, [Delta(rest, records)])
    detectors: dict[tuple[str, SeriesKind], Detector] = {(one.name, one.kind): one for one in machine.detectors}
    return ShardView(machine, detectors)


def test_buckets_hold_every_minute_once() -> None:
    """Full hours, then steps from the last full hour that the minutes reach: no gap, no overlap, up to the tick."""
    for tick in (START, START + 1, START + 59, END):
        buckets = Buckets.until(tick, 3, 5)
        ends = [start + length for start, length in zip(buckets.starts, buckets.minutes, strict=True)]
        assert list(buckets.starts[1:]) == ends[:-1]
        assert ends[-1] == tick
        assert buckets.starts[0] % 60 == 0


@pytest.mark.parametrize("span", ["3h", "24h", "7d"])
def test_the_escalation_rate_agrees_with_the_counts_and_has_the_detectors_band(view: ShardView, span: str) -> None:
    """Every bucket's count is what was sent; the band holds what was normal, and not what was not."""
    chart = panels.escalation_chart([view], Filter(span=span))  # type: ignore[arg-type]
    assert chart is not None
    known = [point for point in chart.lines[0].points if point.value is not None]
    minutes = (chart.ends_at - max(chart.starts_at, time_of(START))).total_seconds() / 60
    assert sum(point.count or 0 for point in known) == 10 * minutes
    last = known[-1]
    assert last.value is not None
    assert last.high is not None
    assert last.value > last.high
    calm = [point for point in known if point.at < time_of(END - 95) and (point.count or 0) >= 600]
    assert all((p.low or 0) <= (p.value or 0) <= (p.high or 0) for p in calm)
    machine = view.machine
    rate = float(machine.states["escalation_rate", "flow"]["rate"][0])
    assert last.expected == pytest.approx(rate)
    assert {mark.kind for mark in chart.marks} == {"deployment", "breaker"}


def test_what_is_filtered_away_is_not_there(view: ShardView) -> None:
    """Another system, or another flow, has no course."""
    assert panels.escalation_chart([view], Filter(system="other")) is None
    assert panels.escalation_chart([view], Filter(flow="other")) is None
    assert panels.escalation_chart([], Filter()) is None


def test_denials_and_scores_have_their_lines(view: ShardView) -> None:
    """Denials by agent; the mean of scores against the baseline of its detector."""
    denials = panels.denials_chart([view], Filter())
    assert denials is not None
    assert [line.name for line in denials.lines] == ["executor (refunds)"]
    [chart] = panels.score_charts([view], Filter(span="24h"))
    point = chart.lines[0].points[-1]
    assert point.value == pytest.approx(4.2)
    assert point.expected == pytest.approx(4.2)
    [row] = panels.score_rows([view], Filter(span="24h"))
    assert row.version == "7"
    assert row.mean == pytest.approx(4.2)


@pytest.mark.parametrize(
    ("detector", "scope", "name"),
    [
        ("escalation_rate", {"flow": "refund"}, "Escalation rate"),
        ("authorization_denials", {"agent": "executor"}, "Denied calls"),
        ("evaluation_drop", {"flow": "refund", "criterion": "escalation_appropriateness"}, "Mean score"),
        ("silence", {"flow": "refund"}, "Requests an hour"),
    ],
)
def test_each_detectors_incident_has_its_own_signal(
    view: ShardView, detector: str, scope: dict[str, str], name: str
) -> None:
    """The chart of an incident shows what fired, from an hour before the onset, with the onset marked."""
    told = verdict(
        scope=Scope(environment=WHERE[0], system=WHERE[1], **scope),
        trigger=verdict().trigger.model_copy(update={"detector": detector}),
        onset_at=time_of(END - 30),
        decided_at=time_of(END - 20),
    )
    chart = panels.incident_chart([view], told)
    assert chart is not None
    assert [line.name for line in chart.lines] == [name]
    assert "onset" in {mark.kind for mark in chart.marks}


def test_money_agrees_with_the_counters(view: ShardView) -> None:
    """Spend by tag and by system, the budget and its forecast, provisioned units: the same dollars."""
    dollars = (HOURS * 60 + 37) * 5_200 / 1e6
    for tag, value in (("system", "refunds"), ("cost-center", "cc-1"), ("model", "gpt-4.1-mini")):
        [row] = panels.spend_rows([view], Filter(), tag)
        assert (row.value, row.share) == (value, 1.0)
        assert row.cost_usd == pytest.approx(dollars)
    assert "cost-center" in panels.tags_of([view])
    [budget] = panels.budgets_of([view], settings())
    assert budget.spent_usd == pytest.approx(dollars)
    assert budget.forecast_usd is not None
    assert budget.chart is not None
    assert budget.chart.lines[0].points[-1].value == pytest.approx(dollars, rel=0.02)
    rows = ptu_rows([view], settings())
    assert all(row.units == 0 and row.payg_usd for row in rows)
