"""What the worker tells of itself: every metric is fed, and the status pages tell well from ill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.exposition import generate_latest

from costs.tags_policy import Policy
from costs.tags_spend import SpendTally
from schemas.cost_reports import CostFlip, CostReport, ModelCost
from schemas.outputs import Engine
from stream.core.ticks import MINUTE_MS, NEVER
from stream.cost_report import show
from stream.feedback_watch import show as show_feedback
from stream.guard import TimedGuard
from stream.health import Contact
from stream.metrics import Metrics
from stream.observe import READY_LAG_RECORDS, CommitTimer
from stream.standing import Staleness
from stream.store import Progress
from tests.support.feedback import judged
from tests.support.observed import TICK, Stage, machine
from tests.unit.triage.stories import quiet
from triage.registry import build
from triage.settings import TriageSettings


@pytest.fixture
def stage() -> Stage:
    return Stage()


def instruments(metrics: Metrics) -> Iterator[tuple[str, MetricWrapperBase]]:
    """Every instrument that the class declares, whatever it is called."""
    for name, value in vars(metrics).items():
        if isinstance(value, MetricWrapperBase):
            yield name, value


def samples(instrument: MetricWrapperBase) -> list[tuple[Any, ...]]:
    """What it shows; when it was made is left out."""
    return [
        (sample.name, sorted(sample.labels.items()), sample.value)
        for metric in instrument.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    ]


async def run_everything(stage: Stage) -> None:
    """Move every part of a worker as a run would: tallies grow, states change, checks run, a batch is committed."""
    tallies, evaluator = stage.tallies, stage.take_shard()
    tallies.by_topic["agent.interactions"] += 7
    tallies.fold.events["interaction"] += 5
    tallies.fold.late["interaction"] += 1
    tallies.fold.unpriced["some-model"] += 2
    tallies.fold.spend = SpendTally(Policy())
    tallies.fold.spend.note("prod", "refunds", {"business-unit": "bank"}, 2_500_000, 0)
    tallies.dead["malformed_json"] += 1
    tallies.commits["applied"] += 1
    stage.decoded.tombstones += 1
    stage.decoded.passed_over["resilience4j"] += 1
    stage.decoded.unknown_fields.add("interaction", ["colour", "steps.shape"])
    stage.ingest.lags = {"agent.interactions": 3}
    stage.ingest.paused = True
    stage.ingest.ingest.progress = {0: Progress(1234, 0)}
    timer = CommitTimer(stage.metrics.commit_duration, lambda: stage.now)
    timer("folded")
    timer("committed")
    found = stage.evaluate.tallies
    found.ticks, found.fenced = 3, 1
    found.durations.append(0.01)
    found.firings["escalation_rate", "page", "firing"] += 1
    found.verdicts["firing", "inconclusive"] += 1
    found.muted["firing"] += 1
    found.stale["firing"] += 1
    found.standing += 1
    found.rebuilt["snapshot"] += 1
    evaluator.machine.tallies.duplicate_scores = 4
    evaluator.machine.tallies.refused_series["flow"] = 2
    evaluator.machine.tallies.failed_detectors["silence"] = 1
    evaluator.machine.evidence.dropped["deployment"] = 1
    evaluator.machine.traces.finished["root"] = 4
    evaluator.machine.traces.left_out["late"] = 1
    evaluator.machine.incidents.grouping.refused_incidents = 1
    evaluator.machine.incidents.grouping.refused_firings = 1
    evaluator.machine.incidents.grouping.open["inc_x"] = cast("Any", None)
    show_feedback(stage.metrics, [judged()], judged().decided_at)
    guard = TimedGuard(stage.metrics)
    guard(build(TriageSettings())[0], quiet())
    guard.close()
    show(stage.metrics, quarterly_report())
    stage.observer.observe()


def quarterly_report() -> CostReport:
    """A report of one model that is cheaper provisioned, until its volume falls."""
    flip = CostFlip(term="monthly", manner="mix", now="ptu", flips_to="payg", monthly_tokens=5, date=date(2026, 9, 1))
    model = ModelCost(
        model="gpt-4o",
        monthly_tokens=9,
        payg_monthly_usd=20.0,
        way="ptu",
        term="monthly",
        ptus=15,
        monthly_usd=10.0,
        flips=(flip,),
    )
    return CostReport(
        report_id="r",
        quarter="2026-Q1",
        since=datetime(2026, 1, 1, tzinfo=UTC),
        until=datetime(2026, 1, 28, tzinfo=UTC),
        models=(model,),
        engine=Engine(version="1", config_hash="h"),
    )


async def test_every_metric_is_fed(stage: Stage) -> None:
    """No metric is declared and then forgotten: a run moves every one that the class has."""
    before = {name: samples(one) for name, one in instruments(stage.metrics)}
    await run_everything(stage)
    still = [name for name, one in instruments(stage.metrics) if samples(one) == before[name]]
    assert not still


async def test_counters_grow_by_what_is_new(stage: Stage) -> None:
    """Looking twice counts nothing twice, and what came in between counts once."""
    await run_everything(stage)
    stage.observer.observe()
    stage.tallies.dead["malformed_json"] += 2
    stage.decoded.unknown_fields.add("interaction", ["size"])
    stage.observer.observe()
    assert stage.value("dead_letters_total", reason="malformed_json") == 3
    assert stage.value("unknown_fields_total", type="interaction") == 3
    assert stage.value("usage_unpriced_total") == 2
    assert stage.value("tick_duration_seconds_count") == 1


def test_shards_count_apart_and_again(stage: Stage) -> None:
    """Two shards that refused two series each make four; a machine loaded anew counts from zero, and adds up."""
    for shard in (0, 1):
        stage.take_shard(shard).machine.tallies.refused_series["flow"] = 2
    stage.observer.observe()
    assert stage.value("series_refused_total", kind="flow") == 4
    fresh = machine()
    fresh.tallies.refused_series["flow"] = 1
    stage.evaluators[1].machine = fresh
    stage.observer.observe()
    assert stage.value("series_refused_total", kind="flow") == 5


def test_what_is_lost_is_no_longer_shown(stage: Stage) -> None:
    """Gauges of a shard or a topic that went to another worker disappear; the series of lost shards are not counted."""
    stage.take_shard(3)
    stage.ingest.lags = {"agent.usage": 9}
    stage.observer.observe()
    assert stage.value("heartbeat_timestamp_seconds", shard="3") == 1_700_000_000
    assert stage.value("watermark_timestamp_seconds", shard="3") == TICK * 60
    del stage.evaluators[3]
    stage.ingest.lags = {}
    stage.observer.observe()
    for gauge in ("heartbeat_timestamp_seconds", "watermark_timestamp_seconds", "open_incidents"):
        assert stage.value(gauge, shard="3") is None, gauge
    assert stage.value("consumer_lag_records", topic="agent.usage") is None
    assert stage.value("shard_leases_held") == 0


def test_a_failed_commit_is_not_measured(stage: Stage) -> None:
    """The time of a batch counts from its own folding, not from that of one that failed before it."""
    timer = CommitTimer(stage.metrics.commit_duration, lambda: stage.now)
    timer("folded")
    stage.now += 50
    timer("folded")
    stage.now += 0.25
    timer("committed")
    timer("committed")
    assert stage.value("commit_duration_seconds_count") == 1
    assert stage.value("commit_duration_seconds_sum") == 0.25


async def test_well_as_long_as_everything_answers(stage: Stage) -> None:
    """A server that has been silent for `stuck_seconds` makes the worker unwell, until it answers again."""
    assert stage.observer.healthy().ok
    stage.answers["redis"] = False
    stage.now += 59
    await stage.contacts["redis"].probe()
    await stage.contacts["kafka"].probe()
    assert stage.observer.healthy().ok
    stage.observer.observe()
    assert stage.value("dependency_up", dependency="redis") == 0
    assert stage.value("dependency_up", dependency="kafka") == 1
    stage.now += 2
    status = stage.observer.healthy()
    assert not status.ok
    assert status.facts == {"kafka_silent_seconds": 2.0, "redis_silent_seconds": 61.0}
    stage.answers["redis"] = True
    await stage.contacts["redis"].probe()
    assert stage.observer.healthy().ok


@pytest.mark.parametrize("answer", ["raises", "hangs"])
async def test_no_answer_is_a_silence(answer: str) -> None:
    """An error and an answer that does not come within its time are both no answer; neither escapes."""

    async def ask() -> None:
        if answer == "raises":
            raise ConnectionError("refused")
        await asyncio.Event().wait()

    contact = Contact(ask, lambda: 0.0, timeout=0.01)
    assert not await contact.probe()
    assert not contact.up


async def test_a_loop_that_ended_is_unwell(stage: Stage) -> None:
    """A worker whose loop has returned or failed does no work, whatever still answers; its name is said."""

    async def fails() -> None:
        raise RuntimeError("broken")

    forever = asyncio.create_task(asyncio.Event().wait())
    failed = asyncio.create_task(fails())
    stage.observer.watch({"ingest": forever, "evaluate": failed})
    assert stage.observer.healthy().ok
    await asyncio.wait([failed])
    status = stage.observer.healthy()
    assert not status.ok
    assert status.facts["ended"] == ["evaluate"]
    forever.cancel()
    assert isinstance(failed.exception(), RuntimeError)


def test_ready_once_it_has_caught_up(stage: Stage) -> None:
    """Something in hand, its end known, little lag and few ticks to do: each of them is needed."""
    evaluator = stage.take_shard()
    assert stage.observer.ready().ok

    stage.ingest.lags = {"agent.usage": READY_LAG_RECORDS + 1}
    assert not stage.observer.ready().ok
    stage.ingest.lags = {"agent.usage": READY_LAG_RECORDS}
    assert stage.observer.ready().ok

    evaluator.watermark_ms += 3 * MINUTE_MS
    assert stage.observer.ready().facts["ticks_behind"] == 3
    assert not stage.observer.ready().ok
    evaluator.watermark_ms = NEVER
    assert stage.observer.ready().ok

    stage.ingest.unsettled = True
    assert not stage.observer.ready().ok
    stage.ingest.unsettled = False

    stage.ingest.consumer.end = None
    assert not stage.observer.ready().ok
    stage.ingest.consumer.end = 10

    stage.evaluators.clear()
    assert stage.observer.ready().ok
    stage.ingest.ingest.partitions = {}
    assert not stage.observer.ready().ok


def test_not_ready_when_unwell(stage: Stage) -> None:
    """Who should be started anew is not ready."""
    stage.take_shard()
    stage.now += 61
    assert not stage.observer.ready().ok


def test_behind_while_there_is_work(stage: Stage) -> None:
    """Lag and a resume that is due are work of ingest; ticks are work of evaluation, also those before the first."""
    evaluator = stage.take_shard()
    assert not stage.observer.behind("evaluate")
    evaluator.watermark_ms += MINUTE_MS
    assert stage.observer.behind("evaluate")
    assert not stage.observer.behind("ingest")
    evaluator.committed = 0
    assert stage.observer.behind("evaluate")
    evaluator.watermark_ms = NEVER
    assert not stage.observer.behind("evaluate")
    stage.ingest.lags = {"agent.usage": 1}
    assert stage.observer.behind("ingest")
    assert not stage.observer.behind("evaluate")
    stage.ingest.waiting = True
    assert not stage.observer.behind("ingest"), "what waits for evaluation is not stuck"
    stage.ingest.lags = {}
    stage.ingest.unsettled = True
    assert stage.observer.behind("ingest")


def test_progress_is_what_is_committed(stage: Stage) -> None:
    """Records that are read again and again are none, nor are other shards' ticks while one of them is stuck."""
    progress = stage.observer.progress
    before = progress("ingest")
    stage.tallies.read += 100
    assert progress("ingest") == before
    stage.tallies.commits["applied"] += 1
    assert progress("ingest") > before
    stage.due.append(time.monotonic())
    assert not stage.observer.behind("evaluate"), "what has just begun is no work that waits"
    assert stage.observer.stuck_since("evaluate") is None
    stage.due[0] -= 60
    assert stage.observer.behind("evaluate")
    assert stage.observer.stuck_since("evaluate") == stage.due[0]
    assert stage.observer.stuck_since("ingest") is None
    stuck = progress("evaluate")
    stage.evaluate.tallies.moves += 1
    assert progress("evaluate") == stuck
    stage.due.clear()
    assert progress("evaluate") != stuck


async def test_a_contact_gets_on_with_every_answer(stage: Stage) -> None:
    """A server that is silent cannot say whether telemetry waits, so it is always asked."""
    assert stage.observer.behind("kafka")
    before = stage.observer.progress("kafka")
    await stage.contacts["kafka"].probe()
    assert stage.observer.progress("kafka") == before + 1
    stage.answers["kafka"] = False
    await stage.contacts["kafka"].probe()
    assert stage.observer.progress("kafka") == before + 1


def test_a_verdict_is_an_example_of_its_kind(stage: Stage) -> None:
    """A scraper that asks for OpenMetrics gets the last incident of each kind, to look it up."""
    said = {"status": "firing", "triage_result": "recent_deployments", "incident_id": "inc_x"}
    verdict = SimpleNamespace(**said, muted=None, findings=())
    tallies = cast("Any", stage.evaluate.tallies)
    tallies.note([SimpleNamespace(tick=TICK, firings=(), verdicts=(verdict,))], Staleness(60_000, lambda: 0))
    assert not tallies.stale
    stage.observer.observe()
    text = cast("Any", generate_latest)(stage.metrics.registry).decode()
    [line] = [line for line in text.splitlines() if line.startswith("midwatch_verdicts_total{")]
    assert '# {incident_id="inc_x"} 1.0' in line
    past = Staleness(60_000, lambda: (TICK + 2) * MINUTE_MS)
    tallies.note([SimpleNamespace(tick=TICK, firings=(), verdicts=(verdict,))], past)
    assert tallies.stale == {"firing": 1}
