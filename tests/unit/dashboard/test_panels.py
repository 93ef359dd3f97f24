"""Panels from a shard's windows: sums that agree with the counts, the detectors' own bands, money to the dollar."""

from __future__ import annotations

import json

import pytest

from dashboard import panels, panels_money, scores
from dashboard.cards import card_of
from dashboard.courses import Buckets
from dashboard.judge_facts import judge_facts
from dashboard.methods import LAST, PLACES, Methods
from dashboard.ptus import ptu_rows
from dashboard.shards import ShardView
from dashboard.tail import Tail
from dashboard.views import Filter
from detectors.base import Detector
from evaluation.pacing import Spent
from schemas.events import Deployment
from schemas.outputs import Scope
from schemas.series import SeriesKind
from stream.assembly import machine_factory
from stream.core.deltas import KIND_CODE, BreakerRecord, Count, Delta, DeploymentRecord, Record, ScoreRecord, TagsRecord
from stream.core.ticks import MINUTE_MS, rfc3339, time_of
from stream.settings import Settings, load_settings
from stream.settings_sections import KafkaSettings
from tests.support.dashboard_verdicts import verdict

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
        one("score_stratum", ("refund", "escalation_appropriateness", "7", "0"), (1, 4200, 4200**2)),
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
        buckets = Buckets.between(tick - 180, tick, tick, 5)
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


def test_an_onset_on_the_signals_leads_to_its_incident(view: ShardView) -> None:
    """A mark of an incident's beginning bears its id, and is a link on the page."""
    card = card_of(verdict(onset_at=time_of(END - 30), decided_at=time_of(END - 20)))
    chart = panels.escalation_chart([view], Filter(), [card])
    assert chart is not None
    assert [mark.incident_id for mark in chart.marks if mark.kind == "onset"] == [card.incident_id]


def test_what_is_filtered_away_is_not_there(view: ShardView) -> None:
    """Another system, or another flow, has no course."""
    assert panels.escalation_chart([view], Filter(system="other")) is None
    assert panels.escalation_chart([view], Filter(flow="other")) is None
    assert panels.escalation_chart([], Filter()) is None


def test_means_are_weighted_as_the_trends_command_weighs_them_and_say_how_they_were_judged() -> None:
    """Ten oversampled low scores weigh less than two fair ones; all versions come first; each has its own method."""

    def score(name: str, value: int, version: str, stratum: int) -> ScoreRecord:
        at = (END - 30) * MINUTE_MS
        return ScoreRecord(name, at, *WHERE, "refund", version, "tone", value, stratum, stratum > 0, "sample", "", "")

    low = [score(f"l{n}", 1000, "8", 0) for n in range(10)]
    machine = machine_factory(settings())()
    machine.step(END, [Delta((), (*low, *(score(f"h{n}", 5000, "7", 16) for n in range(2))))])
    methods = Methods()
    Tail(KafkaSettings(), "evaluation", methods.take).decode([evaluation("8", "scripted"), b"junk"])
    rows = panels.score_rows([ShardView(machine, {})], Filter(span="24h"), methods)
    assert [(row.version, row.scores, row.method) for row in rows] == [
        ("all versions", 12, "scripted"), ("7", 2, None), ("8", 10, "scripted"),
    ]  # fmt: skip
    # 10 scores of 1 at rate 1, 2 scores of 5 at rate 1/16: (10 * 1 + 32 * 5) / 42.
    assert rows[0].mean == pytest.approx(170 / 42)
    assert panels.score_rows([ShardView(machine, {})], Filter(span="24h", flow="other")) == ()
    # The chart above the table says the table's number, and draws what the table lists.
    [chart] = scores.quality_charts([ShardView(machine, {})], Filter(span="24h"))
    assert f"{rows[0].mean:.2f} of 5 ({rows[0].low:.2f} to {rows[0].high:.2f}) over 12 scores" in chart.summary
    assert (chart.band, [line.name for line in chart.lines]) == ("interval", ["7", "8"])
    for line, row in zip(chart.lines, rows[1:], strict=True):
        [point] = [point for point in line.points if point.value is not None]
        assert (point.value, point.low, point.high) == (row.mean, row.low, row.high)
    assert scores.quality_charts([ShardView(machine, {})], Filter(span="24h", flow="other")) == ()


def evaluation(version: str, method: str | None) -> bytes:
    judge = {"model": "m", "prompt_version": "1", "method": method} if method is not None else None
    return json.dumps({
        "type": "evaluation", "id": f"e-{version}-{method}", "time": rfc3339(END * MINUTE_MS),
        "environment": WHERE[0], "system": WHERE[1], "flow": "refund", "version": version, "criterion": "tone",
        "score": 3.0, **({"judge": judge} if judge else {}),
    }).encode()  # fmt: skip


def test_methods_are_those_of_the_last_scores_and_bounded() -> None:
    """Two judges are both named, an untold one is said to be; what is old gives way; what was never seen is None."""
    methods = Methods()
    take = Tail(KafkaSettings(), "evaluation", methods.take).decode
    take([evaluation("8", "logprobs"), evaluation("8", None), evaluation("9", "scripted")])
    assert methods.of(*WHERE, "refund", "tone", "8") == "logprobs and method not told"
    assert methods.of(*WHERE, "refund", "tone") == "logprobs and method not told and scripted"
    assert methods.of(*WHERE, "refund", "other") is None
    assert methods.all(*WHERE)[1] == "m and not told"
    take([evaluation("8", "scripted")] * LAST)
    assert methods.of(*WHERE, "refund", "tone", "8") == "scripted"
    take([evaluation(f"x{n}", "scripted") for n in range(PLACES)])
    assert methods.of(*WHERE, "refund", "tone", "8") is None


class Purses:
    """Budgets as Redis holds them; `away` as it answers when it does not."""

    def __init__(self, away: bool = False) -> None:
        self.away = away

    async def spent(self, purse: str, day: int) -> Spent | None:
        return None if self.away else Spent(400_000, 1_500_000) if (purse, day) == ("sample", 7) else Spent()


async def test_the_judges_spend_stands_beside_its_budget() -> None:
    """Tokens and dollars of the day against both limits; a batch that never ran is left out; Redis away is said."""
    told = dict(await judge_facts(settings(), Purses(), "scripted", "m", 7))
    assert told["Sampled traffic, today (UTC)"] == "400,000 of 2,000,000 tokens, $1.50 of $20.00, 20\u00a0% used"
    assert told["Bursts about incidents, today (UTC)"].startswith("0 of 500,000 tokens")
    assert "no model" in told["Method, say the newest scores"]
    assert not any("batches" in name for name in told)
    away = dict(await judge_facts(settings(), Purses(away=True), None, None, 7))
    assert "Redis does not answer" in away["Sampled traffic, today (UTC)"]
    assert away["Method, say the newest scores"] == "no score seen yet"


def test_denials_and_scores_have_their_lines(view: ShardView) -> None:
    """Denials by agent; the mean of scores against the baseline of its detector."""
    denials = panels.denials_chart([view], Filter())
    assert denials is not None
    assert [line.name for line in denials.lines] == ["executor (refunds)"]
    chart = scores.appropriateness_chart([view], Filter(span="24h"))
    assert chart is not None
    point = chart.lines[0].points[-1]
    assert point.value == pytest.approx(4.2)
    assert point.expected == pytest.approx(4.2)
    assert (point.low or 0) < 4.2 < (point.high or 0)


@pytest.mark.parametrize(
    ("detector", "scope", "name"),
    [
        ("escalation_rate", {"flow": "refund"}, "Escalation rate"),
        ("authorization_denials", {"agent": "executor"}, "Denied calls"),
        ("evaluation_drop", {"flow": "refund", "criterion": "escalation_appropriateness"}, "Mean of the fair sample"),
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
        [row] = panels_money.spend_rows([view], Filter(), tag)
        assert (row.value, row.share) == (value, 1.0)
        assert row.cost_usd == pytest.approx(dollars)
    assert "cost-center" in panels_money.tags_of([view])
    [budget] = panels_money.budgets_of([view], settings())
    assert budget.spent_usd == pytest.approx(dollars)
    assert budget.forecast_usd is not None
    assert budget.chart is not None
    spent = [point.value or 0.0 for point in budget.chart.lines[0].points]
    assert spent[-1] == budget.spent_usd
    assert spent == sorted(spent)
    rows = ptu_rows([view], settings())
    assert all(row.units == 0 and row.payg_usd for row in rows)


@pytest.mark.parametrize(
    ("model", "price", "wanted"),
    [
        ("gpt-4.1-mini", "0.000001", "Pays: it saves $"),
        ("gpt-4.1-mini", "1000", "Does not pay: it saves $"),
        ("gpt-5.9", "1000", "No usage of its model is known"),
        ("*", "1000", "Name its model"),
    ],
)
def test_a_commitment_says_what_is_used_of_it_and_whether_it_pays(
    view: ShardView, model: str, price: str, wanted: str
) -> None:
    """Units of a model that is called are used in part, and pay below what they save; those of another are not used."""
    prefix = "MIDWATCH_COMMITMENTS__UNITS__"
    values = {"PTUS": "50", "TERM": "monthly", "FROM_DATE": "2026-01-01", "PRICE_USD": price, "MODEL": model}
    [row, *others] = ptu_rows([view], load_settings(None, {f"{prefix}{name}": one for name, one in values.items()}))
    assert (row.name, row.model, row.units) == ("units", model, 50)
    assert row.monthly_usd == pytest.approx(50 * float(price), abs=1e-4)
    assert row.advice.startswith(wanted)
    assert row.advice.count("ays: ") + row.advice.count("pay: ") <= 1
    assert [one.model for one in others] == ([] if model == "gpt-4.1-mini" else ["gpt-4.1-mini"])
    if model == "gpt-4.1-mini":
        assert 0 < (row.utilisation or 0) < 1
        assert row.payg_usd == pytest.approx(others[0].payg_usd if others else row.payg_usd)
        assert row.break_even_tokens is not None
